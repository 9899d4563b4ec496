// Causal grouped-query attention over the KV cache.
#pragma once

#include <cstddef>
#include <vector>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/thread_pool.h"
#include "ecq/kernels/cpu/attention_kernels.h"
#include "ecq/model/kv_cache.h"

namespace ecq {

// Parts of a softmax for rows of queries.
class AttentionParts {
 public:
  AttentionParts(size_t rows, size_t head_dim);
  AttentionPart at(size_t row);

 private:
  size_t stride_;
  AlignedBuffer<float> sums_;
  AlignedBuffer<float> maxima_;
  AlignedBuffer<float> totals_;
};

// Memory of attention for each thread, and for the parts that threads hand over.
class AttentionScratch {
 public:
  // Queries of one task, all heads of a group counted: they stay in the second-level cache with the
  // keys and values of a segment.
  static constexpr size_t kTaskRows = 64;

  AttentionScratch(const ModelConfig& config, size_t num_threads, size_t max_context);

  struct Worker {
    Worker(size_t rows, size_t head_dim);
    AlignedBuffer<float> q;  // (rows, head_dim)
    std::vector<size_t> begins;
    std::vector<size_t> ends;
    AlignedBuffer<float> scores;
    AttentionParts so_far;
    AttentionParts next;
  };
  Worker& worker(size_t i) { return workers_[i]; }
  // (num_segments, num_heads) of one query.
  AttentionParts& segments() { return segments_; }

 private:
  std::vector<Worker> workers_;
  AttentionParts segments_;
};

// out[r, h] = softmax_j(q[r, h] . K[j] * score_scale) V, over the positions j <= length + r that
// the layer's window reaches, of the key-value head that query head h shares with its group. The
// result does not depend on the number of threads, nor on the queries computed together.
//
// Shapes: q and out (t, num_heads, head_dim).
// Pre:    the t new keys and values of `layer` have been appended to `cache`, whose length does not
//         count them yet; `scratch` was made for the pool's threads and the cache's capacity.
void Attend(ThreadPool& pool, const ModelConfig& config, const KvCache& cache, size_t layer,
            size_t t, const float* q, AttentionScratch& scratch, float* out);

}  // namespace ecq

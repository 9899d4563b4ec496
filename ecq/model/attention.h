// Causal grouped-query attention over the KV cache.
#pragma once

#include <cstddef>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/thread_pool.h"
#include "ecq/model/kv_cache.h"

namespace ecq {

// Scores of one block of queries per thread.
class AttentionScratch {
 public:
  AttentionScratch(size_t num_threads, size_t max_queries, size_t max_context);
  float* scores(size_t worker) { return &scores_[worker * floats_per_worker_]; }

 private:
  size_t floats_per_worker_;
  AlignedBuffer<float> scores_;
};

// out[r, h] = softmax_j(q[r, h] . K[j] * score_scale) V, over the positions j <= length + r that
// the layer's window reaches, of the key-value head that query head h shares with its group.
//
// Shapes: q and out (t, num_heads, head_dim).
// Pre:    the t new keys and values of `layer` have been appended to `cache`, whose length does not
//         count them yet; t <= max_queries and length + t <= max_context of `scratch`.
void Attend(ThreadPool& pool, const ModelConfig& config, const KvCache& cache, size_t layer,
            size_t t, const float* q, AttentionScratch& scratch, float* out);

}  // namespace ecq

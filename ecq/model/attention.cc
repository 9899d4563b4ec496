// Attention, segment by segment of the positions; the parts are then put together.
#include "ecq/model/attention.h"

#include <algorithm>
#include <cmath>

namespace ecq {
namespace {

size_t GroupSize(const ModelConfig& config) { return config.num_heads / config.num_kv_heads; }

// Queries at neighbouring positions, as many as give kTaskRows rows of a group.
size_t TaskTokens(const ModelConfig& config) {
  return std::max<size_t>(1, AttentionScratch::kTaskRows / GroupSize(config));
}

// What `rows` rows have seen so far, and what they see in one more segment.
void Merge(size_t rows, size_t stride, const AttentionPart& next, const AttentionPart& so_far) {
  for (size_t r = 0; r < rows; ++r) {
    const float max = std::max(so_far.maxima[r], next.maxima[r]);
    const float old_share = std::exp(so_far.maxima[r] - max);
    const float new_share = std::exp(next.maxima[r] - max);
    float* const sums = so_far.sums + r * stride;
    const float* const new_sums = next.sums + r * stride;
    for (size_t d = 0; d < stride; ++d) sums[d] = sums[d] * old_share + new_sums[d] * new_share;
    so_far.totals[r] = so_far.totals[r] * old_share + next.totals[r] * new_share;
    so_far.maxima[r] = max;
  }
}

// The queries of one layer, and who sees what.
struct Queries {
  const ModelConfig& config;
  const KvCache& cache;
  size_t layer;
  const float* q;
  float* out;

  size_t group() const { return GroupSize(config); }
  // Positions that token `token` of this pass sees.
  size_t End(size_t token) const { return cache.length() + token + 1; }
  size_t Begin(size_t token) const {
    const size_t window = config.window(layer);
    return window == 0 ? 0 : End(token) - std::min<size_t>(End(token), window);
  }
  size_t At(size_t token, size_t kv_head, size_t in_group) const {
    return token * config.query_size() + (kv_head * group() + in_group) * config.head_dim;
  }

  // Rows of tokens [begin, end): (token, head of the group).
  AttentionRows Gather(size_t kv_head, size_t begin, size_t end,
                       AttentionScratch::Worker& worker) const {
    const float scale = config.score_scale();
    size_t row = 0;
    for (size_t token = begin; token < end; ++token) {
      for (size_t g = 0; g < group(); ++g, ++row) {
        const float* const from = q + At(token, kv_head, g);
        float* const to = worker.q.data() + row * config.head_dim;
        for (size_t d = 0; d < config.head_dim; ++d) to[d] = from[d] * scale;
        worker.begins[row] = Begin(token);
        worker.ends[row] = End(token);
      }
    }
    return {worker.q.data(), worker.begins.data(), worker.ends.data(), row};
  }

  void Write(size_t kv_head, size_t begin, size_t end, const AttentionPart& part) const {
    const size_t stride = KvValueStride(config.head_dim);
    size_t row = 0;
    for (size_t token = begin; token < end; ++token) {
      for (size_t g = 0; g < group(); ++g, ++row) {
        const float inverse = 1.0f / part.totals[row];
        float* const to = out + At(token, kv_head, g);
        for (size_t d = 0; d < config.head_dim; ++d) {
          to[d] = part.sums[row * stride + d] * inverse;
        }
      }
    }
  }
};

// One query: threads share heads and segments.
void AttendOne(ThreadPool& pool, const Queries& queries, AttentionScratch& scratch) {
  const ModelConfig& config = queries.config;
  const AttentionKernels& kernels = ActiveAttentionKernels();
  const size_t num_heads = config.num_heads;
  const size_t group = queries.group();
  const size_t end = queries.End(0);
  const size_t first_segment = queries.Begin(0) / kKvSegment;
  const size_t segments = DivideRoundUp(end, kKvSegment) - first_segment;
  AttentionParts& parts = scratch.segments();
  pool.Run(config.num_kv_heads * segments, [&](size_t task, size_t worker_index) {
    const size_t kv_head = task % config.num_kv_heads;
    const size_t segment = task / config.num_kv_heads;
    const size_t begin = (first_segment + segment) * kKvSegment;
    AttentionScratch::Worker& worker = scratch.worker(worker_index);
    const AttentionRows rows = queries.Gather(kv_head, 0, 1, worker);
    kernels.attend(queries.cache.head(queries.layer, kv_head), rows, begin,
                   std::min(end, begin + kKvSegment), worker.scores.data(),
                   parts.at(segment * num_heads + kv_head * group));
  });
  for (size_t segment = 1; segment < segments; ++segment) {
    Merge(num_heads, KvValueStride(config.head_dim), parts.at(segment * num_heads), parts.at(0));
  }
  for (size_t h = 0; h < config.num_kv_heads; ++h) queries.Write(h, 0, 1, parts.at(h * group));
}

// Many queries: threads share heads and blocks of queries.
void AttendMany(ThreadPool& pool, const Queries& queries, size_t t, AttentionScratch& scratch) {
  const ModelConfig& config = queries.config;
  const AttentionKernels& kernels = ActiveAttentionKernels();
  const size_t tokens = TaskTokens(config);
  const size_t num_blocks = DivideRoundUp(t, tokens);
  pool.Run(config.num_kv_heads * num_blocks, [&](size_t task, size_t worker_index) {
    const size_t kv_head = task % config.num_kv_heads;
    // The last blocks see the most keys; starting with them balances the threads.
    const size_t block = num_blocks - 1 - task / config.num_kv_heads;
    const size_t first = block * tokens;
    const size_t last = std::min(t, first + tokens);
    AttentionScratch::Worker& worker = scratch.worker(worker_index);
    const AttentionRows rows = queries.Gather(kv_head, first, last, worker);
    const KvView kv = queries.cache.head(queries.layer, kv_head);
    const AttentionPart so_far = worker.so_far.at(0);
    const size_t end = queries.End(last - 1);
    bool is_first = true;
    for (size_t begin = queries.Begin(first) / kKvSegment * kKvSegment; begin < end;
         begin += kKvSegment) {
      const AttentionPart part = is_first ? so_far : worker.next.at(0);
      kernels.attend(kv, rows, begin, std::min(end, begin + kKvSegment), worker.scores.data(),
                     part);
      if (!is_first) Merge(rows.count, KvValueStride(config.head_dim), part, so_far);
      is_first = false;
    }
    queries.Write(kv_head, first, last, so_far);
  });
}

}  // namespace

AttentionParts::AttentionParts(size_t rows, size_t head_dim)
    : stride_(KvValueStride(head_dim)), sums_(rows * stride_), maxima_(rows), totals_(rows) {}

AttentionPart AttentionParts::at(size_t row) {
  return {sums_.data() + row * stride_, maxima_.data() + row, totals_.data() + row};
}

AttentionScratch::Worker::Worker(size_t rows, size_t head_dim)
    : q(rows * head_dim),
      begins(rows),
      ends(rows),
      scores(kAttentionScratch),
      so_far(rows, head_dim),
      next(rows, head_dim) {}

AttentionScratch::AttentionScratch(const ModelConfig& config, size_t num_threads,
                                   size_t max_context)
    : segments_(DivideRoundUp(max_context, kKvSegment) * config.num_heads, config.head_dim) {
  workers_.reserve(num_threads);
  const size_t rows = TaskTokens(config) * GroupSize(config);
  for (size_t i = 0; i < num_threads; ++i) workers_.emplace_back(rows, config.head_dim);
}

void Attend(ThreadPool& pool, const ModelConfig& config, const KvCache& cache, size_t layer,
            size_t t, const float* q, AttentionScratch& scratch, float* out) {
  const Queries queries{config, cache, layer, q, out};
  if (t == 1) {
    AttendOne(pool, queries, scratch);
  } else {
    AttendMany(pool, queries, t, scratch);
  }
}

}  // namespace ecq

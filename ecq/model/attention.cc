// Attention: row by row for a few queries, as matrix products for many.
#include "ecq/model/attention.h"

#include <algorithm>

#include "ecq/kernels/cpu/dense_gemm.h"
#include "ecq/kernels/cpu/dense_kernels.h"

namespace ecq {
namespace {

// Queries of one task when there are many: the products are large enough for BLAS, and about half a
// block of masked scores per query is computed in vain.
constexpr size_t kQueryBlock = 64;
// Below this a product per block does not pay.
constexpr size_t kMinBlockQueries = 8;

}  // namespace

AttentionScratch::AttentionScratch(size_t num_threads, size_t max_queries, size_t max_context)
    : floats_per_worker_(std::min(max_queries, kQueryBlock) * max_context),
      scores_(num_threads * floats_per_worker_) {}

void Attend(ThreadPool& pool, const ModelConfig& config, const KvCache& cache, size_t layer,
            size_t t, const float* q, AttentionScratch& scratch, float* out) {
  const DenseKernels& kernels = ActiveDenseKernels();
  const size_t head_dim = config.head_dim;
  const size_t row_stride = config.query_size();
  const size_t group_size = config.num_heads / config.num_kv_heads;
  const float scale = config.score_scale();
  const size_t window = config.window(layer) == 0 ? cache.capacity() : config.window(layer);
  const size_t block = t < kMinBlockQueries ? 1 : kQueryBlock;
  const size_t num_blocks = DivideRoundUp(t, block);

  pool.Run(config.num_heads * num_blocks, [&](size_t task, size_t worker) {
    const size_t head = task / num_blocks;
    // The last blocks see the most keys; starting with them balances the threads.
    const size_t begin = (num_blocks - 1 - task % num_blocks) * block;
    const size_t queries = std::min(block, t - begin);
    const size_t end = cache.length() + begin + queries;  // of what the last query sees
    const size_t first_end = end - queries + 1;           // of what the first query sees
    const size_t first = first_end - std::min(first_end, window);
    const size_t visible = end - first;
    const float* keys = cache.keys(layer, head / group_size) + first * head_dim;
    const float* values = cache.values(layer, head / group_size) + first * head_dim;
    const float* query = q + begin * row_stride + head * head_dim;
    float* result = out + begin * row_stride + head * head_dim;
    float* scores = scratch.scores(worker);  // (queries, visible)

    if (block == 1) {
      kernels.gemv(keys, visible, head_dim, query, scores);
      kernels.softmax(scores, visible, scale);
      kernels.weighted_row_sum(scores, values, visible, head_dim, result);
      return;
    }
    GemmTransposed(queries, visible, head_dim, 1.0f, {query, row_stride}, {keys, head_dim},
                   {scores, visible});
    for (size_t i = 0; i < queries; ++i) {
      float* row = scores + i * visible;
      const size_t row_end = visible - queries + i + 1;
      const size_t row_begin = row_end - std::min(row_end, window);
      std::fill(row, row + row_begin, 0.0f);
      kernels.softmax(row + row_begin, row_end - row_begin, scale);
      std::fill(row + row_end, row + visible, 0.0f);
    }
    Gemm(queries, head_dim, visible, {scores, visible}, {values, head_dim}, {result, row_stride});
  });
}

}  // namespace ecq

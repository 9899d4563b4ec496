// The mutable state of one sequence: its KV cache and the scratch memory of its forward passes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ecq/backend/matrix.h"
#include "ecq/base/aligned_buffer.h"
#include "ecq/base/thread_pool.h"
#include "ecq/model/attention.h"
#include "ecq/model/config.h"
#include "ecq/model/kv_cache.h"
#include "ecq/model/rope.h"

namespace ecq {

struct SessionOptions {
  size_t max_context = 0;  // positions; at most max_positions of the model
  ActivationMode activations = ActivationMode::kF32;
  KvFormat kv = KvFormat::kF32;
};

// All memory is allocated here, but for that of prepared inputs, which grows with the first of each
// size; after that a token allocates nothing. Uses `pool`, which must outlive it, and is not to be
// used by two threads at once.
class Session {
 public:
  // Longer inputs are processed in blocks of this many tokens, which bounds the scratch memory.
  static constexpr size_t kMaxBlockTokens = 512;

  // Errors: kInvalidArgument for a context of 0 or beyond the model's, kOutOfMemory.
  static Result<Session> Create(const ModelConfig& config, ThreadPool& pool,
                                const SessionOptions& options);

  size_t length() const { return cache_.length(); }  // positions filled
  size_t max_context() const { return cache_.capacity(); }
  ThreadPool& pool() const { return *pool_; }

  // Forgets all positions from `length` on. Pre: length <= length().
  void Truncate(size_t length) { cache_.Truncate(length); }
  void Clear() { Truncate(0); }

 private:
  friend class Model;

  Session(const ModelConfig& config, ThreadPool& pool, const SessionOptions& options);

  ThreadPool* pool_;
  ActivationMode activations_;
  size_t block_tokens_;  // T, the most tokens of one block
  KvCache cache_;
  RopeTable rope_;
  std::optional<RopeTable> window_rope_;     // of the layers with a window, if it differs
  std::vector<uint32_t> learned_positions_;  // (max_context): 0, 1, ...; empty without such
  AttentionScratch attention_scratch_;
  Activations input_;            // of the products at hand
  AlignedBuffer<float> x_;       // (T, hidden): the residual stream
  AlignedBuffer<float> normed_;  // (T, hidden)
  AlignedBuffer<float> delta_;   // (T, hidden): what a block adds to the residual stream
  AlignedBuffer<float> q_;       // (T, num_heads, head_dim)
  AlignedBuffer<float> k_;       // (T, num_kv_heads, head_dim)
  AlignedBuffer<float> v_;       // (T, num_kv_heads, head_dim)
  AlignedBuffer<float> mixed_;   // (T, num_heads, head_dim): what attention gives
  AlignedBuffer<float> gate_;    // (T, intermediate)
  AlignedBuffer<float> up_;      // (T, intermediate)
  AlignedBuffer<float> fused_;   // (T, widest fused product)
};

}  // namespace ecq

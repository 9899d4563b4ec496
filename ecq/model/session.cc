// Allocation of a session.
#include "ecq/model/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <numeric>

namespace ecq {
namespace {

// Outputs of the widest product that computes several things at once.
size_t WidestFused(const ModelConfig& config) {
  const size_t qkv = config.query_size() + 2 * size_t{config.kv_size()};
  const size_t gate_up = 2 * size_t{config.intermediate_size};
  return std::max(config.tensors.qkv.empty() ? 0 : qkv,
                  config.tensors.gate_up.empty() ? 0 : gate_up);
}

}  // namespace

Result<Session> Session::Create(const ModelConfig& config, ThreadPool& pool,
                                const SessionOptions& options) {
  if (options.max_context == 0 || options.max_context > config.max_positions) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("a context of {} positions was asked for; this model has 1 to {}",
                             options.max_context, config.max_positions)};
  }
  try {
    return Session(config, pool, options);
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory,
                 fmt::format("no memory for a context of {} positions; ask for a shorter one",
                             options.max_context)};
  }
}

Session::Session(const ModelConfig& config, ThreadPool& pool, const SessionOptions& options)
    : pool_(&pool),
      activations_(options.activations),
      block_tokens_(std::min(kMaxBlockTokens, options.max_context)),
      cache_(config, options.max_context, options.kv),
      rope_(options.max_context, config.head_dim, config.rope),
      attention_scratch_(config, pool.num_threads(), options.max_context),
      x_(block_tokens_ * config.hidden_size),
      normed_(x_.size()),
      delta_(x_.size()),
      q_(block_tokens_ * config.query_size()),
      k_(block_tokens_ * config.kv_size()),
      v_(k_.size()),
      mixed_(q_.size()),
      gate_(block_tokens_ * config.intermediate_size),
      up_(gate_.size()),
      fused_(block_tokens_ * WidestFused(config)) {
  if (config.window_rope) {
    window_rope_.emplace(options.max_context, config.head_dim, *config.window_rope);
  }
  if (!config.tensors.positions.empty()) {
    learned_positions_.resize(options.max_context);
    std::iota(learned_positions_.begin(), learned_positions_.end(), 0u);
  }
}

}  // namespace ecq

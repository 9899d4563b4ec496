// The forward pass.
#include "ecq/model/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "ecq/kernels/cpu/dense_kernels.h"
#include "ecq/model/attention.h"
#include "ecq/model/model_loader.h"
#include "ecq/model/norm.h"

namespace ecq {
namespace {

// x += delta
void AddTo(float* x, const float* delta, size_t n) { ActiveDenseKernels().add_to(x, delta, n); }

// gate (t, size) = activation(gate), times up (t, size) if the MLP is gated.
void Activate(ThreadPool& pool, MlpKind kind, size_t t, size_t size, float* gate, const float* up) {
  const DenseKernels& kernels = ActiveDenseKernels();
  pool.Run(t, [&](size_t row, size_t /*worker*/) {
    float* const g = gate + row * size;
    const float* const u = up + row * size;
    if (kind == MlpKind::kSiluGated) {
      kernels.silu_mul(g, u, size);
      return;
    }
    kernels.gelu_tanh(g, size);
    if (kind == MlpKind::kGelu) return;
    for (size_t i = 0; i < size; ++i) g[i] *= u[i];
  });
}

void Show(InputObserver* observer, InputSite site, size_t first, size_t t, size_t cols,
          const float* x) {
  if (observer != nullptr) observer->Observe(site, first, t, cols, x);
}

Status CheckRoom(const Session& session, size_t num_tokens) {
  if (num_tokens <= session.max_context() - session.length()) return OkStatus();
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("{} tokens at position {} do not fit a context of {}", num_tokens,
                           session.length(), session.max_context())};
}

Status CheckEmpty(const Session& session) {
  if (session.length() == 0) return OkStatus();
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("a pass by layers starts at position 0, the session is at {}; clear it",
                           session.length())};
}

}  // namespace

Result<Model> Model::Load(const ModelConfig& config, WeightProvider& weights) {
  Model model;
  model.config_ = config;
  ECQ_RETURN_IF_ERROR(Loader(config, weights).Load(&model));
  return model;
}

uint64_t Model::resident_bytes() const {
  uint64_t bytes = embedding_->resident_bytes();
  for (const Layer& layer : layers_) {
    for (const Linear& linear : layer.qkv) bytes += linear.weight->resident_bytes();
    bytes += layer.output.weight->resident_bytes();
    for (const Linear& linear : layer.up) bytes += linear.weight->resident_bytes();
    bytes += layer.down.weight->resident_bytes();
  }
  if (positions_ != nullptr) bytes += positions_->resident_bytes();
  return head_ == nullptr ? bytes : bytes + head_->resident_bytes();
}

Status Model::CheckTokens(const Session& session, std::span<const uint32_t> tokens) const {
  ECQ_RETURN_IF_ERROR(CheckRoom(session, tokens.size()));
  for (const uint32_t token : tokens) {
    if (token >= config_.vocab_size) {
      return Error{
          ErrorCode::kInvalidArgument,
          fmt::format("token {} is outside the vocabulary of {}", token, config_.vocab_size)};
    }
  }
  return OkStatus();
}

template <typename F>
Status Model::RunBlocks(Session& session, size_t num_tokens, F&& run) {
  const size_t start = session.length();
  for (size_t done = 0; done < num_tokens;) {
    const size_t t = std::min(num_tokens - done, session.block_tokens_);
    Status status = run(done, t);
    if (!status.ok()) {
      session.Truncate(start);
      return status;
    }
    session.cache_.Advance(t);
    done += t;
  }
  return OkStatus();
}

Status Model::Forward(Session& session, std::span<const uint32_t> tokens, float* hidden) const {
  ECQ_RETURN_IF_ERROR(CheckTokens(session, tokens));
  return RunBlocks(session, tokens.size(), [&](size_t begin, size_t t) {
    return ForwardBlock(session, tokens.subspan(begin, t), hidden + begin * config_.hidden_size);
  });
}

Status Model::ForwardBlock(Session& session, std::span<const uint32_t> tokens,
                           float* hidden) const {
  const size_t t = tokens.size();
  float* const x = session.x_.data();  // (t, hidden)
  ECQ_RETURN_IF_ERROR(Embed(session, tokens, x));
  for (size_t i = 0; i < layers_.size(); ++i) {
    ECQ_RETURN_IF_ERROR(RunLayer(session, i, t, x, nullptr));
  }
  FinalNorm(session, t, x, hidden);
  return OkStatus();
}

Status Model::EmbedTokens(Session& session, std::span<const uint32_t> tokens, float* x) const {
  ECQ_RETURN_IF_ERROR(CheckEmpty(session));
  ECQ_RETURN_IF_ERROR(CheckTokens(session, tokens));
  Status status = RunBlocks(session, tokens.size(), [&](size_t begin, size_t t) {
    return Embed(session, tokens.subspan(begin, t), x + begin * config_.hidden_size);
  });
  session.Clear();
  return status;
}

Status Model::ForwardLayer(Session& session, size_t layer, size_t t, float* x,
                           InputObserver* observer) const {
  ECQ_RETURN_IF_ERROR(CheckEmpty(session));
  ECQ_RETURN_IF_ERROR(CheckRoom(session, t));
  Status status = RunBlocks(session, t, [&](size_t begin, size_t block_t) {
    return RunLayer(session, layer, block_t, x + begin * config_.hidden_size, observer);
  });
  session.Clear();
  return status;
}

Status Model::RunLayer(Session& session, size_t layer_index, size_t t, float* x,
                       InputObserver* observer) const {
  ECQ_RETURN_IF_ERROR(AddAttention(session, layer_index, t, x, observer));
  return AddMlp(session, layers_[layer_index], t, x, observer);
}

Status Model::Embed(Session& session, std::span<const uint32_t> tokens, float* x) const {
  ThreadPool& pool = session.pool();
  const size_t size = tokens.size() * config_.hidden_size;
  float* delta = session.delta_.data();  // (t, hidden)
  ECQ_RETURN_IF_ERROR(embedding_->GatherRows(pool, tokens, x));
  if (config_.embedding_scale != 1) {
    for (size_t i = 0; i < size; ++i) x[i] *= config_.embedding_scale;
  }
  if (positions_ != nullptr) {
    const std::span<const uint32_t> all(session.learned_positions_);
    ECQ_RETURN_IF_ERROR(
        positions_->GatherRows(pool, all.subspan(session.length(), tokens.size()), delta));
    AddTo(x, delta, size);
  }
  return OkStatus();
}

void Model::Normalize(Session& session, const Norm& norm, size_t rows, const float* x,
                      float* out) const {
  const float eps = static_cast<float>(config_.norm_eps);
  if (config_.norm == NormKind::kLayer) {
    LayerNorm(session.pool(), norm.weight, norm.bias, eps, rows, x, out);
  } else {
    RmsNorm(session.pool(), norm.weight, eps, rows, x, out);
  }
}

void Model::AddDelta(Session& session, const Norm& norm, size_t t, float* x) const {
  float* delta = session.delta_.data();  // (t, hidden)
  if (!norm.weight.empty()) Normalize(session, norm, t, delta, delta);
  AddTo(x, delta, t * config_.hidden_size);
}

// x += Attention(Norm(x)) Wo^T
Status Model::AddAttention(Session& session, size_t layer_index, size_t t, float* x,
                           InputObserver* observer) const {
  const Layer& layer = layers_[layer_index];
  ThreadPool& pool = session.pool();
  const size_t position = session.length();
  const size_t num_heads = config_.num_heads;
  const size_t num_kv_heads = config_.num_kv_heads;
  float* normed = session.normed_.data();  // (t, hidden)
  float* q = session.q_.data();            // (t, num_heads, head_dim)
  float* k = session.k_.data();            // (t, num_kv_heads, head_dim)
  float* v = session.v_.data();            // (t, num_kv_heads, head_dim)
  float* mixed = session.mixed_.data();    // (t, num_heads, head_dim)

  Normalize(session, layer.attention_norm, t, x, normed);
  Show(observer, InputSite::kAttention, position, t, config_.hidden_size, normed);
  const Part parts[] = {{q, config_.query_size()}, {k, config_.kv_size()}, {v, config_.kv_size()}};
  ECQ_RETURN_IF_ERROR(ApplyParts(session, layer.qkv, t, normed, parts));
  if (!layer.query_norm.weight.empty()) Normalize(session, layer.query_norm, t * num_heads, q, q);
  if (!layer.key_norm.weight.empty()) Normalize(session, layer.key_norm, t * num_kv_heads, k, k);
  const bool has_window = config_.window(layer_index) != 0;
  const RopeTable& rope =
      has_window && session.window_rope_ ? *session.window_rope_ : session.rope_;
  rope.Rotate(pool, position, t, num_heads, q);
  rope.Rotate(pool, position, t, num_kv_heads, k);
  session.cache_.Append(layer_index, t, k, v);
  Attend(pool, config_, session.cache_, layer_index, t, q, session.attention_scratch_, mixed);
  Show(observer, InputSite::kOutput, position, t, config_.query_size(), mixed);
  ECQ_RETURN_IF_ERROR(layer.output.Apply(session, t, mixed, session.delta_.data()));
  AddDelta(session, layer.post_attention_norm, t, x);
  return OkStatus();
}

// x += MLP(Norm(x)), as MlpKind says
Status Model::AddMlp(Session& session, const Layer& layer, size_t t, float* x,
                     InputObserver* observer) const {
  const size_t size = config_.intermediate_size;
  float* normed = session.normed_.data();  // (t, hidden)
  float* gate = session.gate_.data();      // (t, intermediate)
  float* up = session.up_.data();          // (t, intermediate)

  Normalize(session, layer.mlp_norm, t, x, normed);
  Show(observer, InputSite::kUp, session.length(), t, config_.hidden_size, normed);
  const Part parts[] = {{gate, size}, {up, size}};
  const size_t num_parts = config_.mlp == MlpKind::kGelu ? 1 : 2;
  ECQ_RETURN_IF_ERROR(ApplyParts(session, layer.up, t, normed, std::span(parts).first(num_parts)));
  Activate(session.pool(), config_.mlp, t, size, gate, up);
  Show(observer, InputSite::kDown, session.length(), t, size, gate);
  ECQ_RETURN_IF_ERROR(layer.down.Apply(session, t, gate, session.delta_.data()));
  AddDelta(session, layer.post_mlp_norm, t, x);
  return OkStatus();
}

Status Model::ApplyParts(Session& session, std::span<const Linear> linears, size_t t,
                         const float* x, std::span<const Part> parts) {
  session.input_.Reset(t, linears.front().weight->cols(), x);
  if (linears.size() == parts.size()) {
    for (size_t i = 0; i < parts.size(); ++i) {
      ECQ_RETURN_IF_ERROR(linears[i].Apply(session, parts[i].data));
    }
    return OkStatus();
  }
  const float* from = session.fused_.data();  // (t, sizes of all parts)
  ECQ_RETURN_IF_ERROR(linears.front().Apply(session, session.fused_.data()));
  for (size_t row = 0; row < t; ++row) {
    for (const Part& part : parts) {
      std::copy_n(from, part.size, part.data + row * part.size);
      from += part.size;
    }
  }
  return OkStatus();
}

Status Model::Linear::Apply(Session& session, size_t t, const float* x, float* y) const {
  session.input_.Reset(t, weight->cols(), x);
  return Apply(session, y);
}

Status Model::Linear::Apply(Session& session, float* y) const {
  ECQ_RETURN_IF_ERROR(weight->Multiply(session.pool(), session.activations_, session.input_, y));
  if (!bias.empty()) {
    for (size_t row = 0; row < session.input_.m(); ++row) {
      AddTo(y + row * bias.size(), bias.data(), bias.size());
    }
  }
  return OkStatus();
}

Status Model::Logits(Session& session, size_t t, const float* hidden, float* logits) const {
  session.input_.Reset(t, config_.hidden_size, hidden);
  return head().Multiply(session.pool(), session.activations_, session.input_, logits);
}

}  // namespace ecq

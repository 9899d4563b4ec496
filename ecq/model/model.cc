// Weight binding and the forward pass.
#include "ecq/model/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "ecq/kernels/cpu/dense_kernels.h"
#include "ecq/model/attention.h"
#include "ecq/model/rms_norm.h"

namespace ecq {
namespace {

// x += delta
void AddTo(float* x, const float* delta, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] += delta[i];
}

// gate (t, size) = silu(gate) * up
void SiluMul(ThreadPool& pool, size_t t, size_t size, float* gate, const float* up) {
  const DenseKernels& kernels = ActiveDenseKernels();
  pool.Run(t, [&](size_t row, size_t /*worker*/) {
    kernels.silu_mul(gate + row * size, up + row * size, size);
  });
}

}  // namespace

Result<Model::Linear> Model::LoadLinear(WeightProvider& weights, const std::string& name,
                                        uint64_t out, uint64_t in, bool with_bias) {
  Linear linear;
  ECQ_TRY(linear.weight, weights.GetMatrix(name + ".weight", out, in));
  if (with_bias) {
    ECQ_TRY(linear.bias, weights.GetVector(name + ".bias", out));
  }
  return linear;
}

Result<Model::Layer> Model::LoadLayer(const ModelConfig& config, WeightProvider& weights,
                                      size_t index) {
  const std::string prefix = fmt::format("model.layers.{}.", index);
  const std::string attention = prefix + "self_attn.";
  const std::string mlp = prefix + "mlp.";
  const uint64_t hidden = config.hidden_size;
  const uint64_t intermediate = config.intermediate_size;
  const uint64_t query = config.query_size();
  const uint64_t kv = config.kv_size();
  const bool qkv_bias = config.qkv_bias;

  Layer layer;
  ECQ_TRY(layer.attention_norm, weights.GetVector(prefix + "input_layernorm.weight", hidden));
  ECQ_TRY(layer.query, LoadLinear(weights, attention + "q_proj", query, hidden, qkv_bias));
  ECQ_TRY(layer.key, LoadLinear(weights, attention + "k_proj", kv, hidden, qkv_bias));
  ECQ_TRY(layer.value, LoadLinear(weights, attention + "v_proj", kv, hidden, qkv_bias));
  ECQ_TRY(layer.output,
          LoadLinear(weights, attention + "o_proj", hidden, query, config.attention_output_bias));
  ECQ_TRY(layer.mlp_norm, weights.GetVector(prefix + "post_attention_layernorm.weight", hidden));
  ECQ_TRY(layer.gate, LoadLinear(weights, mlp + "gate_proj", intermediate, hidden, false));
  ECQ_TRY(layer.up, LoadLinear(weights, mlp + "up_proj", intermediate, hidden, false));
  ECQ_TRY(layer.down, LoadLinear(weights, mlp + "down_proj", hidden, intermediate, false));
  return layer;
}

Result<Model> Model::Load(const ModelConfig& config, WeightProvider& weights) {
  Model model;
  model.config_ = config;
  const uint64_t vocab = config.vocab_size;
  const uint64_t hidden = config.hidden_size;
  ECQ_TRY(model.embedding_, weights.GetMatrix("model.embed_tokens.weight", vocab, hidden));
  for (size_t i = 0; i < config.num_layers; ++i) {
    ECQ_TRY(Layer layer, LoadLayer(config, weights, i));
    model.layers_.push_back(std::move(layer));
  }
  ECQ_TRY(model.final_norm_, weights.GetVector("model.norm.weight", hidden));
  if (!config.tie_word_embeddings) {
    ECQ_TRY(model.head_, weights.GetMatrix("lm_head.weight", vocab, hidden));
  }
  return model;
}

uint64_t Model::resident_bytes() const {
  uint64_t bytes = embedding_->resident_bytes();
  for (const Layer& layer : layers_) {
    for (const Linear* linear : {&layer.query, &layer.key, &layer.value, &layer.output, &layer.gate,
                                 &layer.up, &layer.down}) {
      bytes += linear->weight->resident_bytes();
    }
  }
  return head_ == nullptr ? bytes : bytes + head_->resident_bytes();
}

Status Model::Forward(Session& session, std::span<const uint32_t> tokens, float* hidden) const {
  const size_t start = session.length();
  if (tokens.size() > session.max_context() - start) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{} tokens at position {} do not fit a context of {}", tokens.size(),
                             start, session.max_context())};
  }
  for (const uint32_t token : tokens) {
    if (token >= config_.vocab_size) {
      return Error{
          ErrorCode::kInvalidArgument,
          fmt::format("token {} is outside the vocabulary of {}", token, config_.vocab_size)};
    }
  }
  for (size_t done = 0; done < tokens.size();) {
    const size_t t = std::min(tokens.size() - done, session.block_tokens_);
    Status status =
        ForwardBlock(session, tokens.subspan(done, t), hidden + done * config_.hidden_size);
    if (!status.ok()) {
      session.Truncate(start);
      return status;
    }
    done += t;
  }
  return OkStatus();
}

Status Model::ForwardBlock(Session& session, std::span<const uint32_t> tokens,
                           float* hidden) const {
  ThreadPool& pool = session.pool();
  const size_t t = tokens.size();
  float* x = session.x_.data();  // (t, hidden)
  ECQ_RETURN_IF_ERROR(embedding_->GatherRows(pool, tokens, x));
  for (size_t i = 0; i < layers_.size(); ++i) {
    ECQ_RETURN_IF_ERROR(AddAttention(session, i, t));
    ECQ_RETURN_IF_ERROR(AddMlp(session, layers_[i], t));
  }
  RmsNorm(pool, final_norm_, static_cast<float>(config_.rms_norm_eps), t, x, hidden);
  session.cache_.Advance(t);
  return OkStatus();
}

// x += Attention(RmsNorm(x)) Wo^T
Status Model::AddAttention(Session& session, size_t layer_index, size_t t) const {
  const Layer& layer = layers_[layer_index];
  ThreadPool& pool = session.pool();
  const size_t position = session.length();
  float* x = session.x_.data();            // (t, hidden)
  float* normed = session.normed_.data();  // (t, hidden)
  float* q = session.q_.data();            // (t, num_heads, head_dim)
  float* k = session.k_.data();            // (t, num_kv_heads, head_dim)
  float* v = session.v_.data();            // (t, num_kv_heads, head_dim)
  float* mixed = session.mixed_.data();    // (t, num_heads, head_dim)
  float* delta = session.delta_.data();    // (t, hidden)

  RmsNorm(pool, layer.attention_norm, static_cast<float>(config_.rms_norm_eps), t, x, normed);
  ECQ_RETURN_IF_ERROR(layer.query.Apply(session, t, normed, q));
  ECQ_RETURN_IF_ERROR(layer.key.Apply(session, t, normed, k));
  ECQ_RETURN_IF_ERROR(layer.value.Apply(session, t, normed, v));
  session.rope_.Rotate(pool, position, t, config_.num_heads, q);
  session.rope_.Rotate(pool, position, t, config_.num_kv_heads, k);
  session.cache_.Append(layer_index, t, k, v);
  Attend(pool, config_, session.cache_, layer_index, t, q, session.attention_scratch_, mixed);
  ECQ_RETURN_IF_ERROR(layer.output.Apply(session, t, mixed, delta));
  AddTo(x, delta, t * config_.hidden_size);
  return OkStatus();
}

// x += (silu(h Wgate^T) * (h Wup^T)) Wdown^T with h = RmsNorm(x)
Status Model::AddMlp(Session& session, const Layer& layer, size_t t) const {
  ThreadPool& pool = session.pool();
  float* x = session.x_.data();            // (t, hidden)
  float* normed = session.normed_.data();  // (t, hidden)
  float* gate = session.gate_.data();      // (t, intermediate)
  float* up = session.up_.data();          // (t, intermediate)
  float* delta = session.delta_.data();    // (t, hidden)

  RmsNorm(pool, layer.mlp_norm, static_cast<float>(config_.rms_norm_eps), t, x, normed);
  ECQ_RETURN_IF_ERROR(layer.gate.Apply(session, t, normed, gate));
  ECQ_RETURN_IF_ERROR(layer.up.Apply(session, t, normed, up));
  SiluMul(pool, t, config_.intermediate_size, gate, up);
  ECQ_RETURN_IF_ERROR(layer.down.Apply(session, t, gate, delta));
  AddTo(x, delta, t * config_.hidden_size);
  return OkStatus();
}

Status Model::Linear::Apply(const Session& session, size_t t, const float* x, float* y) const {
  ECQ_RETURN_IF_ERROR(weight->Multiply(session.pool(), session.activations_, t, x, y));
  if (!bias.empty()) {
    for (size_t row = 0; row < t; ++row) AddTo(y + row * bias.size(), bias.data(), bias.size());
  }
  return OkStatus();
}

Status Model::Logits(Session& session, size_t t, const float* hidden, float* logits) const {
  return head().Multiply(session.pool(), session.activations_, t, hidden, logits);
}

}  // namespace ecq

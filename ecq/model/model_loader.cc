// Binds the tensors of a checkpoint to the blocks of a model.
#include "ecq/model/model_loader.h"

#include <fmt/format.h>

#include <utility>

namespace ecq {

Model::Loader::Loader(const ModelConfig& config, WeightProvider& weights)
    : config_(config), names_(config.tensors), weights_(weights) {
  if (weights.Has(fmt::format("{}{}.weight", names_.root, names_.embedding))) root_ = names_.root;
}

Result<std::unique_ptr<Matrix>> Model::Loader::LoadMatrix(std::string_view name, uint64_t rows,
                                                          uint64_t cols) {
  return weights_.GetMatrix(fmt::format("{}{}.weight", root_, name), rows, cols);
}

Result<Model::Linear> Model::Loader::LoadLinear(const std::string& name, uint64_t out, uint64_t in,
                                                bool with_bias) {
  Linear linear;
  ECQ_TRY(linear.weight, weights_.GetMatrix(name + ".weight", out, in));
  if (with_bias) {
    ECQ_TRY(linear.bias, weights_.GetVector(name + ".bias", out));
  }
  return linear;
}

Result<Model::Norm> Model::Loader::LoadNorm(const std::string& prefix, std::string_view name,
                                            uint64_t size) {
  Norm norm;
  if (name.empty()) return norm;
  ECQ_TRY(norm.weight, weights_.GetVector(fmt::format("{}{}.weight", prefix, name), size));
  if (config_.norm == NormKind::kLayer) {
    ECQ_TRY(norm.bias, weights_.GetVector(fmt::format("{}{}.bias", prefix, name), size));
  }
  if (config_.norm == NormKind::kRmsPlusOne) {
    for (float& w : norm.weight) w += 1;
  }
  return norm;
}

Result<std::vector<Model::Linear>> Model::Loader::LoadQkv(const std::string& prefix) {
  const uint64_t query = config_.query_size();
  const uint64_t kv = config_.kv_size();
  std::vector<std::pair<std::string_view, uint64_t>> parts{
      {names_.query, query}, {names_.key, kv}, {names_.value, kv}};
  if (!names_.qkv.empty()) parts = {{names_.qkv, query + 2 * kv}};
  std::vector<Linear> linears;
  for (const auto& [name, rows] : parts) {
    ECQ_TRY(Linear linear, LoadLinear(fmt::format("{}{}", prefix, name), rows, config_.hidden_size,
                                      config_.qkv_bias));
    linears.push_back(std::move(linear));
  }
  return linears;
}

Result<std::vector<Model::Linear>> Model::Loader::LoadUp(const std::string& prefix) {
  const uint64_t size = config_.intermediate_size;
  std::vector<std::pair<std::string_view, uint64_t>> parts{{names_.gate, size}, {names_.up, size}};
  if (config_.mlp == MlpKind::kGelu) parts = {{names_.up, size}};
  if (!names_.gate_up.empty()) parts = {{names_.gate_up, 2 * size}};
  std::vector<Linear> linears;
  for (const auto& [name, rows] : parts) {
    ECQ_TRY(Linear linear, LoadLinear(fmt::format("{}{}", prefix, name), rows, config_.hidden_size,
                                      config_.mlp_bias));
    linears.push_back(std::move(linear));
  }
  return linears;
}

Result<Model::Layer> Model::Loader::LoadLayer(size_t index) {
  const std::string prefix = fmt::format("{}{}{}.", root_, names_.layers, index);
  const uint64_t hidden = config_.hidden_size;
  Layer layer;
  ECQ_TRY(layer.attention_norm, LoadNorm(prefix, names_.attention_norm, hidden));
  ECQ_TRY(layer.qkv, LoadQkv(prefix));
  ECQ_TRY(layer.query_norm, LoadNorm(prefix, names_.query_norm, config_.head_dim));
  ECQ_TRY(layer.key_norm, LoadNorm(prefix, names_.key_norm, config_.head_dim));
  ECQ_TRY(layer.output, LoadLinear(fmt::format("{}{}", prefix, names_.output), hidden,
                                   config_.query_size(), config_.attention_output_bias));
  ECQ_TRY(layer.post_attention_norm, LoadNorm(prefix, names_.post_attention_norm, hidden));
  ECQ_TRY(layer.mlp_norm, LoadNorm(prefix, names_.mlp_norm, hidden));
  ECQ_TRY(layer.up, LoadUp(prefix));
  ECQ_TRY(layer.down, LoadLinear(fmt::format("{}{}", prefix, names_.down), hidden,
                                 config_.intermediate_size, config_.mlp_bias));
  ECQ_TRY(layer.post_mlp_norm, LoadNorm(prefix, names_.post_mlp_norm, hidden));
  return layer;
}

Status Model::Loader::Load(Model* model) {
  const uint64_t hidden = config_.hidden_size;
  ECQ_TRY(model->embedding_, LoadMatrix(names_.embedding, config_.vocab_size, hidden));
  if (!names_.positions.empty()) {
    ECQ_TRY(model->positions_, LoadMatrix(names_.positions, config_.max_positions, hidden));
  }
  for (size_t i = 0; i < config_.num_layers; ++i) {
    ECQ_TRY(Layer layer, LoadLayer(i));
    model->layers_.push_back(std::move(layer));
  }
  ECQ_TRY(model->final_norm_, LoadNorm(root_, names_.final_norm, hidden));
  if (!config_.tie_word_embeddings) {
    ECQ_TRY(model->head_, weights_.GetMatrix("lm_head.weight", config_.vocab_size, hidden));
  }
  return OkStatus();
}

}  // namespace ecq

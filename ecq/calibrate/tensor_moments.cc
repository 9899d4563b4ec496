// Tensor names of a model, read backwards.
#include "ecq/calibrate/tensor_moments.h"

#include <charconv>
#include <utility>

namespace ecq {
namespace {

constexpr std::string_view kWeight = ".weight";

bool Strip(std::string_view prefix, std::string_view* text) {
  if (!text->starts_with(prefix)) return false;
  text->remove_prefix(prefix.size());
  return true;
}

// "12.rest" -> 12, "rest"; as the loader writes numbers.
std::optional<size_t> StripLayer(size_t num_layers, std::string_view* text) {
  size_t layer = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), layer);
  const auto digits = static_cast<size_t>(end - text->data());
  if (error != std::errc() || layer >= num_layers) return std::nullopt;
  if (digits > 1 && text->front() == '0') return std::nullopt;
  text->remove_prefix(digits);
  if (!Strip(".", text)) return std::nullopt;
  return layer;
}

std::optional<MomentsKind> KindInLayer(const ModelConfig& config, std::string_view name) {
  const TensorNames& names = config.tensors;
  if (names.qkv.empty()) {
    if (name == names.query || name == names.key) return MomentsKind::kAttention;
    if (name == names.value) return MomentsKind::kValue;
  } else if (name == names.qkv) {
    return MomentsKind::kAttention;
  }
  if (name == names.output) return MomentsKind::kOutput;
  if (names.gate_up.empty()) {
    if (name == names.up) return MomentsKind::kUp;
    if (name == names.gate && config.mlp != MlpKind::kGelu) return MomentsKind::kUp;
  } else if (name == names.gate_up) {
    return MomentsKind::kUp;
  }
  if (name == names.down) return MomentsKind::kDown;
  return std::nullopt;
}

}  // namespace

std::optional<TensorMoments> FindTensorMoments(const ModelConfig& config, std::string_view name) {
  const TensorNames& names = config.tensors;
  if (!name.ends_with(kWeight)) return std::nullopt;
  name.remove_suffix(kWeight.size());
  constexpr TensorMoments kHead{MomentsKind::kHead, 0};
  if (name == "lm_head") {
    if (config.tie_word_embeddings) return std::nullopt;
    return kHead;
  }
  Strip(names.root, &name);
  if (name == names.embedding && config.tie_word_embeddings) return kHead;
  if (!Strip(names.layers, &name)) return std::nullopt;
  const auto layer = StripLayer(config.num_layers, &name);
  if (!layer) return std::nullopt;
  const auto kind = KindInLayer(config, name);
  if (!kind) return std::nullopt;
  return TensorMoments{*kind, *layer};
}

const InputMoments& SelectMoments(const LayerMoments& layer, MomentsKind kind) {
  switch (kind) {
    case MomentsKind::kAttention:
      return layer.attention;
    case MomentsKind::kValue:
      return layer.value;
    case MomentsKind::kOutput:
      return layer.output;
    case MomentsKind::kUp:
      return layer.up;
    case MomentsKind::kDown:
    case MomentsKind::kHead:
      break;
  }
  return layer.down;
}

InputMoments& SelectMoments(LayerMoments& layer, MomentsKind kind) {
  return const_cast<InputMoments&>(SelectMoments(std::as_const(layer), kind));
}

uint32_t MomentsCols(const ModelConfig& config, MomentsKind kind) {
  switch (kind) {
    case MomentsKind::kOutput:
      return config.query_size();
    case MomentsKind::kDown:
      return config.intermediate_size;
    case MomentsKind::kAttention:
    case MomentsKind::kValue:
    case MomentsKind::kUp:
    case MomentsKind::kHead:
      break;
  }
  return config.hidden_size;
}

}  // namespace ecq

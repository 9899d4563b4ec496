// What a model's config.json says about its shape, validated.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/model/rope.h"
#include "ecq/model/tensor_names.h"

namespace ecq {

enum class NormKind : uint8_t {
  kRms,         // weight * x / rms(x)
  kRmsPlusOne,  // (1 + weight) * x / rms(x)
  kLayer,       // weight * (x - mean(x)) / deviation(x) + bias
};

enum class MlpKind : uint8_t {
  kSiluGated,  // down(silu(gate(x)) * up(x))
  kGeluGated,  // down(gelu(gate(x)) * up(x)); gelu by its tanh approximation
  kGelu,       // down(gelu(up(x)))
};

// How the shared blocks of ecq/model/model.h make one model. The defaults are those of Llama;
// ecq/model/architectures/ holds what others change.
//
// Invariants: every count is positive and bounded (ecq/model/config_reader.h), head_dim is even,
// num_heads is a multiple of num_kv_heads, and products of two sizes fit 64 bits by far.
struct ModelConfig {
  std::string architecture;  // as in "architectures" of config.json
  TensorNames tensors;
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;
  uint32_t num_layers = 0;
  uint32_t num_heads = 0;
  uint32_t num_kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t vocab_size = 0;
  uint32_t max_positions = 0;
  NormKind norm = NormKind::kRms;
  double norm_eps = 0;
  MlpKind mlp = MlpKind::kSiluGated;
  RopeConfig rope;
  std::optional<RopeConfig> window_rope;  // of the layers with a window; as `rope` if not there
  // Of each layer: how many positions a token attends to, its own included; 0 for all. Empty if
  // that is so in every layer.
  std::vector<uint32_t> windows;
  std::optional<double> score_divisor;  // scores are divided by its root; else by that of head_dim
  float embedding_scale = 1;
  bool tie_word_embeddings = false;  // the output head is the embedding matrix
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  std::optional<uint32_t> bos_id;
  std::vector<uint32_t> eos_ids;  // any of them ends a text; may be empty

  uint32_t query_size() const { return num_heads * head_dim; }
  uint32_t kv_size() const { return num_kv_heads * head_dim; }
  uint32_t window(size_t layer) const { return layer < windows.size() ? windows[layer] : 0; }
  float score_scale() const {
    return 1.0f / std::sqrt(static_cast<float>(score_divisor.value_or(head_dim)));
  }
};

// Parses the text of a Hugging Face config.json; absent fields take the defaults of Hugging Face.
// Errors: kBadHeader (not JSON, a field missing, of a wrong type or out of bounds), kBadLayout
// (fields contradict each other), kUnsupportedArchitecture (the name, or a feature it names).
Result<ModelConfig> ParseModelConfig(std::string_view json);

// Whether the weights of such a model can be quantized: it is one that ParseModelConfig() takes, or
// an encoder, which cannot be run. Errors: those of ParseModelConfig().
Status CheckQuantizable(std::string_view json);

}  // namespace ecq

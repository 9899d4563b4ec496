// What a model's config.json says about its shape, validated, and the architectures that are known.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"

namespace ecq {

// How one family of models fills in the shared blocks of ecq/model/model.h.
struct ArchitectureDescription {
  enum class Biases : uint8_t {
    kNone,
    kQkv,         // on the query, key and value projections
    kFromConfig,  // on those and on the output projection, if "attention_bias" says so
  };

  std::string_view name;  // as in "architectures" of config.json
  Biases attention_biases;
};

std::span<const ArchitectureDescription> KnownArchitectures();

// Invariants: every count is positive and bounded (see config.cc), head_dim is even, num_heads is a
// multiple of num_kv_heads, and products of two sizes fit 64 bits by far.
struct ModelConfig {
  std::string architecture;  // one of KnownArchitectures()
  uint32_t hidden_size = 0;
  uint32_t intermediate_size = 0;
  uint32_t num_layers = 0;
  uint32_t num_heads = 0;
  uint32_t num_kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t vocab_size = 0;
  uint32_t max_positions = 0;
  double rms_norm_eps = 0;
  double rope_theta = 0;
  bool tie_word_embeddings = false;  // the output head is the embedding matrix
  bool qkv_bias = false;
  bool attention_output_bias = false;
  std::optional<uint32_t> bos_id;
  std::vector<uint32_t> eos_ids;  // any of them ends a text; may be empty

  uint32_t query_size() const { return num_heads * head_dim; }
  uint32_t kv_size() const { return num_kv_heads * head_dim; }
};

// Parses the text of a Hugging Face config.json; absent fields take the defaults of Hugging Face.
// Errors: kBadHeader (not JSON, a field missing, of a wrong type or out of bounds), kBadLayout
// (fields contradict each other), kUnsupportedArchitecture (the name, or a feature it names).
Result<ModelConfig> ParseModelConfig(std::string_view json);

}  // namespace ecq

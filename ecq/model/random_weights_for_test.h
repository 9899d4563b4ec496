// Random weights of any shape, remembered by name: for tests of the model and what is above it.
#pragma once

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecq/backend/dense_matrix.h"
#include "ecq/base/rng.h"
#include "ecq/model/config.h"
#include "ecq/model/model_weights.h"

namespace ecq {

class RandomWeights final : public WeightProvider {
 public:
  explicit RandomWeights(uint64_t seed) : rng_(seed) {}

  bool Has(std::string_view /*name*/) const override { return true; }

  Result<std::unique_ptr<Matrix>> GetMatrix(std::string_view name, uint64_t rows,
                                            uint64_t cols) override {
    // Products keep the scale of their input; embeddings and logits get one of about 1.
    const std::vector<float>& values =
        Remember(name, rows * cols, 0, 1.5 / std::sqrt(static_cast<double>(cols)));
    AlignedBuffer<float> weights(values.size());
    std::copy(values.begin(), values.end(), weights.begin());
    ECQ_TRY(DenseMatrix matrix, DenseMatrix::Create(rows, cols, std::move(weights)));
    return std::unique_ptr<Matrix>(std::make_unique<DenseMatrix>(std::move(matrix)));
  }
  Result<std::vector<float>> GetVector(std::string_view name, uint64_t size) override {
    const bool is_bias = name.ends_with(".bias");
    return Remember(name, size, is_bias ? 0 : 1, 0.3);
  }

  // What was handed out under this name.
  const std::vector<float>& at(const std::string& name) const { return values_.at(name); }
  bool WasRead(const std::string& name) const { return values_.count(name) != 0; }

 private:
  const std::vector<float>& Remember(std::string_view name, uint64_t size, double mean,
                                     double deviation) {
    std::vector<float>& values = values_[std::string(name)];
    values.resize(size);
    for (float& v : values) v = static_cast<float>(mean + deviation * rng_.Gaussian());
    return values;
  }

  Rng rng_;
  std::map<std::string, std::vector<float>> values_;
};

// Odd sizes, grouped queries and more positions than one attention block.
inline ModelConfig TinyConfig() {
  ModelConfig config;
  config.architecture = "LlamaForCausalLM";
  config.hidden_size = 36;
  config.intermediate_size = 50;
  config.num_layers = 3;
  config.num_heads = 6;
  config.num_kv_heads = 2;
  config.head_dim = 10;
  config.vocab_size = 70;
  config.max_positions = 1024;
  config.norm_eps = 1e-5;
  config.rope.theta = 10000;
  config.rope.dims = 10;
  config.tie_word_embeddings = true;
  return config;
}

}  // namespace ecq

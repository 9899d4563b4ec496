// A decoder-only transformer: bound weights and the forward pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ecq/backend/matrix.h"
#include "ecq/base/result.h"
#include "ecq/model/config.h"
#include "ecq/model/model_weights.h"
#include "ecq/model/session.h"

namespace ecq {

// Immutable after loading; sessions of one model that use different pools may run concurrently.
class Model {
 public:
  // Binds all weights that `config` calls for, under their Hugging Face names.
  // Errors: those of `weights`.
  static Result<Model> Load(const ModelConfig& config, WeightProvider& weights);

  const ModelConfig& config() const { return config_; }
  // Bytes of all matrices, as resident; a tied head counts once.
  uint64_t resident_bytes() const;

  Result<Session> NewSession(ThreadPool& pool, const SessionOptions& options) const {
    return Session::Create(config_, pool, options);
  }

  // Runs `tokens` at the positions from session.length() on and writes the hidden states after the
  // last norm to hidden (tokens.size(), hidden_size).
  // Errors: kInvalidArgument for a token outside the vocabulary or a full context, kCorrupt from
  // the weights; then session.length() is what it was.
  Status Forward(Session& session, std::span<const uint32_t> tokens, float* hidden) const;

  // logits (t, vocab_size) of hidden (t, hidden_size). Errors: kCorrupt.
  Status Logits(Session& session, size_t t, const float* hidden, float* logits) const;

 private:
  struct Linear {
    std::unique_ptr<Matrix> weight;  // (out, in)
    std::vector<float> bias;         // (out), or empty

    // y (t, out) = x (t, in) W^T + bias
    Status Apply(const Session& session, size_t t, const float* x, float* y) const;
  };
  struct Layer {
    std::vector<float> attention_norm;  // (hidden)
    Linear query;                       // (num_heads * head_dim, hidden)
    Linear key;                         // (num_kv_heads * head_dim, hidden)
    Linear value;                       // (num_kv_heads * head_dim, hidden)
    Linear output;                      // (hidden, num_heads * head_dim)
    std::vector<float> mlp_norm;        // (hidden)
    Linear gate;                        // (intermediate, hidden)
    Linear up;                          // (intermediate, hidden)
    Linear down;                        // (hidden, intermediate)
  };

  static Result<Linear> LoadLinear(WeightProvider& weights, const std::string& name, uint64_t out,
                                   uint64_t in, bool with_bias);
  static Result<Layer> LoadLayer(const ModelConfig& config, WeightProvider& weights, size_t index);

  Status ForwardBlock(Session& session, std::span<const uint32_t> tokens, float* hidden) const;
  Status AddAttention(Session& session, size_t layer_index, size_t t) const;
  Status AddMlp(Session& session, const Layer& layer, size_t t) const;
  const Matrix& head() const { return head_ != nullptr ? *head_ : *embedding_; }

  ModelConfig config_;
  std::unique_ptr<Matrix> embedding_;  // (vocab, hidden)
  std::vector<Layer> layers_;
  std::vector<float> final_norm_;  // (hidden)
  std::unique_ptr<Matrix> head_;   // (vocab, hidden); null if tied to the embedding
};

}  // namespace ecq

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
#include "ecq/model/input_observer.h"
#include "ecq/model/model_weights.h"
#include "ecq/model/session.h"

namespace ecq {

// Immutable after loading; sessions of one model that use different pools may run concurrently.
class Model {
 public:
  // Binds all weights that `config` calls for, under their Hugging Face names, with the root of
  // those names or without.
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

  // Forward() in its steps, for a pass that takes one layer over many sequences before the next.
  // The residual stream x (t, hidden_size) of a whole sequence, from position 0 on, is the
  // caller's; `session` is empty before and after, and lends its scratch memory.
  //
  // The three give the bits that Forward() gives. Errors: kInvalidArgument for a token outside the
  // vocabulary, more tokens than the context or a session that is not empty; kCorrupt.
  Status EmbedTokens(Session& session, std::span<const uint32_t> tokens, float* x) const;
  // `observer` may be null. Pre: layer < num_layers.
  Status ForwardLayer(Session& session, size_t layer, size_t t, float* x,
                      InputObserver* observer) const;
  // hidden may be x.
  void FinalNorm(Session& session, size_t t, const float* x, float* hidden) const {
    Normalize(session, final_norm_, t, x, hidden);
  }

  // logits (t, vocab_size) of hidden (t, hidden_size). Errors: kCorrupt.
  Status Logits(Session& session, size_t t, const float* hidden, float* logits) const;

 private:
  struct Linear {
    std::unique_ptr<Matrix> weight;  // (out, in)
    std::vector<float> bias;         // (out), or empty

    // y (t, out) = session.input_ (t, in) W^T + bias
    Status Apply(Session& session, float* y) const;
    // The same for an x that meets no other matrix.
    Status Apply(Session& session, size_t t, const float* x, float* y) const;
  };
  struct Norm {
    std::vector<float> weight;  // (size); empty if there is no such norm
    std::vector<float> bias;    // (size), or empty
  };
  struct Layer {
    Norm attention_norm;       // (hidden)
    std::vector<Linear> qkv;   // query, key and value; or one with all their rows
    Norm query_norm;           // (head_dim), or none
    Norm key_norm;             // (head_dim), or none
    Linear output;             // (hidden, num_heads * head_dim)
    Norm post_attention_norm;  // (hidden), or none
    Norm mlp_norm;             // (hidden)
    std::vector<Linear> up;    // gate and up; or one with the rows of both; or up alone
    Linear down;               // (hidden, intermediate)
    Norm post_mlp_norm;        // (hidden), or none
  };
  // Where one part of a product goes: (t, size).
  struct Part {
    float* data;
    size_t size;
  };
  class Loader;

  // Calls run(begin, t) for one block of `num_tokens` after the other, with session.length() at its
  // first position; after an error the session is as it was.
  template <typename F>
  static Status RunBlocks(Session& session, size_t num_tokens, F&& run);
  Status ForwardBlock(Session& session, std::span<const uint32_t> tokens, float* hidden) const;
  Status CheckTokens(const Session& session, std::span<const uint32_t> tokens) const;
  // Of one block at session.length(): x (t, hidden) is the residual stream.
  Status Embed(Session& session, std::span<const uint32_t> tokens, float* x) const;
  Status RunLayer(Session& session, size_t layer_index, size_t t, float* x,
                  InputObserver* observer) const;
  Status AddAttention(Session& session, size_t layer_index, size_t t, float* x,
                      InputObserver* observer) const;
  Status AddMlp(Session& session, const Layer& layer, size_t t, float* x,
                InputObserver* observer) const;
  // `x` and `out` (rows, size of the norm); out may be x.
  void Normalize(Session& session, const Norm& norm, size_t rows, const float* x, float* out) const;
  // x += delta of a block, normalized first if the architecture does that.
  void AddDelta(Session& session, const Norm& norm, size_t t, float* x) const;
  // The products of x (t, in) with `linears`, one for each part or one for all.
  static Status ApplyParts(Session& session, std::span<const Linear> linears, size_t t,
                           const float* x, std::span<const Part> parts);
  const Matrix& head() const { return head_ != nullptr ? *head_ : *embedding_; }

  ModelConfig config_;
  std::unique_ptr<Matrix> embedding_;  // (vocab, hidden)
  std::unique_ptr<Matrix> positions_;  // (max_positions, hidden); null if not learned
  std::vector<Layer> layers_;
  Norm final_norm_;               // (hidden)
  std::unique_ptr<Matrix> head_;  // (vocab, hidden); null if tied to the embedding
};

}  // namespace ecq

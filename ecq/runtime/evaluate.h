// Perplexity of a model over token windows, and its distance from another model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/model/model.h"

namespace ecq {

using TokenWindow = std::vector<uint32_t>;

// What is evaluated: every window on its own, from an empty context. Position i of a window
// predicts its token i + 1; the predictions of the first `score_from` positions are not scored.
struct EvaluationSet {
  std::vector<TokenWindow> windows;
  size_t score_from = 0;

  size_t num_scored() const;
  size_t max_window() const;
};

enum class WindowProtocol : uint8_t {
  // As llama-perplexity: BOS, if there is one, before the text, then full windows only, the first
  // token of each replaced by BOS; predictions scored from position context / 2 on.
  kLlamaPerplexity,
  // Everything: BOS, if there is one, before the text of each window, the last one partial, all
  // predictions scored.
  kFull,
};

// Cuts a text into windows of `context` tokens. Errors: kInvalidArgument if context < 2, or if not
// a single prediction is to be scored.
Result<EvaluationSet> SplitIntoWindows(std::span<const uint32_t> ids, size_t context,
                                       std::optional<uint32_t> bos, WindowProtocol protocol);

struct MeanAndError {
  double mean = 0;
  double standard_error = 0;  // of the mean, positions taken as independent; 0 for one position
};

struct EvaluationResult {
  uint64_t tokens = 0;      // scored predictions
  MeanAndError nll;         // nats per token
  MeanAndError perplexity;  // exp(nll.mean); the error is that of nll times the perplexity

  // Against the base model, if there is one.
  std::optional<MeanAndError> kl;    // KL(base || model) in nats per token
  std::optional<MeanAndError> top1;  // share of positions with the same likeliest token
};

struct EvaluateOptions {
  ActivationMode activations = ActivationMode::kF32;
  KvFormat kv = KvFormat::kF32;
  const Model* base = nullptr;  // same vocabulary; always run with f32 activations and cache
  std::function<void(size_t done_windows, size_t num_windows)> progress;
};

// Errors: kInvalidArgument if nothing is to be scored, a window exceeds the context of a model or
// the vocabularies differ; those of Model::Forward().
Result<EvaluationResult> Evaluate(const Model& model, ThreadPool& pool, const EvaluationSet& set,
                                  const EvaluateOptions& options);

}  // namespace ecq

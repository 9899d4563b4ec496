// Chooses the next token from logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/base/rng.h"

namespace ecq {

struct SamplerOptions {
  double temperature = 0;  // 0: greedy
  size_t top_k = 0;        // keep only the k likeliest; 0: all
  double top_p = 1;        // keep the smallest set of likeliest tokens that has this probability
  uint64_t seed = 0;
};

// Index of the largest logit, the lowest one on ties; NaN is never chosen unless all are NaN (then
// 0). Pre: logits is not empty.
uint32_t ArgMax(std::span<const float> logits);

// Deterministic: the same options and logits give the same tokens.
class Sampler {
 public:
  // Errors: kInvalidArgument for a negative or non-finite temperature or top_p outside (0, 1].
  static Result<Sampler> Create(const SamplerOptions& options);

  // Pre: logits is not empty. NaN logits count as impossible. Allocates on the first call only.
  uint32_t Sample(std::span<const float> logits);

 private:
  struct Candidate {
    uint32_t id;
    double weight;  // the logit, later exp((logit - largest) / temperature)
  };

  explicit Sampler(const SamplerOptions& options) : options_(options), rng_(options.seed) {}

  void KeepTopK();
  void KeepTopP();

  SamplerOptions options_;
  Rng rng_;
  std::vector<Candidate> candidates_;
};

}  // namespace ecq

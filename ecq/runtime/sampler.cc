// Greedy, top-k and top-p sampling.
#include "ecq/runtime/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ecq {
namespace {

template <typename Candidate>
bool Likelier(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
}

template <typename Candidate>
double TotalWeight(const std::vector<Candidate>& candidates) {
  double total = 0;
  for (const Candidate& c : candidates) total += c.weight;
  return total;
}

}  // namespace

uint32_t ArgMax(std::span<const float> logits) {
  uint32_t best = 0;
  float largest = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > largest) {
      largest = logits[i];
      best = static_cast<uint32_t>(i);
    }
  }
  return best;
}

Result<Sampler> Sampler::Create(const SamplerOptions& options) {
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("temperature is {}, expected 0 or more", options.temperature)};
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("top_p is {}, expected a number in (0, 1]", options.top_p)};
  }
  return Sampler(options);
}

uint32_t Sampler::Sample(std::span<const float> logits) {
  const uint32_t greedy = ArgMax(logits);
  if (options_.temperature == 0 || !std::isfinite(logits[greedy])) return greedy;

  candidates_.clear();
  candidates_.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isnan(logits[i])) candidates_.push_back({static_cast<uint32_t>(i), logits[i]});
  }
  KeepTopK();
  for (Candidate& c : candidates_) {
    c.weight = std::exp((c.weight - logits[greedy]) / options_.temperature);
  }
  KeepTopP();

  double left = rng_.Uniform() * TotalWeight(candidates_);
  for (const Candidate& c : candidates_) {
    left -= c.weight;
    if (left < 0) return c.id;
  }
  return greedy;  // only rounding leaves something over
}

void Sampler::KeepTopK() {
  if (options_.top_k == 0 || options_.top_k >= candidates_.size()) return;
  const auto end = candidates_.begin() + static_cast<ptrdiff_t>(options_.top_k);
  std::nth_element(candidates_.begin(), end, candidates_.end(), Likelier<Candidate>);
  candidates_.erase(end, candidates_.end());
}

void Sampler::KeepTopP() {
  if (options_.top_p >= 1) return;
  const double total = TotalWeight(candidates_);
  // A token below an even share of the excluded probability is excluded, and all after it: if it
  // were in the set, those after it would sum to less than 1 - top_p. Saves sorting most of them.
  const double cutoff = total * (1 - options_.top_p) / static_cast<double>(candidates_.size());
  std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < cutoff; });
  std::sort(candidates_.begin(), candidates_.end(), Likelier<Candidate>);
  double kept = 0;
  size_t n = 0;
  while (n < candidates_.size() && kept < options_.top_p * total) kept += candidates_[n++].weight;
  candidates_.resize(std::max<size_t>(n, 1));
}

}  // namespace ecq

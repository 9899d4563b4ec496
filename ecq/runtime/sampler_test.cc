// Tests of greedy, top-k and top-p sampling.
#include "ecq/runtime/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace ecq {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// How often each token comes in `draws` draws.
std::vector<double> Frequencies(const SamplerOptions& options, const std::vector<float>& logits,
                                size_t draws) {
  Sampler sampler = *Sampler::Create(options);
  std::vector<double> counts(logits.size());
  for (size_t i = 0; i < draws; ++i)
    counts[sampler.Sample(logits)] += 1.0 / static_cast<double>(draws);
  return counts;
}

std::vector<float> LogitsOf(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3));
  return logits;
}

TEST(Sampler, GreedyTakesTheLowestOfTheLargest) {
  Sampler greedy = *Sampler::Create({});
  EXPECT_EQ(greedy.Sample(std::vector<float>{1, 3, 2, 3}), 1u);
  EXPECT_EQ(greedy.Sample(std::vector<float>{-5}), 0u);
  EXPECT_EQ(greedy.Sample(std::vector<float>{kNan, -7, kNan}), 1u);
  EXPECT_EQ(greedy.Sample(std::vector<float>{kNan, kNan}), 0u);
  EXPECT_EQ(greedy.Sample(std::vector<float>{0, kInfinity}), 1u);
}

TEST(Sampler, FollowsTheDistribution) {
  const std::vector<double> p{0.5, 0.2, 0.25, 0.05};
  const auto f = Frequencies({.temperature = 1, .seed = 1}, LogitsOf(p), 40000);
  for (size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(f[i], p[i], 0.01);
}

TEST(Sampler, TemperatureSharpens) {
  const std::vector<double> p{0.5, 0.25, 0.25};
  const auto f = Frequencies({.temperature = 0.5, .seed = 1}, LogitsOf(p), 40000);
  EXPECT_NEAR(f[0], 0.25 / 0.375, 0.01);
}

TEST(Sampler, TopKKeepsTheLikeliestAndTheLowestIdsOnTies) {
  const auto f =
      Frequencies({.temperature = 1, .top_k = 2, .seed = 1}, LogitsOf({0.1, 0.3, 0.3, 0.3}), 10000);
  EXPECT_EQ(f[0], 0);
  EXPECT_NEAR(f[1], 0.5, 0.02);
  EXPECT_NEAR(f[2], 0.5, 0.02);
  EXPECT_EQ(f[3], 0);
}

TEST(Sampler, TopPKeepsTheSmallestSufficientSet) {
  const auto logits = LogitsOf({0.05, 0.5, 0.15, 0.3});
  const auto f = Frequencies({.temperature = 1, .top_p = 0.75, .seed = 1}, logits, 20000);
  EXPECT_EQ(f[0], 0);
  EXPECT_NEAR(f[1], 0.5 / 0.8, 0.02);
  EXPECT_EQ(f[2], 0);
  EXPECT_NEAR(f[3], 0.3 / 0.8, 0.02);
  const auto one = Frequencies({.temperature = 1, .top_p = 1e-9, .seed = 1}, logits, 100);
  EXPECT_NEAR(one[1], 1, 1e-9);
}

TEST(Sampler, TopPEqualsSortingOverManyTokens) {
  Rng rng(9);
  std::vector<double> p(1000);
  double total = 0;
  for (double& x : p) total += x = std::exp(2 * rng.Gaussian());
  for (double& x : p) x /= total;
  std::vector<double> sorted = p;
  std::sort(sorted.rbegin(), sorted.rend());
  double kept = 0, smallest = 1;
  for (size_t i = 0; kept < 0.6; ++i) kept += smallest = sorted[i];
  const auto f = Frequencies({.temperature = 1, .top_p = 0.6, .seed = 2}, LogitsOf(p), 50000);
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] < smallest * 0.999) {
      EXPECT_EQ(f[i], 0) << i;
    }
  }
}

TEST(Sampler, SameSeedSameTokens) {
  const auto logits = LogitsOf(std::vector<double>(50, 0.02));
  Sampler a = *Sampler::Create({.temperature = 1, .top_p = 0.9, .seed = 4});
  Sampler b = *Sampler::Create({.temperature = 1, .top_p = 0.9, .seed = 4});
  Sampler c = *Sampler::Create({.temperature = 1, .top_p = 0.9, .seed = 5});
  size_t different = 0;
  for (size_t i = 0; i < 100; ++i) {
    const uint32_t token = a.Sample(logits);
    EXPECT_EQ(token, b.Sample(logits));
    different += token != c.Sample(logits);
  }
  EXPECT_GT(different, 50u);
}

TEST(Sampler, NeverChoosesNanOrImpossibleTokens) {
  const std::vector<float> logits{kNan, 1, -kInfinity, 1, kNan};
  const auto f =
      Frequencies({.temperature = 2, .top_k = 4, .top_p = 0.99, .seed = 3}, logits, 1000);
  EXPECT_NEAR(f[1] + f[3], 1, 1e-9);
}

TEST(Sampler, RefusesBadOptions) {
  EXPECT_EQ(Sampler::Create({.temperature = -1}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(Sampler::Create({.temperature = std::nan("")}).ok());
  EXPECT_FALSE(Sampler::Create({.temperature = HUGE_VAL}).ok());
  EXPECT_FALSE(Sampler::Create({.top_p = 0}).ok());
  EXPECT_FALSE(Sampler::Create({.top_p = 1.5}).ok());
  EXPECT_FALSE(Sampler::Create({.top_p = std::nan("")}).ok());
}

}  // namespace
}  // namespace ecq

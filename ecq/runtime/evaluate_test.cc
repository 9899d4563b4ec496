// Tests of perplexity, KL divergence and the cutting of windows.
#include "ecq/runtime/evaluate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "ecq/model/random_weights_for_test.h"
#include "ecq/runtime/sampler.h"

namespace ecq {
namespace {

std::vector<uint32_t> Iota(size_t n) {
  std::vector<uint32_t> ids(n);
  std::iota(ids.begin(), ids.end(), 0u);
  return ids;
}

TEST(SplitIntoWindows, LlamaPerplexityProtocol) {
  const auto ids = Iota(25);
  const auto set = SplitIntoWindows(ids, 8, std::nullopt, WindowProtocol::kLlamaPerplexity);
  ASSERT_TRUE(set.ok());
  ASSERT_EQ(set->windows.size(), 3u);
  EXPECT_EQ(set->windows[1], (TokenWindow{8, 9, 10, 11, 12, 13, 14, 15}));
  EXPECT_EQ(set->score_from, 4u);
  EXPECT_EQ(set->num_scored(), 9u) << "of 8: predictions at positions 4, 5 and 6";

  const auto with_bos = SplitIntoWindows(ids, 8, 99, WindowProtocol::kLlamaPerplexity);
  ASSERT_TRUE(with_bos.ok());
  EXPECT_EQ(with_bos->windows[0], (TokenWindow{99, 0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(with_bos->windows[1], (TokenWindow{99, 8, 9, 10, 11, 12, 13, 14}))
      << "BOS moves the text by one token and takes the place of token 7";

  // n_ctx = 512 scores 255 tokens per window.
  const auto real =
      SplitIntoWindows(Iota(600), 512, std::nullopt, WindowProtocol::kLlamaPerplexity);
  EXPECT_EQ(real->num_scored(), 255u);
}

TEST(SplitIntoWindows, FullProtocol) {
  const auto set = SplitIntoWindows(Iota(10), 4, std::nullopt, WindowProtocol::kFull);
  ASSERT_TRUE(set.ok());
  ASSERT_EQ(set->windows.size(), 3u);
  EXPECT_EQ(set->windows[2], (TokenWindow{8, 9}));
  EXPECT_EQ(set->num_scored(), 3u + 3 + 1);
  EXPECT_EQ(set->max_window(), 4u);

  const auto with_bos = SplitIntoWindows(Iota(10), 4, 99, WindowProtocol::kFull);
  ASSERT_EQ(with_bos->windows.size(), 4u);
  EXPECT_EQ(with_bos->windows[1], (TokenWindow{99, 3, 4, 5}));
  EXPECT_EQ(with_bos->windows[3], (TokenWindow{99, 9}));
  EXPECT_EQ(with_bos->num_scored(), 10u) << "every token of the text";

  // A last window of one token predicts nothing.
  EXPECT_EQ(SplitIntoWindows(Iota(9), 4, std::nullopt, WindowProtocol::kFull)->windows.size(), 2u);
}

TEST(SplitIntoWindows, RefusesWhatCannotBeScored) {
  for (const auto protocol : {WindowProtocol::kLlamaPerplexity, WindowProtocol::kFull}) {
    EXPECT_EQ(SplitIntoWindows({}, 8, 1, protocol).error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(SplitIntoWindows(Iota(1), 8, std::nullopt, protocol).ok());
    EXPECT_FALSE(SplitIntoWindows(Iota(9), 1, std::nullopt, protocol).ok());
    EXPECT_FALSE(SplitIntoWindows(Iota(9), 0, std::nullopt, protocol).ok());
  }
  EXPECT_FALSE(SplitIntoWindows(Iota(7), 8, std::nullopt, WindowProtocol::kLlamaPerplexity).ok());
  // Two positions, of which the second predicts nothing and the first is not scored.
  EXPECT_FALSE(SplitIntoWindows(Iota(7), 2, std::nullopt, WindowProtocol::kLlamaPerplexity).ok());
}

class EvaluateTest : public testing::Test {
 protected:
  std::vector<double> LogProbabilities(const Model& model, const TokenWindow& window,
                                       size_t position) {
    Session session = *model.NewSession(pool_, {window.size()});
    const size_t hidden_size = model.config().hidden_size;
    std::vector<float> hidden(window.size() * hidden_size), logits(model.config().vocab_size);
    EXPECT_TRUE(model.Forward(session, window, hidden.data()).ok());
    EXPECT_TRUE(model.Logits(session, 1, &hidden[position * hidden_size], logits.data()).ok());
    std::vector<double> result(logits.begin(), logits.end());
    double sum = 0;
    for (const double x : result) sum += std::exp(x);
    for (double& x : result) x -= std::log(sum);
    return result;
  }

  EvaluationSet RandomSet(size_t score_from) {
    Rng rng(8);
    EvaluationSet set{.windows = {}, .score_from = score_from};
    for (const size_t n : {150, 2, 70, 1, 5}) {
      TokenWindow window(n);
      for (uint32_t& id : window) id = static_cast<uint32_t>(rng.Below(70));
      set.windows.push_back(window);
    }
    return set;
  }

  RandomWeights weights_{5};
  RandomWeights base_weights_{6};
  Model model_ = *Model::Load(TinyConfig(), weights_);
  Model base_ = *Model::Load(TinyConfig(), base_weights_);
  ThreadPool pool_{2};
};

MeanAndError NaiveStatistic(const std::vector<double>& values) {
  double mean = 0, squares = 0;
  const double n = static_cast<double>(values.size());
  for (const double v : values) mean += v / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, std::sqrt(squares / (n - 1) / n)};
}

void ExpectNear(const MeanAndError& actual, const MeanAndError& expected, double tolerance) {
  EXPECT_NEAR(actual.mean, expected.mean, tolerance);
  EXPECT_NEAR(actual.standard_error, expected.standard_error, tolerance);
}

TEST_F(EvaluateTest, MatchesNaiveCode) {
  for (const size_t score_from : {0, 3}) {
    const EvaluationSet set = RandomSet(score_from);
    std::vector<double> nll, kl, top1;
    for (const TokenWindow& window : set.windows) {
      for (size_t i = score_from; i + 1 < window.size(); ++i) {
        const auto p = LogProbabilities(model_, window, i);
        const auto b = LogProbabilities(base_, window, i);
        nll.push_back(-p[window[i + 1]]);
        double divergence = 0;
        for (size_t j = 0; j < b.size(); ++j) divergence += std::exp(b[j]) * (b[j] - p[j]);
        kl.push_back(divergence);
        top1.push_back(std::max_element(p.begin(), p.end()) - p.begin() ==
                       std::max_element(b.begin(), b.end()) - b.begin());
      }
    }
    size_t calls = 0;
    const auto result = Evaluate(model_, pool_, set,
                                 {.activations = ActivationMode::kF32,
                                  .base = &base_,
                                  .progress = [&](size_t done, size_t total) {
                                    EXPECT_EQ(done, ++calls);
                                    EXPECT_EQ(total, set.windows.size());
                                  }});
    ASSERT_TRUE(result.ok()) << result.error().message;
    EXPECT_EQ(calls, set.windows.size());
    EXPECT_EQ(result->tokens, nll.size());
    EXPECT_EQ(result->tokens, set.num_scored());
    ExpectNear(result->nll, NaiveStatistic(nll), 1e-5);
    ExpectNear(*result->kl, NaiveStatistic(kl), 1e-5);
    ExpectNear(*result->top1, NaiveStatistic(top1), 1e-12);
    EXPECT_DOUBLE_EQ(result->perplexity.mean, std::exp(result->nll.mean));
    EXPECT_DOUBLE_EQ(result->perplexity.standard_error,
                     result->perplexity.mean * result->nll.standard_error);
  }
}

TEST_F(EvaluateTest, AModelAgreesWithItself) {
  const auto result =
      Evaluate(model_, pool_, RandomSet(0),
               {.activations = ActivationMode::kF32, .base = &model_, .progress = {}});
  ASSERT_TRUE(result.ok());
  EXPECT_NEAR(result->kl->mean, 0, 1e-12);
  EXPECT_EQ(result->top1->mean, 1);
  EXPECT_EQ(result->top1->standard_error, 0);
}

TEST_F(EvaluateTest, WithoutBaseThereIsNoDivergence) {
  const auto result = Evaluate(model_, pool_, RandomSet(0), {});
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->kl.has_value());
  EXPECT_FALSE(result->top1.has_value());
}

TEST_F(EvaluateTest, RefusesWhatItCannotScore) {
  const auto code = [&](const EvaluationSet& set, const Model* base = nullptr) {
    const auto result = Evaluate(
        model_, pool_, set, {.activations = ActivationMode::kF32, .base = base, .progress = {}});
    return result.ok() ? ErrorCode{0} : result.error().code;
  };
  EXPECT_EQ(code({.windows = {}, .score_from = 0}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.windows = {{1}}, .score_from = 0}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.windows = {{1, 2}}, .score_from = 1}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.windows = {{1, 70}}, .score_from = 0}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.windows = {TokenWindow(1025, 1)}, .score_from = 0}),
            ErrorCode::kInvalidArgument);
  ModelConfig wider = TinyConfig();
  wider.vocab_size = 71;
  const Model other = *Model::Load(wider, base_weights_);
  EXPECT_EQ(code({.windows = {{1, 2}}, .score_from = 0}, &other), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace ecq

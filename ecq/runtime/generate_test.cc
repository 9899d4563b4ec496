// Tests of the generation loop on a tiny random model.
#include "ecq/runtime/generate.h"

#include <gtest/gtest.h>

#include <vector>

#include "ecq/model/random_weights_for_test.h"

namespace ecq {
namespace {

class GenerateTest : public testing::Test {
 protected:
  struct Run {
    std::vector<uint32_t> tokens;
    GenerateStats stats;
  };

  // Greedy continuation of `prompt_`; stops after `callback_limit` tokens.
  Run Continue(const GenerateOptions& options, size_t max_context, size_t callback_limit = 1000) {
    Session session = *model_.NewSession(pool_, {max_context});
    Sampler sampler = *Sampler::Create({});
    Run run;
    run.stats = *Generate(model_, session, prompt_, options, sampler, [&](uint32_t token) {
      run.tokens.push_back(token);
      return run.tokens.size() < callback_limit;
    });
    EXPECT_EQ(run.stats.generated_tokens, run.tokens.size());
    EXPECT_EQ(run.stats.prompt_tokens, prompt_.size());
    return run;
  }

  RandomWeights weights_{5};
  Model model_ = *Model::Load(TinyConfig(), weights_);
  ThreadPool pool_{1};
  std::vector<uint32_t> prompt_{3, 1, 4, 1, 5};
};

TEST_F(GenerateTest, GreedyEqualsArgMaxOfWholePasses) {
  const Run run = Continue({.max_tokens = 12, .end_tokens = {}}, 100);
  EXPECT_EQ(run.stats.stop_reason, StopReason::kMaxTokens);
  ASSERT_EQ(run.tokens.size(), 12u);
  std::vector<uint32_t> text = prompt_;
  for (const uint32_t token : run.tokens) {
    Session session = *model_.NewSession(pool_, {100});
    std::vector<float> hidden(text.size() * 36), logits(70);
    ASSERT_TRUE(model_.Forward(session, text, hidden.data()).ok());
    ASSERT_TRUE(model_.Logits(session, 1, &hidden[(text.size() - 1) * 36], logits.data()).ok());
    ASSERT_EQ(token, ArgMax(logits));
    text.push_back(token);
  }
}

TEST_F(GenerateTest, PromptsLongerThanABlockAreContinued) {
  prompt_.assign(Session::kMaxBlockTokens + 1, 7);
  for (size_t i = 0; i < prompt_.size(); ++i) prompt_[i] = static_cast<uint32_t>(i * i % 70);
  const Run run = Continue({.max_tokens = 3, .end_tokens = {}}, 600);
  std::vector<float> hidden(prompt_.size() * 36), logits(70);
  Session session = *model_.NewSession(pool_, {600});
  ASSERT_TRUE(model_.Forward(session, prompt_, hidden.data()).ok());
  ASSERT_TRUE(model_.Logits(session, 1, &hidden[(prompt_.size() - 1) * 36], logits.data()).ok());
  EXPECT_EQ(run.tokens.at(0), ArgMax(logits));
}

TEST_F(GenerateTest, StopsAtEndTokenWithoutReportingIt) {
  const Run free = Continue({.max_tokens = 10, .end_tokens = {}}, 100);
  const uint32_t end = free.tokens[4];
  const Run run = Continue({.max_tokens = 10, .end_tokens = {69, end}}, 100);
  EXPECT_EQ(run.stats.stop_reason, StopReason::kEndToken);
  EXPECT_LE(run.tokens.size(), 4u);
  for (const uint32_t token : run.tokens) EXPECT_NE(token, end);
}

TEST_F(GenerateTest, StopsWhenTheCallbackSaysSo) {
  const Run run = Continue({.max_tokens = 10, .end_tokens = {}}, 100, 3);
  EXPECT_EQ(run.stats.stop_reason, StopReason::kCallback);
  EXPECT_EQ(run.tokens.size(), 3u);
}

TEST_F(GenerateTest, StopsWhenTheContextIsFull) {
  const Run run = Continue({.max_tokens = 10, .end_tokens = {}}, prompt_.size() + 2);
  EXPECT_EQ(run.stats.stop_reason, StopReason::kContextFull);
  EXPECT_EQ(run.tokens.size(), 3u);
}

TEST_F(GenerateTest, RefusesEmptyAndTooLongPrompts) {
  Session session = *model_.NewSession(pool_, {4});
  Sampler sampler = *Sampler::Create({});
  const TokenCallback ignore = [](uint32_t) { return true; };
  EXPECT_EQ(Generate(model_, session, {}, {}, sampler, ignore).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(Generate(model_, session, prompt_, {}, sampler, ignore).error().code,
            ErrorCode::kInvalidArgument);
}

TEST_F(GenerateTest, ZeroTokensRunsThePromptOnly) {
  const Run run = Continue({.max_tokens = 0, .end_tokens = {}}, 10);
  EXPECT_TRUE(run.tokens.empty());
  EXPECT_EQ(run.stats.stop_reason, StopReason::kMaxTokens);
}

}  // namespace
}  // namespace ecq

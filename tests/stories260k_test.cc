// The whole path on a real model: import, weights, forward pass, generation, perplexity.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "app/source_weights.h"
#include "ecq/base/bytes.h"
#include "ecq/import/model_source.h"
#include "ecq/model/model.h"
#include "ecq/runtime/evaluate.h"
#include "ecq/runtime/generate.h"
#include "ecq/runtime/tokenizer.h"

namespace ecq {
namespace {

const std::string kDataDir = ECQ_SOURCE_DIR "/data/";

class Stories260k : public testing::Test {
 protected:
  void SetUp() override {
    auto source = OpenModelSource(kDataDir + "models/stories260K/stories260K.bin");
    ASSERT_TRUE(source.ok()) << source.error().message;
    source_ = std::move(source).value();

    std::vector<NamedFile> files;
    for (const SideFile& file : source_->side_files()) files.push_back({file.name, file.contents});
    auto tokenizer = LoadTokenizer(files);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    tokenizer_ = std::move(tokenizer).value();

    const auto config_file = std::find_if(files.begin(), files.end(),
                                          [](const auto& f) { return f.name == "config.json"; });
    ASSERT_NE(config_file, files.end());
    const auto config = ParseModelConfig(config_file->contents);
    ASSERT_TRUE(config.ok()) << config.error().message;
    SourceWeights weights(*source_);
    auto model = Model::Load(*config, weights);
    ASSERT_TRUE(model.ok()) << model.error().message;
    model_ = std::make_unique<Model>(std::move(model).value());
  }

  std::unique_ptr<ModelSource> source_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Model> model_;
  ThreadPool pool_{2};
};

// The first `count` documents of the token file: each starts with BOS and is cut at 512 tokens.
std::vector<TokenWindow> ReadDocuments(size_t count) {
  std::ifstream in(kDataDir + "text/tinystories-sample.tok512.u16", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  constexpr uint32_t kBos = 1;
  std::vector<TokenWindow> documents;
  for (size_t at = 0; at + 2 <= bytes.size(); at += 2) {
    const uint32_t id = LoadLe<uint16_t>(bytes.data() + at);
    if (id == kBos) {
      if (documents.size() == count) break;
      documents.emplace_back();
    }
    if (documents.empty()) break;
    if (documents.back().size() < 512) documents.back().push_back(id);
  }
  return documents;
}

TEST_F(Stories260k, GreedyContinuationIsTheKnownOne) {
  std::vector<uint32_t> ids{tokenizer_->bos_id().value()};
  for (const uint32_t id : tokenizer_->Encode("Once upon a time", false)) ids.push_back(id);
  const std::string expected =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
      "park. "
      "One day, she saw a big, red ball. She wanted to play with it, but it was too high.";

  Session session = *model_->NewSession(pool_, {512});
  Sampler sampler = *Sampler::Create({});
  std::string text = tokenizer_->Decode(std::span(ids).subspan(1));
  EXPECT_EQ(text, "Once upon a time");
  const auto stats = Generate(*model_, session, ids, {.max_tokens = 200, .end_tokens = {}}, sampler,
                              [&](uint32_t token) {
                                text += tokenizer_->DecodePiece(token, false);
                                return text.size() < expected.size();
                              });
  ASSERT_TRUE(stats.ok()) << stats.error().message;
  EXPECT_EQ(text.substr(0, expected.size()), expected);
}

TEST_F(Stories260k, PerplexityIsTheKnownOne) {
  const EvaluationSet set{.windows = ReadDocuments(60), .score_from = 0};
  ASSERT_EQ(set.windows.size(), 60u);
  EXPECT_EQ(set.num_scored(), 20657u);
  const auto result = Evaluate(*model_, pool_, set, {});
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result->tokens, 20657u);
  EXPECT_NEAR(result->nll.mean, 1.4350, 0.0002);
  EXPECT_NEAR(result->perplexity.mean, 4.200, 0.001);
}

TEST_F(Stories260k, RoundedActivationsCostLittle) {
  const EvaluationSet set{.windows = ReadDocuments(10), .score_from = 0};
  const auto exact = Evaluate(*model_, pool_, set, {});
  const auto rounded =
      Evaluate(*model_, pool_, set,
               {.activations = ActivationMode::kI8, .base = model_.get(), .progress = {}});
  ASSERT_TRUE(exact.ok() && rounded.ok());
  EXPECT_NE(rounded->nll.mean, exact->nll.mean);
  EXPECT_NEAR(rounded->nll.mean, exact->nll.mean, 0.005);
  EXPECT_LT(rounded->kl->mean, 0.005);
  EXPECT_GT(rounded->top1->mean, 0.97);
}

}  // namespace
}  // namespace ecq

// Logits against outside oracles (docs/oracles.md), and the codecs against each other.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "app/opened_model.h"
#include "app/quantize_model.h"
#include "ecq/format/ecq_writer.h"
#include "ecq/format/sha256.h"

namespace ecq {
namespace {

const std::filesystem::path kRoot = ECQ_SOURCE_DIR;
const std::filesystem::path kStories = kRoot / "data/models/stories260K/stories260K.bin";

struct Oracle {
  const char* vectors;
  std::filesystem::path model;

  friend void PrintTo(const Oracle& oracle, std::ostream* out) { *out << oracle.vectors; }
};

// All logits after the tokens, (tokens, vocab).
std::vector<float> LogitsOf(const Model& model, const std::vector<uint32_t>& tokens,
                            ActivationMode mode, size_t block) {
  ThreadPool pool(2);
  Session session = *model.NewSession(pool, {tokens.size(), mode});
  const size_t hidden_size = model.config().hidden_size;
  std::vector<float> hidden(tokens.size() * hidden_size);
  for (size_t at = 0; at < tokens.size(); at += block) {
    const size_t n = std::min(block, tokens.size() - at);
    const Status status = model.Forward(session, std::span(tokens).subspan(at, n),
                                        hidden.data() + at * hidden_size);
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  std::vector<float> logits(tokens.size() * model.config().vocab_size);
  EXPECT_TRUE(model.Logits(session, tokens.size(), hidden.data(), logits.data()).ok());
  return logits;
}

double LogSumExp(std::span<const float> logits) {
  double max = logits[0];
  for (const float v : logits) max = std::max<double>(max, v);
  double sum = 0;
  for (const float v : logits) sum += std::exp(v - max);
  return max + std::log(sum);
}

// Calls check(expected, got) for every stored logit and log-sum-exp of one oracle.
template <typename F>
void ForEachStored(const nlohmann::json& vectors, const char* oracle,
                   const std::vector<float>& logits, size_t vocab, F&& check) {
  const auto& positions = vectors["positions"];
  for (size_t i = 0; i < positions.size(); ++i) {
    const auto at = std::span(logits).subspan(positions[i].get<size_t>() * vocab, vocab);
    const auto& stored = vectors[oracle][i];
    check(stored["logsumexp"].get<double>(), LogSumExp(at));
    if (stored.contains("top")) {
      for (const auto& pair : stored["top"]) {
        check(pair[1].get<double>(), double{at[pair[0].get<size_t>()]});
      }
    } else {
      for (size_t id = 0; id < vocab; ++id) {
        check(stored["logits"][id].get<double>(), double{at[id]});
      }
    }
  }
}

class LogitsOracle : public testing::TestWithParam<Oracle> {};

TEST_P(LogitsOracle, F32MatchesTightlyAndRoundedActivationsLoosely) {
  if (!std::filesystem::exists(GetParam().model)) {
    GTEST_SKIP() << GetParam().model << " is not there; tools/get_model.py fetches it";
  }
  std::ifstream in(kRoot / "tests/vectors/logits" / GetParam().vectors);
  const nlohmann::json vectors = nlohmann::json::parse(in);
  ASSERT_EQ(*Sha256OfFile(GetParam().model), vectors["sha256"].get<std::string>());
  const auto opened = OpenedModel::Open(GetParam().model);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const auto model = opened->LoadModel();
  ASSERT_TRUE(model.ok()) << model.error().message;
  const auto tokens = vectors["tokens"].get<std::vector<uint32_t>>();
  const size_t vocab = model->config().vocab_size;

  constexpr double kTight = 1e-3;
  for (const size_t block : {tokens.size(), size_t{1}}) {
    const auto logits = LogitsOf(*model, tokens, ActivationMode::kF32, block);
    double worst = 0;
    ForEachStored(vectors, "numpy", logits, vocab, [&](double expected, double got) {
      worst = std::max(worst, std::abs(expected - got));
    });
    EXPECT_LT(worst, kTight) << "in blocks of " << block;
  }
  constexpr double kLoose = 0.6;
  const auto rounded = LogitsOf(*model, tokens, ActivationMode::kI8, tokens.size());
  ForEachStored(vectors, "numpy", rounded, vocab, [&](double expected, double got) {
    EXPECT_NEAR(expected, got, kLoose);
  });
}

INSTANTIATE_TEST_SUITE_P(
    Models, LogitsOracle,
    testing::Values(Oracle{"stories260k.json", kStories},
                    Oracle{"smollm2-135m.json", kRoot / "models/smollm2-135m.gguf"},
                    Oracle{"qwen2.5-coder-0.5b.json", kRoot / "models/qwen2.5-coder-0.5b.gguf"}),
    [](const auto& param_info) {
      std::string name(param_info.param.vectors);
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
      return name;
    });

// Logits of stories260K quantized by `grid` and coded by `codec`.
std::vector<float> CodedLogits(const std::string& grid, CodecId codec, ActivationMode mode,
                               size_t block) {
  const auto source = OpenedModel::Open(kStories);
  EXPECT_TRUE(source.ok());
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() /
      ("ecq_logits_test_" + std::to_string(getpid()) + ".ecq");
  auto writer = EcqWriter::Create(path, {"test", "llama2.c", {}}, /*overwrite=*/true);
  EXPECT_TRUE(writer.ok());
  QuantizeOptions options;
  options.grid = grid;
  options.pack.codec = codec;
  ThreadPool pool(2);
  const auto report = QuantizeModel(source->source(), options, pool, *writer,
                                    [](uint64_t, uint64_t, const std::string&) {});
  EXPECT_TRUE(report.ok()) << report.error().message;
  EXPECT_TRUE(writer->Finish().ok());
  const auto coded = OpenedModel::Open(path);
  std::filesystem::remove(path);
  EXPECT_TRUE(coded.ok()) << coded.error().message;
  const auto model = coded->LoadModel();
  std::vector<uint32_t> tokens{1};
  for (uint32_t i = 0; i < 20; ++i) tokens.push_back(300 + i);
  return LogitsOf(*model, tokens, mode, block);
}

TEST(CodedModel, RansAndRawGiveBitIdenticalLogits) {
  for (const char* grid : {"q4_0", "mlx4-g64", "row4", "tensor-absmax4"}) {
    for (const ActivationMode mode : {ActivationMode::kF32, ActivationMode::kI8}) {
      for (const size_t block : {size_t{1}, size_t{21}}) {
        EXPECT_EQ(CodedLogits(grid, CodecId::kRans, mode, block),
                  CodedLogits(grid, CodecId::kRaw, mode, block))
            << grid << ", blocks of " << block;
      }
    }
  }
}

}  // namespace
}  // namespace ecq

// Every architecture against Hugging Face transformers, on small random models (docs/oracles.md).
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/opened_model.h"
#include "app/quantize_model.h"
#include "app/source_weights.h"
#include "ecq/format/ecq_writer.h"

namespace ecq {
namespace {

// A model and the logits that it must have.
struct Vector {
  std::string name;
  std::filesystem::path model;
  std::filesystem::path logits;
};

// Hugging Face directories, and files by the converter of llama.cpp.
std::vector<Vector> Vectors() {
  const std::filesystem::path root = std::filesystem::path(ECQ_SOURCE_DIR) / "tests/vectors";
  std::vector<Vector> vectors;
  for (const auto& entry : std::filesystem::directory_iterator(root / "architectures")) {
    vectors.push_back(
        {entry.path().filename().string(), entry.path(), entry.path() / "logits.json"});
  }
  for (const auto& entry : std::filesystem::directory_iterator(root / "gguf_models")) {
    if (entry.path().extension() != ".gguf") continue;
    std::filesystem::path logits = entry.path();
    vectors.push_back(
        {"gguf-" + entry.path().stem().string(), entry.path(), logits.replace_extension(".json")});
  }
  std::sort(vectors.begin(), vectors.end(),
            [](const Vector& a, const Vector& b) { return a.name < b.name; });
  return vectors;
}

void PrintTo(const Vector& vector, std::ostream* out) { *out << vector.name; }

nlohmann::json ReadJson(const std::filesystem::path& path) {
  std::ifstream in(path);
  return nlohmann::json::parse(in);
}

// All logits after the tokens, (tokens, vocab), in passes of `block` tokens.
std::vector<float> LogitsOf(const Model& model, const std::vector<uint32_t>& tokens, size_t block) {
  ThreadPool pool(2);
  Session session = *model.NewSession(pool, {tokens.size(), ActivationMode::kF32});
  const size_t hidden_size = model.config().hidden_size;
  std::vector<float> hidden(tokens.size() * hidden_size);
  for (size_t at = 0; at < tokens.size(); at += block) {
    const size_t n = std::min(block, tokens.size() - at);
    const Status status =
        model.Forward(session, std::span(tokens).subspan(at, n), hidden.data() + at * hidden_size);
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  std::vector<float> logits(tokens.size() * model.config().vocab_size);
  EXPECT_TRUE(model.Logits(session, tokens.size(), hidden.data(), logits.data()).ok());
  return logits;
}

Result<OpenedModel> Quantized(const OpenedModel& source, double bpw) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() /
      ("ecq_architectures_test_" + std::to_string(getpid()) + ".ecq");
  ECQ_TRY(EcqWriter writer,
          EcqWriter::Create(path, {"test", std::string(source.source().kind()), {}},
                            /*overwrite=*/true));
  QuantizeOptions options;
  options.bpw = bpw;
  ThreadPool pool(2);
  ECQ_RETURN_IF_ERROR(QuantizeModel(source.source(), options, pool, writer,
                                    [](uint64_t, uint64_t, const std::string&) {}));
  ECQ_RETURN_IF_ERROR(writer.Finish());
  Result<OpenedModel> coded = OpenedModel::Open(path);
  std::filesystem::remove(path);
  return coded;
}

class Architectures : public testing::TestWithParam<Vector> {
 protected:
  const nlohmann::json vector_ = ReadJson(GetParam().logits);
  const std::vector<uint32_t> tokens_ = vector_["tokens"].get<std::vector<uint32_t>>();

  // The stored logits, and those of `logits` (tokens, vocab) at the same positions.
  std::pair<std::vector<double>, std::vector<double>> Compared(const std::vector<float>& logits) {
    std::vector<double> expected, got;
    const size_t vocab = logits.size() / tokens_.size();
    for (size_t i = 0; i < vector_["positions"].size(); ++i) {
      const size_t at = vector_["positions"][i].get<size_t>() * vocab;
      for (size_t id = 0; id < vocab; ++id) {
        expected.push_back(vector_["logits"][i][id].get<double>());
        got.push_back(logits[at + id]);
      }
    }
    return {expected, got};
  }
};

// What rounding to f32 leaves here, and what mistakes do, is in section 2 of docs/oracles.md.
TEST_P(Architectures, DenseLogitsEqualTheOracle) {
  constexpr double kTight = 1e-4;
  const auto opened = OpenedModel::Open(GetParam().model);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const auto model = opened->LoadModel();
  ASSERT_TRUE(model.ok()) << model.error().message;
  for (const size_t block : {tokens_.size(), size_t{1}, size_t{9}}) {
    const auto [expected, got] = Compared(LogitsOf(*model, tokens_, block));
    double worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      worst = std::max(worst, std::abs(expected[i] - got[i]));
    }
    EXPECT_LT(worst, kTight) << "in blocks of " << block;
    RecordProperty("worst_in_blocks_of_" + std::to_string(block), std::to_string(worst));
  }
}

// Coded weights give what the same weights give when they are dense. They are near the oracle as
// far as random weights in tiny matrices allow: logits of other weights would be at a distance
// of 1.4.
TEST_P(Architectures, CodedLogitsEqualTheirDequantizedWeights) {
  const auto source = OpenedModel::Open(GetParam().model);
  ASSERT_TRUE(source.ok()) << source.error().message;
  const auto coded = Quantized(*source, 7);
  ASSERT_TRUE(coded.ok()) << coded.error().message;
  const auto model = coded->LoadModel();
  ASSERT_TRUE(model.ok()) << model.error().message;
  SourceWeights dequantized(coded->source());
  const auto dense = Model::Load(model->config(), dequantized);
  ASSERT_TRUE(dense.ok()) << dense.error().message;

  const auto logits = LogitsOf(*model, tokens_, tokens_.size());
  const auto dense_logits = LogitsOf(*dense, tokens_, tokens_.size());
  for (size_t i = 0; i < logits.size(); ++i) ASSERT_NEAR(logits[i], dense_logits[i], 2e-4);

  const auto [expected, got] = Compared(logits);
  double error = 0, energy = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += (expected[i] - got[i]) * (expected[i] - got[i]);
    energy += expected[i] * expected[i];
  }
  EXPECT_LT(std::sqrt(error / energy), 0.4);
  RecordProperty("relative_error", std::to_string(std::sqrt(error / energy)));
}

INSTANTIATE_TEST_SUITE_P(Models, Architectures, testing::ValuesIn(Vectors()),
                         [](const auto& param_info) {
                           std::string name = param_info.param.name;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](unsigned char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

}  // namespace
}  // namespace ecq

// MLX, AWQ and GPTQ directories: values against stored vectors, and checkpoints that contradict
// themselves.
#include "ecq/import/quantized_checkpoint.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>

#include "ecq/base/mapped_file.h"
#include "ecq/import/import_test_util.h"

namespace ecq {
namespace {

using import_test::FindSideFile;
using import_test::ReadTensor;
using import_test::SafetensorsBuilder;
using import_test::TempDir;

// A directory of tests/vectors: mlx by tools/oracles/mlx_vectors.py from the mlx package, the
// others by tools/oracles/int4_vectors.py from the definition of the formats.
class QuantizedVectorsTest : public ::testing::TestWithParam<const char*> {};

TEST_P(QuantizedVectorsTest, IsBitEqualToTheReference) {
  const std::string vectors = GetParam();
  const auto directory = std::filesystem::path(ECQ_SOURCE_DIR) / "tests/vectors" / vectors;
  const auto source = OpenModelSource(directory);
  ASSERT_TRUE(source.ok()) << source.error().message;
  EXPECT_EQ((*source)->kind(), vectors.substr(0, vectors.find('_')));
  EXPECT_EQ(*FindSideFile(**source, "config.json"), "{\n  \"model_type\": \"vectors\"\n}\n");

  const auto file = MappedFile::Open(directory / "expected.safetensors");
  ASSERT_TRUE(file.ok()) << file.error().message;
  const auto expected = Safetensors::Parse(file->bytes(), file->path());
  ASSERT_TRUE(expected.ok()) << expected.error().message;
  ASSERT_EQ((*source)->tensors().size(), expected->tensors().size());
  uint64_t source_bytes = 0;
  for (const SourceTensor& tensor : (*source)->tensors()) {
    const SafetensorsEntry* want = expected->Find(tensor.name);
    ASSERT_NE(want, nullptr) << tensor.name;
    EXPECT_EQ(tensor.shape, want->view.shape) << tensor.name;
    source_bytes += tensor.source_bytes;
    const std::vector<float> values = ReadTensor(**source, tensor.name);
    ASSERT_EQ(values.size() * sizeof(float), want->view.bytes.size()) << tensor.name;
    for (size_t i = 0; i < values.size(); ++i) {
      const auto bits = LoadLe<uint32_t>(want->view.bytes.data() + i * sizeof(float));
      ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), bits)
          << tensor.name << "[" << i << "]: " << values[i] << " instead of "
          << std::bit_cast<float>(bits);
    }
  }
  const auto weights = import_test::ReadBytes(directory / "model.safetensors");
  EXPECT_EQ(source_bytes, weights.size() - 8 - LoadLe<uint64_t>(weights.data()));
}

INSTANTIATE_TEST_SUITE_P(AllFormats, QuantizedVectorsTest,
                         ::testing::Values("mlx", "awq", "awq_column", "gptq", "gptq_v2"),
                         [](const auto& test) { return std::string(test.param); });

constexpr char kMlx[] = R"({"quantization":{"bits":4,"group_size":32,"dense":false}})";
constexpr char kAwq[] =
    R"({"quantization_config":{"quant_method":"awq","bits":4,"group_size":32}})";
constexpr char kGptq[] =
    R"({"quantization_config":{"quant_method":"gptq","bits":4,"group_size":32}})";
constexpr char kGptqOrdered[] =
    R"({"quantization_config":{"quant_method":"gptq","bits":4,"group_size":32,"desc_act":true}})";

Result<std::unique_ptr<ModelSource>> Open(const char* config, const SafetensorsBuilder& tensors) {
  const TempDir dir;
  dir.Write("config.json", config);
  dir.Write("model.safetensors", tensors.Build());
  return OpenModelSource(dir.path());
}

// The directory is refused, with a message that holds `expected` and is one line.
void ExpectRefused(const char* config, const SafetensorsBuilder& tensors,
                   std::string_view expected) {
  const auto source = Open(config, tensors);
  ASSERT_FALSE(source.ok()) << expected;
  EXPECT_EQ(source.error().code, ErrorCode::kBadLayout) << source.error().message;
  EXPECT_NE(source.error().message.find(expected), std::string::npos) << source.error().message;
  EXPECT_EQ(source.error().message.find('\n'), std::string::npos);
}

TEST(MlxDirectoryTest, PartsMustFit) {
  const auto with = [](const std::vector<uint64_t>& weight, const std::vector<uint64_t>& scales,
                       const std::vector<uint64_t>& biases, const char* dtype = "F32") {
    SafetensorsBuilder tensors;
    tensors.Words("a.weight", "U32", weight).Words("a.scales", dtype, scales);
    return tensors.Words("a.biases", "F32", biases);
  };
  EXPECT_TRUE(Open(kMlx, with({2, 8}, {2, 2}, {2, 2})).ok());
  ExpectRefused(kMlx, with({2, 8}, {2, 1}, {2, 2}), "scales is F32 [2, 1], expected [2, 2]");
  ExpectRefused(kMlx, with({2, 8}, {2, 2}, {4}), "biases is F32 [4], expected [2, 2]");
  ExpectRefused(kMlx, with({2, 8}, {3, 2}, {3, 2}), "scales");
  ExpectRefused(kMlx, with({2, 6}, {2, 1}, {2, 1}), "multiple of 4 words");
  ExpectRefused(kMlx, with({8}, {2}, {2}), "two or more dimensions");
  ExpectRefused(kMlx, with({}, {}, {}), "two or more dimensions");
  ExpectRefused(kMlx, with({0, 8}, {0, 2}, {0, 2}), "two or more dimensions");
  ExpectRefused(kMlx, with({2, 0}, {2, 0}, {2, 0}), "two or more dimensions");
  ExpectRefused(kMlx, with({2, 8}, {2, 2}, {2, 2}, "I32"), "F16, BF16 or F32");
  SafetensorsBuilder mixed;
  mixed.Words("a.weight", "U32", {2, 4}).Tensor("a.scales", "F16", {2, 1}, {0, 0, 0, 0});
  ExpectRefused(kMlx, mixed.Words("a.biases", "F32", {2, 1}), "F16 as scales");
}

TEST(MlxDirectoryTest, PartsMustBeThereAndBelongTogether) {
  ExpectRefused(kMlx, SafetensorsBuilder().Words("a.weight", "U32", {2, 4}), "a.scales is missing");
  ExpectRefused(
      kMlx, SafetensorsBuilder().Words("a.weight", "U32", {2, 4}).Words("a.scales", "F32", {2, 1}),
      "a.biases is missing");
  ExpectRefused(kMlx, SafetensorsBuilder().Words("a.scales", "F32", {2, 1}), "no packed weight");
  ExpectRefused(
      kMlx, SafetensorsBuilder().Words("a.weight", "F32", {2, 4}).Words("a.biases", "F32", {2, 1}),
      "no packed weight");
  ExpectRefused(kMlx,
                SafetensorsBuilder()
                    .Words("dense.weight", "U32", {2, 4})
                    .Words("dense.scales", "F32", {2, 1})
                    .Words("dense.biases", "F32", {2, 1}),
                "not quantized");
}

TEST(MlxDirectoryTest, PartsMayLieInDifferentShards) {
  const TempDir dir;
  dir.Write("config.json", kMlx);
  dir.Write("1.safetensors", SafetensorsBuilder().Words("a.scales", "F32", {2, 1}).Build());
  dir.Write("2.safetensors", SafetensorsBuilder()
                                 .Words("a.weight", "U32", {2, 4})
                                 .Words("a.biases", "F32", {2, 1})
                                 .Words("norm.weight", "F32", {3})
                                 .Build());
  dir.Write("model.safetensors.index.json",
            R"({"weight_map":{"a.scales":"1.safetensors","a.weight":"2.safetensors",)"
            R"("a.biases":"2.safetensors","norm.weight":"2.safetensors"}})");
  const auto source = OpenModelSource(dir.path());
  ASSERT_TRUE(source.ok()) << source.error().message;
  ASSERT_EQ((*source)->tensors().size(), 2u);
  EXPECT_EQ((*source)->tensors()[0].name, "a.weight");
  EXPECT_EQ((*source)->tensors()[0].shape, (Shape{2, 32}));
  EXPECT_EQ((*source)->tensors()[0].source_type, "MLX4_G32");
  EXPECT_EQ((*source)->tensors()[0].source_bytes, 48u);
  EXPECT_EQ(ReadTensor(**source, "a.weight"), std::vector<float>(64));
  std::vector<float> short_output(63);
  EXPECT_EQ((*source)->ReadF32(0, short_output).error().code, ErrorCode::kInvalidArgument);
}

TEST(AwqDirectoryTest, PartsMustFit) {
  const auto with = [](const std::vector<uint64_t>& weight, const std::vector<uint64_t>& zeros,
                       const std::vector<uint64_t>& scales, const char* dtype = "I32") {
    SafetensorsBuilder tensors;
    tensors.Words("a.qweight", dtype, weight).Words("a.qzeros", "I32", zeros);
    return tensors.Words("a.scales", "F32", scales);
  };
  EXPECT_TRUE(Open(kAwq, with({64, 2}, {2, 2}, {2, 16})).ok());
  ExpectRefused(kAwq, with({48, 2}, {2, 2}, {2, 16}), "groups of 32");
  ExpectRefused(kAwq, with({64, 2}, {2, 2}, {2, 8}), "scales");
  ExpectRefused(kAwq, with({64, 2}, {1, 2}, {2, 16}), "qzeros");
  ExpectRefused(kAwq, with({64, 2}, {2, 2}, {32}), "scales");
  ExpectRefused(kAwq, with({128}, {2, 2}, {2, 16}), "two dimensions");
  ExpectRefused(kAwq, with({0, 2}, {0, 2}, {0, 16}), "two dimensions");
  ExpectRefused(kAwq, with({64, 2}, {2, 2}, {2, 16}, "F32"), "I32 of two dimensions");
  ExpectRefused(kAwq, with({64, 2}, {2, 2}, {2, 16}).Words("a.weight", "F32", {1}),
                "both dense and packed");
  ExpectRefused(kAwq, SafetensorsBuilder().Words("a.qweight", "I32", {32, 1}),
                "a.qzeros is missing");
  ExpectRefused(kAwq, SafetensorsBuilder().Words("a.qzeros", "I32", {32, 1}), "no packed qweight");
}

TEST(GptqDirectoryTest, PartsMustFit) {
  const auto with = [](const std::vector<uint64_t>& weight, const std::vector<uint64_t>& zeros,
                       const std::vector<uint64_t>& scales) {
    SafetensorsBuilder tensors;
    tensors.Words("a.qweight", "I32", weight).Words("a.qzeros", "I32", zeros);
    return tensors.Words("a.scales", "F32", scales);
  };
  EXPECT_TRUE(Open(kGptq, with({5, 16}, {2, 2}, {2, 16})).ok());
  ExpectRefused(kGptq, with({5, 12}, {2, 1}, {2, 12}), "multiple of 8 columns");
  ExpectRefused(kGptq, with({4, 16}, {2, 2}, {2, 16}), "scales");
  ExpectRefused(kGptq, with({5, 16}, {2, 1}, {2, 16}), "qzeros");
  ExpectRefused(kGptqOrdered, with({5, 16}, {2, 2}, {2, 16}), "a.g_idx is missing");
  EXPECT_TRUE(
      Open(kGptqOrdered, with({5, 16}, {2, 2}, {2, 16}).Words("a.g_idx", "I32", {40})).ok());
  ExpectRefused(kGptq, with({5, 16}, {2, 2}, {2, 16}).Words("a.g_idx", "I32", {39}), "g_idx");
  ExpectRefused(kGptq, with({5, 16}, {2, 2}, {2, 16}).Words("a.g_idx", "F32", {40}), "g_idx");
  for (const int32_t group : {2, -1, INT32_MIN, INT32_MAX}) {
    std::vector<uint8_t> index(160);
    StoreLe(index.data() + 156, group);
    ExpectRefused(kGptq, with({5, 16}, {2, 2}, {2, 16}).Tensor("a.g_idx", "I32", {40}, index),
                  "g_idx[39]");
  }
}

TEST(GptqDirectoryTest, PackedTensorsNeedAConfig) {
  ExpectRefused("{}", SafetensorsBuilder().Words("a.qweight", "I32", {4, 8}),
                "no quantization_config");
}

// Whatever the bytes of a header become, opening and reading ends without a fault.
TEST(QuantizedDirectoryTest, EveryChangedHeaderByteIsSurvived) {
  const auto tensors = SafetensorsBuilder()
                           .Words("a.qweight", "I32", {4, 8})
                           .Words("a.qzeros", "I32", {1, 1})
                           .Words("a.scales", "F32", {1, 8})
                           .Words("a.g_idx", "I32", {32})
                           .Build();
  const size_t header_bytes = 8 + LoadLe<uint64_t>(tensors.data());
  const TempDir dir;
  dir.Write("config.json", kGptq);
  for (size_t i = 0; i < header_bytes; ++i) {
    for (const uint8_t change : {0x01, 0x02, 0x08}) {
      auto changed = tensors;
      changed[i] ^= change;
      dir.Write("model.safetensors", changed);
      const auto source = OpenModelSource(dir.path());
      if (!source.ok()) continue;
      for (size_t t = 0; t < (*source)->tensors().size(); ++t) {
        std::vector<float> values(NumElements((*source)->tensors()[t].shape).value());
        if (const Status status = (*source)->ReadF32(t, values); !status.ok()) {
          EXPECT_NE(status.error().code, ErrorCode::kInternal);
        }
      }
    }
  }
}

}  // namespace
}  // namespace ecq

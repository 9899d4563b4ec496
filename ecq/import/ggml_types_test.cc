// Dequantization against vectors made by the gguf package (tools/oracles/gguf_vectors.py).
#include "ecq/import/ggml_types.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "ecq/import/import_test_util.h"

namespace ecq {
namespace {

class GgmlTypesTest : public ::testing::TestWithParam<uint32_t> {};

TEST_P(GgmlTypesTest, IsBitEqualToTheReference) {
  const GgmlType* type = FindGgmlType(GetParam());
  ASSERT_NE(type, nullptr);
  const std::filesystem::path directory =
      std::filesystem::path(ECQ_SOURCE_DIR) / "tests/vectors/gguf";
  // One byte in front: blocks are read from any alignment.
  std::vector<uint8_t> blocks =
      import_test::ReadBytes(directory / (std::string(type->name) + ".blocks"));
  const auto expected = import_test::ReadBytes(directory / (std::string(type->name) + ".f32"));
  const size_t num_blocks = blocks.size() / type->block_bytes;
  ASSERT_GT(num_blocks, 0u);
  ASSERT_EQ(blocks.size() % type->block_bytes, 0u);
  ASSERT_EQ(expected.size(), num_blocks * type->block_elements * sizeof(float));
  blocks.insert(blocks.begin(), 0);
  std::vector<float> values(num_blocks * type->block_elements);
  type->dequantize(blocks.data() + 1, num_blocks, values.data());
  for (size_t i = 0; i < values.size(); ++i) {
    const auto want = LoadLe<float>(expected.data() + i * sizeof(float));
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(values[i])) << i;
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(want))
          << i << ": " << values[i] << " instead of " << want;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, GgmlTypesTest,
                         ::testing::Values(0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23, 30),
                         [](const auto& test) { return GgmlTypeName(test.param); });

TEST(GgmlTypeNamesTest, NamesReadAndUnreadTypes) {
  EXPECT_EQ(GgmlTypeName(14), "Q6_K");
  EXPECT_EQ(GgmlTypeName(17), "IQ2_XS");
  EXPECT_EQ(GgmlTypeName(0xffffffffu), "type 4294967295");
  EXPECT_EQ(FindGgmlType(17), nullptr);
  EXPECT_EQ(
      KnownGgmlTypes(),
      "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS");
}

}  // namespace
}  // namespace ecq

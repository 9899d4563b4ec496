// Quantization keys of config.json: what is read, what is refused and how.
#include "ecq/import/quantization_config.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace ecq {
namespace {

using Method = QuantizationConfig::Method;

QuantizationConfig MustParse(std::string_view json) {
  const auto parsed = ParseQuantizationConfig(json, "config.json");
  EXPECT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_TRUE(parsed.ok() && parsed->has_value());
  return parsed.ok() && *parsed ? **parsed : QuantizationConfig{};
}

TEST(QuantizationConfigTest, DenseModelsHaveNone) {
  for (const std::string_view json :
       {R"({})", R"({"quantization_config":null})", R"({"quantization":null,"x":{"bits":4}})"}) {
    const auto parsed = ParseQuantizationConfig(json, "config.json");
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    EXPECT_FALSE(parsed->has_value()) << json;
  }
}

TEST(QuantizationConfigTest, ReadsMlxWithOverrides) {
  const auto config = MustParse(R"({
      "quantization": {"group_size": 32, "bits": 3, "a.b": {"bits": 8, "group_size": 128},
                       "c": {"bits": 6}, "d": {"group_size": 32, "mode": "affine"}, "e": true,
                       "f": false, "note": "x"},
      "quantization_config": {"group_size": 32, "bits": 3}})");
  EXPECT_EQ(config.method, Method::kMlx);
  EXPECT_EQ(config.method_name(), "mlx");
  EXPECT_EQ(config.mlx, (MlxFormat{3, 32}));
  const auto& overrides = config.mlx_overrides;
  EXPECT_EQ(overrides.size(), 5u);
  EXPECT_EQ(overrides.at("a.b"), (MlxFormat{8, 128}));
  EXPECT_EQ(overrides.at("c"), (MlxFormat{6, 64}));
  EXPECT_EQ(overrides.at("d"), (MlxFormat{4, 32}));
  EXPECT_EQ(overrides.at("e"), (MlxFormat{3, 32}));
  EXPECT_EQ(overrides.at("f"), std::nullopt);
}

TEST(QuantizationConfigTest, ReadsAwqAndGptq) {
  auto config = MustParse(R"({"quantization_config": {"quant_method": "awq", "bits": 4,
      "group_size": 128, "zero_point": true, "version": "GEMM"}})");
  EXPECT_EQ(config.method_name(), "awq");
  EXPECT_EQ(config.group_size, 128u);
  config = MustParse(R"({"quantization_config": {"quant_method": "gptq", "bits": 4,
      "group_size": -1, "desc_act": true, "dynamic": {"-:lm_head": {}}}})");
  EXPECT_EQ(config.method_name(), "gptq");
  EXPECT_EQ(config.group_size, 0u);
  EXPECT_EQ(config.zero_offset, 1u);
  EXPECT_TRUE(config.needs_group_index);
  config = MustParse(R"({"quantization_config": {"quant_method": "gptq", "bits": 4,
      "group_size": 64, "checkpoint_format": "gptq_v2", "sym": true}})");
  EXPECT_EQ(config.zero_offset, 0u);
  EXPECT_FALSE(config.needs_group_index);
}

TEST(QuantizationConfigTest, RefusesOtherMethodsByNameAndSaysWhatItKnows) {
  const auto parsed = ParseQuantizationConfig(
      R"({"quantization_config": {"quant_method": "compressed-tensors"}})", "m/config.json");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().code, ErrorCode::kUnsupportedType);
  for (const std::string_view part :
       {"m/config.json", "compressed-tensors", "awq", "gptq", "MLX"}) {
    EXPECT_NE(parsed.error().message.find(part), std::string::npos) << parsed.error().message;
  }
}

TEST(QuantizationConfigTest, RefusesWhatItDoesNotRead) {
  const std::vector<std::pair<std::string_view, ErrorCode>> cases{
      {R"([])", ErrorCode::kBadHeader},
      {R"({"quantization": 4})", ErrorCode::kBadHeader},
      {R"({"quantization": {"bits": 4}})", ErrorCode::kBadHeader},
      {R"({"quantization": {"bits": 4, "group_size": 64.0}})", ErrorCode::kBadHeader},
      {R"({"quantization": {"bits": "4", "group_size": 64}})", ErrorCode::kBadHeader},
      {R"({"quantization": {"bits": 7, "group_size": 64}})", ErrorCode::kUnsupportedType},
      {R"({"quantization": {"bits": -4, "group_size": 64}})", ErrorCode::kUnsupportedType},
      {R"({"quantization": {"bits": 4, "group_size": 0}})", ErrorCode::kUnsupportedType},
      {R"({"quantization": {"bits": 4, "group_size": 4294967360}})", ErrorCode::kUnsupportedType},
      {R"({"quantization": {"bits": 4, "group_size": 32, "mode": "mxfp4"}})",
       ErrorCode::kUnsupportedType},
      {R"({"quantization": {"bits": 4, "group_size": 32, "a": {"mode": "nvfp4"}}})",
       ErrorCode::kUnsupportedType},
      {R"({"quantization_config": {"bits": 4, "group_size": 64}})", ErrorCode::kBadHeader},
      {R"({"quantization_config": {"quant_method": 4}})", ErrorCode::kBadHeader},
  };
  for (const auto& [json, code] : cases) {
    const auto parsed = ParseQuantizationConfig(json, "config.json");
    ASSERT_FALSE(parsed.ok()) << json;
    EXPECT_EQ(parsed.error().code, code) << json << ": " << parsed.error().message;
  }
  const auto expect_refused = [](std::string_view members, ErrorCode code) {
    const std::string json = R"({"quantization_config": {)" + std::string(members) + "}}";
    const auto parsed = ParseQuantizationConfig(json, "config.json");
    ASSERT_FALSE(parsed.ok()) << json;
    EXPECT_EQ(parsed.error().code, code) << json << ": " << parsed.error().message;
  };
  const std::string awq = R"("quant_method": "awq", "group_size": 128)";
  expect_refused(awq, ErrorCode::kBadHeader);
  expect_refused(awq + R"(, "bits": 8)", ErrorCode::kUnsupportedType);
  expect_refused(awq + R"(, "bits": 4, "version": "gemv")", ErrorCode::kUnsupportedType);
  expect_refused(awq + R"(, "bits": 4, "zero_point": false)", ErrorCode::kUnsupportedType);
  expect_refused(awq + R"(, "bits": 4, "zero_point": "no")", ErrorCode::kBadHeader);
  const std::string gptq = R"("quant_method": "gptq", "bits": 4)";
  expect_refused(gptq, ErrorCode::kBadHeader);
  expect_refused(gptq + R"(, "group_size": 0)", ErrorCode::kBadHeader);
  expect_refused(gptq + R"(, "group_size": -2)", ErrorCode::kBadHeader);
  const std::string grouped = gptq + R"(, "group_size": 64, )";
  expect_refused(grouped + R"("checkpoint_format": "marlin")", ErrorCode::kUnsupportedType);
  expect_refused(grouped + R"("is_marlin_format": true)", ErrorCode::kUnsupportedType);
  expect_refused(grouped + R"("pack_dtype": "int8")", ErrorCode::kUnsupportedType);
  expect_refused(grouped + R"("dynamic": {"+:a": {"bits": 8}})", ErrorCode::kUnsupportedType);
  expect_refused(grouped + R"("dynamic": {"a": {"bits": 8}})", ErrorCode::kUnsupportedType);
}

TEST(QuantizationConfigTest, DenseConfigKeepsTheOtherKeysInOrder) {
  EXPECT_EQ(ConfigWithoutQuantization(
                R"({"z":1e-05,"quantization":{"bits":4},"a":"ä","quantization_config":{}})"),
            "{\n  \"z\": 1e-05,\n  \"a\": \"ä\"\n}\n");
}

}  // namespace
}  // namespace ecq

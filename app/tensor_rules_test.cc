// Tests of --tensor rules: what they say, which wins, what is refused.
#include "app/tensor_rules.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace ecq {
namespace {

std::vector<SourceTensor> Tensors() {
  return {{"model.embed_tokens.weight", {64, 32}, "F32", 8192},
          {"model.layers.0.mlp.up_proj.weight", {64, 32}, "F32", 8192},
          {"model.layers.0.mlp.down_proj.weight", {32, 64}, "F32", 8192},
          {"model.layers.1.mlp.down_proj.weight", {32, 64}, "F32", 8192},
          {"model.norm.weight", {32}, "F32", 128}};
}

TEST(TensorRules, ErrorsNameTheRemedy) {
  const std::vector<std::pair<std::string, MatrixRule>> cases{
      {"keep", {true, {}, "", ""}},
      {"bpw:5", {false, 5.0, "", ""}},
      {"bpw:2.75,codec:rans", {false, 2.75, "", "rans"}},
      {"codec:raw", {false, {}, "", "raw"}},
      {"codec:auto", {false, {}, "", "auto"}},
      {"codec:raw,grid:q4_0", {false, {}, "q4_0", "raw"}},
      {"grid:ecq,bpw:1", {false, 1.0, "ecq", ""}}};
  for (const auto& [text, expected] : cases) {
    const auto rule = ParseTensorRule("up=" + text);
    ASSERT_TRUE(rule.ok()) << text << ": " << rule.error().message;
    EXPECT_EQ(*rule, expected) << text;
  }
}

TEST(TensorRules, RegexMayHoldEqualSigns) {
  const auto rule = ParseTensorRule("(?=model)embed|x=y=keep");
  ASSERT_TRUE(rule.ok()) << rule.error().message;
  EXPECT_TRUE(rule->keep);
}

TEST(TensorRules, WrongOnesAreRefusedWithTheReason) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "expected REGEX=RULE"},
      {"up_proj", "expected REGEX=RULE"},
      {"=keep", "0 bytes"},
      {std::string(5000, 'a') + "=keep", "5000 bytes"},
      {"up=", "expected keep"},
      {"up=Keep", "'Keep'"},
      {"up=keep,", "''"},
      {"up=keep,bpw:3", "nothing else goes with it"},
      {"up=keep,keep", "twice"},
      {"up=keep:1", "'keep:1'"},
      {"up=bpw", "'bpw:'"},
      {"up=bpw:", "expected 1 to 7"},
      {"up=bpw:0.5", "expected 1 to 7"},
      {"up=bpw:7.01", "expected 1 to 7"},
      {"up=bpw:nan", "expected 1 to 7"},
      {"up=bpw:5x", "expected 1 to 7"},
      {"up=bpw:3,bpw:3", "twice"},
      {"up=grid:q9", "'q9'"},
      {"up=grid:", "''"},
      {"up=codec:zip", "'zip'"},
      {"up=grid:q4_0,bpw:4", "fixed width"}};
  for (const auto& [text, expected] : cases) {
    const auto rule = ParseTensorRule(text);
    ASSERT_FALSE(rule.ok()) << text;
    EXPECT_NE(rule.error().message.find(expected), std::string::npos) << rule.error().message;
  }
}

TEST(TensorRules, BadRegexIsShownUpToThePlace) {
  const auto rule = ParseTensorRule("mlp.(up|down=keep");
  ASSERT_FALSE(rule.ok());
  EXPECT_NE(rule.error().message.find("position 12, behind 'mlp.(up|down'"), std::string::npos)
      << rule.error().message;
  const auto range = ParseTensorRule("layers.[9-0].mlp=keep");
  ASSERT_FALSE(range.ok());
  EXPECT_NE(range.error().message.find("out of order in character class at position 10"),
            std::string::npos)
      << range.error().message;
}

TEST(TensorRules, LastMatchCountsAlone) {
  const auto rules = AssignTensorRules(
      {R"(layers\.\d+\.=bpw:5,codec:rans)", "down_proj=bpw:6", R"(layers\.1\.=keep)"}, Tensors());
  ASSERT_TRUE(rules.ok()) << rules.error().message;
  ASSERT_EQ(rules->size(), 5u);
  EXPECT_EQ((*rules)[0], MatrixRule());
  EXPECT_EQ((*rules)[1], (MatrixRule{false, 5.0, "", "rans"}));
  EXPECT_EQ((*rules)[2], (MatrixRule{false, 6.0, "", ""})) << "nothing of the first rule is left";
  EXPECT_EQ((*rules)[3], (MatrixRule{true, {}, "", ""}));
  EXPECT_EQ((*rules)[4], MatrixRule());
}

TEST(TensorRules, EachMustMatchAMatrix) {
  for (const char* const regex : {"upp_proj", "^layers", "model.norm", "weights$"}) {
    const auto rules =
        AssignTensorRules({"up_proj=bpw:3", std::string(regex) + "=keep"}, Tensors());
    ASSERT_FALSE(rules.ok()) << regex;
    EXPECT_EQ(rules.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(rules.error().message.find("matches no matrix"), std::string::npos);
    EXPECT_NE(rules.error().message.find("model.embed_tokens.weight"), std::string::npos);
  }
}

TEST(TensorRules, BacktrackingEnds) {
  std::vector<SourceTensor> tensors = Tensors();
  tensors[0].name = std::string(200, 'a') + ".weight";
  const auto rules = AssignTensorRules({"^(a+)+$=keep"}, tensors);
  ASSERT_FALSE(rules.ok());
  EXPECT_NE(rules.error().message.find("simpler regex"), std::string::npos)
      << rules.error().message;
}

TEST(TensorRules, NamesAreBytes) {
  std::vector<SourceTensor> tensors = Tensors();
  tensors[0].name = "\xff\xfe.weight";
  EXPECT_TRUE(AssignTensorRules({"^..\\.weight$=keep"}, tensors).ok());
}

}  // namespace
}  // namespace ecq

// Tests of LoadTokenizer and byte-level BPE against vectors made with Hugging Face tokenizers.
#include "ecq/runtime/tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

namespace ecq {
namespace {

using namespace std::string_view_literals;

std::string VectorFile(const std::string& name) {
  std::ifstream file(ECQ_SOURCE_DIR "/tests/vectors/tokenizers/" + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  std::stringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

std::unique_ptr<Tokenizer> Load(const std::string& name, std::vector<NamedFile> more = {}) {
  const std::string contents = VectorFile(name + ".json");
  more.push_back({"tokenizer.json", contents});
  auto tokenizer = LoadTokenizer(more);
  if (!tokenizer.ok()) {
    ADD_FAILURE() << tokenizer.error().message;
    return nullptr;
  }
  return *std::move(tokenizer);
}

std::vector<std::string> Texts() {
  std::vector<std::string> texts;
  std::istringstream lines(VectorFile("texts.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    texts.push_back(nlohmann::json::parse(line).get<std::string>());
  }
  return texts;
}

std::string Join(const std::vector<uint32_t>& ids) {
  std::string line;
  for (uint32_t id : ids) {
    if (!line.empty()) line += ' ';
    line += std::to_string(id);
  }
  return line;
}

class TokenizerVectorTest : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerVectorTest, IdsAgreeWithTheOracle) {
  const auto tokenizer = Load(GetParam());
  ASSERT_NE(tokenizer, nullptr);
  const std::vector<std::string> texts = Texts();
  ASSERT_GT(texts.size(), 2000u);
  std::istringstream expected(VectorFile(std::string(GetParam()) + ".ids"));
  for (const std::string& text : texts) {
    std::string line;
    ASSERT_TRUE(std::getline(expected, line));
    const std::string parsed = Join(tokenizer->Encode(text, true));
    const std::string spelled = Join(tokenizer->Encode(text, false));
    EXPECT_EQ(parsed == spelled ? parsed : parsed + "|" + spelled, line) << text;
  }
  std::string rest;
  EXPECT_FALSE(std::getline(expected, rest));
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerVectorTest,
                         testing::Values("gpt2", "smollm2", "qwen2", "llama3_style", "odd_style"));

TEST(TokenizerTest, DecodeInvertsEncode) {
  const auto tokenizer = Load("gpt2");
  ASSERT_NE(tokenizer, nullptr);
  for (const std::string& text : Texts()) {
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, true)), text);
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, false)), text);
  }
}

TEST(TokenizerTest, CompositionIsTheOnlyChangeOfQwen2) {
  const auto tokenizer = Load("qwen2");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("cafe\xcc\x81 <|im_end|>", true)),
            "caf\xc3\xa9 <|im_end|>");
  // What came out once is composed, so that it comes out unchanged the second time.
  for (const std::string& text : Texts()) {
    const std::string once = tokenizer->Decode(tokenizer->Encode(text, false));
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(once, false)), once);
  }
}

TEST(TokenizerTest, KeepsBytesThatAreNotUtf8) {
  const auto tokenizer = Load("gpt2");
  ASSERT_NE(tokenizer, nullptr);
  for (std::string_view text : {"\xff"sv, "abc\xc3"sv, "\x80\x80 the"sv, "the\xed\xa0\x80the"sv,
                                "\xf4\x90\x80\x80"sv, "caf\xc3\xa9\xe2\x82 x\0\xfe"sv}) {
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, true)), text);
  }
  std::string all_bytes;
  for (int byte = 0; byte < 256; ++byte) all_bytes += static_cast<char>(255 - byte);
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(all_bytes, true)), all_bytes);
  // A bad byte separates: "the" is the same token on both sides.
  const auto the = tokenizer->Encode("the", false);
  const auto both = tokenizer->Encode("the\xffthe", false);
  ASSERT_EQ(both.size(), 2 * the.size() + 1);
  EXPECT_EQ(both.front(), the.front());
  EXPECT_EQ(both.back(), the.back());
}

TEST(TokenizerTest, EmptyTextAndUnknownIdsGiveNothing) {
  const auto tokenizer = Load("smollm2");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_TRUE(tokenizer->Encode("", true).empty());
  EXPECT_EQ(tokenizer->Decode({}), "");
  EXPECT_EQ(tokenizer->DecodePiece(static_cast<uint32_t>(tokenizer->vocab_size()), false), "");
  EXPECT_EQ(tokenizer->DecodePiece(0xffffffffu, true), "");
  EXPECT_EQ(tokenizer->DecodePiece(1, false), "<|im_start|>");
}

// A merge that rescans the word is quadratic and takes minutes here; a hostile word must not.
TEST(TokenizerTest, LongWordsAreNotQuadratic) {
  const auto tokenizer = Load("qwen2");
  ASSERT_NE(tokenizer, nullptr);
  constexpr size_t kBytes = size_t{1} << 20;
  for (const char c : {'a', ' ', '!', '\n', '0'}) {
    const std::string text(kBytes, c);
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, true)), text);
  }
}

TEST(TokenizerTest, ReadsSpecialIdsFromTheConfigFiles) {
  const auto tokenizer = Load(
      "smollm2", {{"tokenizer_config.json",
                   R"({"bos_token": {"content": "<|im_start|>"}, "eos_token": "<|im_end|>"})"},
                  {"generation_config.json", R"({"bos_token_id": 7, "eos_token_id": [9, 0, 2]})"},
                  {"config.json", R"({"eos_token_id": 11})"}});
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->bos_id(), 1u);
  EXPECT_EQ(tokenizer->eos_ids(), (std::vector<uint32_t>{0, 2, 9}));
  EXPECT_TRUE(tokenizer->IsEos(9));
  EXPECT_FALSE(tokenizer->IsEos(11));
  EXPECT_FALSE(tokenizer->add_bos());
}

TEST(TokenizerTest, FallsBackToTheModelConfig) {
  const auto tokenizer =
      Load("smollm2", {{"tokenizer_config.json", R"({"add_bos_token": true, "bos_token": null})"},
                       {"config.json", R"({"bos_token_id": 1, "eos_token_id": 2})"}});
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->bos_id(), 1u);
  EXPECT_EQ(tokenizer->eos_ids(), (std::vector<uint32_t>{2}));
  EXPECT_TRUE(tokenizer->add_bos());
}

TEST(TokenizerTest, TakesTheBeginTokenFromTheTemplate) {
  const auto tokenizer = Load("llama3_style");
  ASSERT_NE(tokenizer, nullptr);
  ASSERT_TRUE(tokenizer->bos_id().has_value());
  EXPECT_EQ(tokenizer->DecodePiece(*tokenizer->bos_id(), true), "<|begin_of_text|>");
  EXPECT_TRUE(tokenizer->add_bos());
  EXPECT_TRUE(tokenizer->eos_ids().empty());
  const auto without =
      Load("llama3_style", {{"tokenizer_config.json", R"({"add_bos_token": false})"}});
  ASSERT_NE(without, nullptr);
  EXPECT_FALSE(without->add_bos());
}

TEST(TokenizerTest, RefusesBadConfigFiles) {
  const std::string contents = VectorFile("smollm2.json");
  const auto code = [&](std::string_view name, std::string_view text) {
    const NamedFile files[] = {{"tokenizer.json", contents}, {name, text}};
    const auto result = LoadTokenizer(files);
    return result.ok() ? ErrorCode::kInternal : result.error().code;
  };
  EXPECT_EQ(code("config.json", "{"), ErrorCode::kBadHeader);
  EXPECT_EQ(code("config.json", "[]"), ErrorCode::kBadHeader);
  EXPECT_EQ(code("config.json", R"({"eos_token_id": 4252})"), ErrorCode::kBadTable);
  EXPECT_EQ(code("config.json", R"({"eos_token_id": -1})"), ErrorCode::kBadTable);
  EXPECT_EQ(code("config.json", R"({"eos_token_id": [1, "2"]})"), ErrorCode::kBadTable);
  EXPECT_EQ(code("config.json", R"({"bos_token_id": [1, 2]})"), ErrorCode::kBadHeader);
  EXPECT_EQ(code("tokenizer_config.json", R"({"bos_token": 5})"), ErrorCode::kBadHeader);
  EXPECT_EQ(code("tokenizer_config.json", R"({"bos_token": {}})"), ErrorCode::kBadHeader);
  EXPECT_EQ(code("tokenizer_config.json", R"({"eos_token": "<none>"})"), ErrorCode::kBadTable);
  EXPECT_EQ(code("tokenizer_config.json", R"({"add_bos_token": 1})"), ErrorCode::kBadHeader);
  EXPECT_EQ(code("tokenizer_config.json", R"({"add_bos_token": true})"), ErrorCode::kBadHeader);
}

TEST(TokenizerTest, SaysWhichFilesItNeeds) {
  const NamedFile files[] = {{"config.json", "{}"}};
  const auto result = LoadTokenizer(files);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
  EXPECT_NE(result.error().message.find("tokenizer.json"), std::string::npos);
}

}  // namespace
}  // namespace ecq

// Tokenizers of Llama 2's kind in a tokenizer.json, against Hugging Face tokenizers.
#include "ecq/import/sentencepiece_tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "app/opened_model.h"
#include "ecq/runtime/tokenizer.h"

namespace ecq {
namespace {

using Json = nlohmann::json;

const std::filesystem::path kVectors = std::filesystem::path(ECQ_SOURCE_DIR) / "tests/vectors";

std::string ReadText(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string Contents(const std::string& name) {
  return ReadText(kVectors / "sentencepiece" / (name + ".json"));
}

Result<std::unique_ptr<Tokenizer>> Load(const std::string& tokenizer_json) {
  const auto pieces = SentencePieceFromTokenizerJson({{"tokenizer.json", tokenizer_json}});
  if (!pieces) return Error{ErrorCode::kUnsupportedTokenizer, "not understood"};
  const std::vector<NamedFile> files{{"tokenizer.json", tokenizer_json},
                                     {pieces->name, pieces->contents}};
  return LoadTokenizer(files);
}

class SentencePieceKinds : public testing::TestWithParam<std::string> {};

TEST_P(SentencePieceKinds, EncodesAsTheOracle) {
  const auto tokenizer = Load(Contents(GetParam()));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_TRUE((*tokenizer)->add_bos());
  EXPECT_EQ((*tokenizer)->bos_id(), 1u);
  std::ifstream texts(kVectors / "tokenizers/texts.jsonl");
  std::ifstream expected(kVectors / "sentencepiece" / (GetParam() + ".ids"));
  int compared = 0;
  for (std::string text, ids; std::getline(texts, text) && std::getline(expected, ids);) {
    const std::string decoded = Json::parse(text).get<std::string>();
    // Spelled in bytes on purpose, so that it does not come back as a space.
    if (decoded.find("\u2581") != std::string::npos) continue;
    std::string got;
    for (const uint32_t id : (*tokenizer)->Encode(decoded, /*parse_special=*/false)) {
      if (!got.empty()) got += ' ';
      got += std::to_string(id);
    }
    EXPECT_EQ(got, ids) << text;
    ++compared;
  }
  EXPECT_GT(compared, 2000);
}

INSTANTIATE_TEST_SUITE_P(Kinds, SentencePieceKinds, testing::Values("llama2", "gemma"),
                         [](const auto& param_info) { return param_info.param; });

TEST(SentencePieceTokenizerJson, ADirectoryHasBothFiles) {
  const auto folder = std::filesystem::temp_directory_path() /
                      ("ecq_sentencepiece_test_" + std::to_string(getpid()));
  std::filesystem::copy(kVectors / "architectures/gpt2", folder);
  std::filesystem::copy(kVectors / "sentencepiece/gemma.json", folder / "tokenizer.json");
  {
    std::ofstream(folder / "tokenizer_config.json") << R"({"eos_token": {"content": "</s>"}})";
    std::ofstream(folder / "generation_config.json") << R"({"eos_token_id": [2, 7]})";
  }
  const auto opened = OpenedModel::Open(folder);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const auto tokenizer = opened->LoadTokenizer();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_TRUE((*tokenizer)->IsEos(2));
  EXPECT_TRUE((*tokenizer)->IsEos(7));
  std::filesystem::remove_all(folder);
}

TEST(SentencePieceTokenizerJson, OtherStepsAreNotUnderstood) {
  const auto loads = [](const std::function<void(Json&)>& change) {
    Json root = Json::parse(Contents("gemma"));
    change(root);
    return Load(root.dump()).ok();
  };
  EXPECT_TRUE(loads([](Json&) {}));
  EXPECT_TRUE(loads([](Json& r) {
    r["normalizer"] = nullptr;
    r["pre_tokenizer"] = {{"type", "Metaspace"},
                          {"replacement", "\u2581"},
                          {"prepend_scheme", "first"},
                          {"split", false}};
  }));
  EXPECT_FALSE(loads([](Json& r) { r["model"]["byte_fallback"] = false; }));
  EXPECT_FALSE(loads([](Json& r) { r["model"]["ignore_merges"] = true; }));
  EXPECT_FALSE(loads([](Json& r) { r["model"]["vocab"].erase("<0x7F>"); }));
  EXPECT_FALSE(loads([](Json& r) { r["model"]["vocab"]["<s>"] = 1u << 31; }));
  EXPECT_FALSE(loads([](Json& r) { r["model"]["vocab"]["new"] = 1; }));
  EXPECT_FALSE(loads([](Json& r) { r["model"]["merges"].push_back("no such"); }));
  EXPECT_FALSE(loads([](Json& r) { r["model"]["merges"].push_back(3); }));
  EXPECT_FALSE(loads([](Json& r) { r["normalizer"] = nullptr; }));
  EXPECT_FALSE(loads([](Json& r) { r["normalizer"] = {{"type", "NFKC"}}; }));
  EXPECT_FALSE(loads([](Json& r) { r["pre_tokenizer"] = {{"type", "Whitespace"}}; }));
  EXPECT_FALSE(loads([](Json& r) { r["added_tokens"].push_back({{"id", 1}}); }));
  EXPECT_FALSE(loads([](Json& r) { r["added_tokens"][0]["id"] = 5; }));
}

TEST(SentencePieceTokenizerJson, DamagedFilesAreHandled) {
  const std::string whole = Contents("gemma");
  for (size_t i = 0; i < whole.size(); i += 97) {
    std::string damaged = whole;
    damaged[i] ^= 0x15;
    (void)Load(damaged);
    (void)Load(whole.substr(0, i));
  }
}

}  // namespace
}  // namespace ecq

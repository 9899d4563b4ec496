// Tests of SentencePiece-style BPE: a hand-made vocabulary, and the one of llama2.c's stories260K.
#include "ecq/runtime/sentencepiece_bpe.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "ecq/runtime/tokenizer_json.h"

namespace ecq {
namespace {

using nlohmann::json;
using Ids = std::vector<uint32_t>;

constexpr uint32_t kFirstByte = 3;
constexpr uint32_t kFirstNormal = kFirstByte + 256;

// Ids 0 to 2 are <unk>, <s>, </s>, then the bytes, then the normal pieces and one user-defined.
json Small() {
  json pieces = {{"<unk>", 0.0, 2}, {"<s>", 0.0, 3}, {"</s>", 0.0, 3}};
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(byte));
    pieces.push_back({text, 0.0, 6});
  }
  const std::pair<const char*, double> normal[] = {{"\u2581", -9}, {"a", -9},  {"b", -9},
                                                   {"ab", -1},     {"ba", -1}, {"\u2581ab", -3},
                                                   {"aba", -0.5}};
  for (const auto& [text, score] : normal) pieces.push_back({text, score, 1});
  pieces.push_back({"[X]", 0.0, 4});
  return {
      {"type", "sentencepiece-bpe"}, {"add_bos", true}, {"bos_id", 1}, {"eos_id", 2}, {"unk_id", 0},
      {"add_space_prefix", true},    {"pieces", pieces}};
}

constexpr uint32_t kSpace = kFirstNormal, kA = kSpace + 1, kB = kA + 1, kAb = kB + 1, kBa = kAb + 1,
                   kSpaceAb = kBa + 1, kAba = kSpaceAb + 1, kX = kAba + 1;

std::unique_ptr<Tokenizer> Load(const json& root) {
  const std::string contents = root.dump();
  const NamedFile files[] = {{"sentencepiece.json", contents}};
  auto tokenizer = LoadTokenizer(files);
  if (!tokenizer.ok()) {
    ADD_FAILURE() << tokenizer.error().message;
    return nullptr;
  }
  return *std::move(tokenizer);
}

TEST(SentencePieceBpeTest, HighestScoreMergesFirstLeftmostOnTies) {
  const auto tokenizer = Load(Small());
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->Encode("ab", false), (Ids{kSpaceAb}));
  // _ a b a: "ab" and "ba" tie, the left one wins; then "aba" beats "_ab".
  EXPECT_EQ(tokenizer->Encode("aba", false), (Ids{kSpace, kAba}));
  EXPECT_EQ(tokenizer->Encode("bab", false), (Ids{kSpace, kBa, kB}));
  EXPECT_EQ(tokenizer->Encode("", false), Ids{});
  EXPECT_EQ(tokenizer->vocab_size(), kX + 1);
}

TEST(SentencePieceBpeTest, SpellsUnknownCharactersInBytes) {
  const auto tokenizer = Load(Small());
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->Encode("\xc3\xa9\n", false),
            (Ids{kSpace, kFirstByte + 0xc3, kFirstByte + 0xa9, kFirstByte + 0x0a}));
  for (std::string_view text : {"  ab  ", " ", "\xff\x80",
                                "a\xe2\x96\x81"
                                "b",
                                "<0x41>"}) {
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, false)), text);
  }
}

TEST(SentencePieceBpeTest, SpecialPiecesMatchOnRequest) {
  const auto tokenizer = Load(Small());
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->Encode("ab<s>ab", true), (Ids{kSpaceAb, 1, kSpaceAb}));
  EXPECT_EQ(tokenizer->Encode("<s>", false),
            (Ids{kSpace, kFirstByte + '<', kFirstByte + 's', kFirstByte + '>'}));
  EXPECT_EQ(tokenizer->Encode("ab[X]ab", false), (Ids{kSpaceAb, kX, kAb}));
}

TEST(SentencePieceBpeTest, StripsTheSpaceOfTheFirstPieceOnly) {
  const auto tokenizer = Load(Small());
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->DecodePiece(kSpaceAb, true), "ab");
  EXPECT_EQ(tokenizer->DecodePiece(kSpaceAb, false), " ab");
  EXPECT_EQ(tokenizer->DecodePiece(kFirstByte + ' ', true), " ");
  EXPECT_EQ(tokenizer->DecodePiece(kX + 1, true), "");
  EXPECT_EQ(tokenizer->Decode(Ids{1, kSpaceAb, kSpaceAb}), "<s>ab ab");
  EXPECT_EQ(tokenizer->bos_id(), 1u);
  EXPECT_TRUE(tokenizer->add_bos());
  EXPECT_TRUE(tokenizer->IsEos(2));
}

TEST(SentencePieceBpeTest, UsesTheUnknownPieceWithoutBytes) {
  json root = Small();
  for (json& piece : root["pieces"]) {
    if (piece[2] == 6) piece[2] = 5;
  }
  const auto tokenizer = Load(root);
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->Encode("\xc3\xa9", false), (Ids{kSpace, 0}));
}

TEST(SentencePieceBpeTest, LongTextsAreNotQuadratic) {
  const auto tokenizer = Load(Small());
  ASSERT_NE(tokenizer, nullptr);
  const std::string text(size_t{1} << 20, 'a');
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text, false)), text);
}

TEST(SentencePieceBpeTest, RefusesHostileFiles) {
  const auto code = [](const std::function<void(json&)>& change) {
    json root = Small();
    change(root);
    const auto spec = ParseSentencePieceJson(root.dump());
    return spec.ok() ? ErrorCode::kInternal : spec.error().code;
  };
  constexpr auto kHeader = ErrorCode::kBadHeader;
  constexpr auto kTable = ErrorCode::kBadTable;
  EXPECT_EQ(code([](json& r) { r["type"] = "unigram"; }), ErrorCode::kUnsupportedTokenizer);
  EXPECT_EQ(code([](json& r) { r.erase("pieces"); }), kHeader);
  EXPECT_EQ(code([](json& r) { r["pieces"] = json::array(); }), kHeader);
  EXPECT_EQ(code([](json& r) { r["pieces"][5] = {"a", 0.0}; }), kHeader);
  EXPECT_EQ(code([](json& r) { r["pieces"][5][0] = 1; }), kHeader);
  EXPECT_EQ(code([](json& r) { r["pieces"][5][0] = "<0xG0>"; }), kHeader);
  EXPECT_EQ(code([](json& r) { r["pieces"][5][0] = "<0x0>"; }), kHeader);
  EXPECT_EQ(code([](json& r) { r["pieces"][5][1] = 1e300; }), kHeader);
  EXPECT_EQ(code([](json& r) { r["pieces"][5][1] = "0"; }), kHeader);
  EXPECT_EQ(code([](json& r) { r["pieces"][5][2] = 7; }), kHeader);
  EXPECT_EQ(code([](json& r) { r["pieces"][5][2] = -1; }), kHeader);
  EXPECT_EQ(code([](json& r) { r["pieces"][1][0] = std::string(2000, 'x'); }), kHeader);
  EXPECT_EQ(code([](json& r) { r["bos_id"] = 1u << 20; }), kTable);
  EXPECT_EQ(code([](json& r) { r["bos_id"] = nullptr; }), kHeader);
  EXPECT_EQ(code([](json& r) { r["eos_id"] = {2, 4294967296u * 2}; }), kTable);
  EXPECT_EQ(code([](json& r) { r["unk_id"] = -1; }), kTable);
  EXPECT_EQ(code([](json& r) { r["add_space_prefix"] = 1; }), kHeader);
  EXPECT_EQ(code([](json& r) {
              r["unk_id"] = nullptr;
              r["pieces"][5][2] = 1;
            }),
            kTable);
}

std::string ReadData(const std::string& name) {
  std::ifstream file(ECQ_SOURCE_DIR "/data/" + name, std::ios::binary);
  std::stringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

// The tokenizer file of llama2.c: u32 longest piece, then f32 score, u32 size, bytes per piece.
json ReadLlama2c(const std::string& file) {
  json pieces = json::array();
  for (size_t at = 4; at + 8 <= file.size();) {
    float score = 0;
    uint32_t size = 0;
    std::memcpy(&score, file.data() + at, 4);
    std::memcpy(&size, file.data() + at + 4, 4);
    const size_t id = pieces.size();
    const int type = id == 0 ? 2 : id < 3 ? 3 : id < kFirstNormal ? 6 : 1;
    pieces.push_back({file.substr(at + 8, size), score, type});
    at += 8 + size;
  }
  json root = Small();
  root["pieces"] = pieces;
  return root;
}

TEST(SentencePieceBpeTest, ReencodesTheTinyStoriesDocuments) {
  const std::string vocabulary = ReadData("models/stories260K/tok512.bin");
  const std::string tokens = ReadData("text/tinystories-sample.tok512.u16");
  ASSERT_FALSE(vocabulary.empty());
  ASSERT_FALSE(tokens.empty());
  const auto tokenizer = Load(ReadLlama2c(vocabulary));
  ASSERT_NE(tokenizer, nullptr);
  ASSERT_EQ(tokenizer->vocab_size(), 512u);

  std::vector<Ids> documents;
  for (size_t at = 0; at + 2 <= tokens.size(); at += 2) {
    uint16_t id = 0;
    std::memcpy(&id, tokens.data() + at, 2);
    if (id == 1) documents.emplace_back();
    ASSERT_FALSE(documents.empty());
    if (id != 1) documents.back().push_back(id);
  }
  EXPECT_EQ(documents.size(), 280u);
  for (const Ids& document : documents) {
    EXPECT_EQ(tokenizer->Encode(tokenizer->Decode(document), false), document);
  }
}

}  // namespace
}  // namespace ecq

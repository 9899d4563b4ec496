// Tests that hostile and unknown tokenizer.json files are refused, and never crash.
#include "ecq/runtime/tokenizer_json.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace ecq {
namespace {

using nlohmann::json;

// Tokens a b ab c abc, the merges that make them, one special token.
json Small() {
  return json::parse(R"({
    "added_tokens": [{"id": 5, "content": "<s>", "special": true, "normalized": false}],
    "normalizer": {"type": "NFC"},
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": "\\s+|\\S+"}, "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4},
              "merges": ["a b", ["ab", "c"]]}})");
}

std::vector<uint32_t> Encode(const json& root, std::string_view text, bool parse_special = true) {
  auto spec = ParseTokenizerJson(root.dump());
  if (!spec.ok()) {
    ADD_FAILURE() << spec.error().message;
    return {};
  }
  return ByteLevelBpe(*std::move(spec), {}).Encode(text, parse_special);
}

using Ids = std::vector<uint32_t>;

TEST(TokenizerJsonTest, SmallTokenizerWorks) {
  EXPECT_EQ(Encode(Small(), "abcab<s>cb"), (Ids{4, 2, 5, 3, 1}));
  EXPECT_EQ(Encode(Small(), "a<s>", false), (Ids{0}));  // the bytes of "<s>" have no token
}

TEST(TokenizerJsonTest, LowestRankMergesFirst) {
  json root = Small();
  root["model"]["vocab"]["bc"] = 6;
  root["model"]["merges"] = json::parse(R"(["b c", "a b", "ab c"])");
  EXPECT_EQ(Encode(root, "abc"), (Ids{0, 6}));
  root["model"]["merges"] = json::parse(R"(["a b", "b c", "ab c"])");
  EXPECT_EQ(Encode(root, "abc"), (Ids{4}));
}

TEST(TokenizerJsonTest, LastOfRepeatedMergesCounts) {
  json root = Small();
  root["model"]["vocab"]["bc"] = 6;
  root["model"]["merges"] = json::parse(R"(["a b", "b c", "a b"])");
  EXPECT_EQ(Encode(root, "abc"), (Ids{0, 6}));
}

TEST(TokenizerJsonTest, IgnoreMergesTakesWholeWords) {
  json root = Small();
  root["model"]["merges"] = json::array();
  EXPECT_EQ(Encode(root, "abc"), (Ids{0, 1, 3}));
  root["model"]["ignore_merges"] = true;
  EXPECT_EQ(Encode(root, "abc"), (Ids{4}));
}

TEST(TokenizerJsonTest, UnknownBytesAreDroppedOrNamed) {
  json root = Small();
  EXPECT_EQ(Encode(root, "a??b"), (Ids{2}));  // as if they were not there
  root["model"]["unk_token"] = "c";
  EXPECT_EQ(Encode(root, "a??b"), (Ids{0, 3, 3, 1}));
  root["model"]["fuse_unk"] = true;
  EXPECT_EQ(Encode(root, "a??b"), (Ids{0, 3, 1}));
}

TEST(TokenizerJsonTest, StrippedSpaceBelongsToOneTokenOnly) {
  json root = Small();
  root["added_tokens"] = json::parse(R"([
    {"id": 5, "content": "<r>", "rstrip": true, "normalized": false},
    {"id": 6, "content": "<l>", "lstrip": true, "normalized": false},
    {"id": 7, "content": "  ", "normalized": false}])");
  EXPECT_EQ(Encode(root, "<r>   a"), (Ids{5, 0}));  // nothing left for the token of two spaces
  EXPECT_EQ(Encode(root, "<r> <l>a"), (Ids{5, 6, 0}));
  EXPECT_EQ(Encode(root, "a   <l>"), (Ids{0, 7, 6}));
  EXPECT_EQ(Encode(root, " <l> "), (Ids{6}));
}

struct Change {
  const char* name;
  ErrorCode code;
  std::function<void(json&)> apply;
};

void PrintTo(const Change& change, std::ostream* out) { *out << change.name; }

class RefusedChangeTest : public testing::TestWithParam<Change> {};

TEST_P(RefusedChangeTest, IsRefusedInOneLine) {
  json root = Small();
  GetParam().apply(root);
  const auto spec = ParseTokenizerJson(root.dump());
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(spec.error().code, GetParam().code) << spec.error().message;
  EXPECT_EQ(spec.error().message.find('\n'), std::string::npos);
  EXPECT_EQ(spec.error().message.find("tokenizer.json"), 0u);
}

constexpr ErrorCode kHeader = ErrorCode::kBadHeader;
constexpr ErrorCode kTable = ErrorCode::kBadTable;
constexpr ErrorCode kUnsupported = ErrorCode::kUnsupportedTokenizer;

json& Split(json& root) { return root["pre_tokenizer"]["pretokenizers"][0]; }
auto Regex(const char* regex) {
  return [regex](json& r) { Split(r)["pattern"]["Regex"] = regex; };
}

INSTANTIATE_TEST_SUITE_P(
    Model, RefusedChangeTest,
    testing::Values(
        Change{"NoModel", kHeader, [](json& r) { r.erase("model"); }},
        Change{"ModelIsList", kHeader, [](json& r) { r["model"] = json::array(); }},
        Change{"NoVocab", kHeader, [](json& r) { r["model"].erase("vocab"); }},
        Change{"EmptyVocab", kHeader, [](json& r) { r["model"]["vocab"] = json::object(); }},
        Change{"NoMerges", kHeader, [](json& r) { r["model"].erase("merges"); }},
        Change{"Unigram", kUnsupported, [](json& r) { r["model"]["type"] = "Unigram"; }},
        Change{"TypeIsNumber", kHeader, [](json& r) { r["model"]["type"] = 1; }},
        Change{"ByteFallback", kUnsupported, [](json& r) { r["model"]["byte_fallback"] = true; }},
        Change{"Affix", kUnsupported, [](json& r) { r["model"]["end_of_word_suffix"] = "</w>"; }},
        Change{"Dropout", kUnsupported, [](json& r) { r["model"]["dropout"] = 0.1; }},
        Change{"UnknownToken", kTable, [](json& r) { r["model"]["unk_token"] = "zzz"; }},
        Change{"HugeId", kTable, [](json& r) { r["model"]["vocab"]["a"] = 4294967295u; }},
        Change{"IdAtLimit", kTable, [](json& r) { r["model"]["vocab"]["a"] = kMaxVocabularySize; }},
        Change{"NegativeId", kTable, [](json& r) { r["model"]["vocab"]["a"] = -1; }},
        Change{"FractionalId", kTable, [](json& r) { r["model"]["vocab"]["a"] = 0.5; }},
        Change{"TextId", kTable, [](json& r) { r["model"]["vocab"]["a"] = "0"; }},
        Change{"RepeatedId", kTable, [](json& r) { r["model"]["vocab"]["b"] = 0; }},
        Change{"MergeOfUnknown", kTable, [](json& r) { r["model"]["merges"][0] = "a z"; }},
        Change{"MergeToUnknown", kTable, [](json& r) { r["model"]["merges"][0] = "b a"; }},
        Change{"MergeOfOne", kHeader, [](json& r) { r["model"]["merges"][0] = "ab"; }},
        Change{"MergeOfThree", kHeader, [](json& r) { r["model"]["merges"][0] = "a b c"; }},
        Change{"MergeList", kHeader, [](json& r) { r["model"]["merges"][0] = {"a"}; }},
        Change{"MergeNumber", kHeader, [](json& r) { r["model"]["merges"][0] = 1; }}));

INSTANTIATE_TEST_SUITE_P(
    AddedTokens, RefusedChangeTest,
    testing::Values(
        Change{"NotAList", kHeader, [](json& r) { r["added_tokens"] = 1; }},
        Change{"NoContent", kHeader, [](json& r) { r["added_tokens"][0].erase("content"); }},
        Change{"NoId", kHeader, [](json& r) { r["added_tokens"][0].erase("id"); }},
        Change{"HugeId", kTable, [](json& r) { r["added_tokens"][0]["id"] = 1u << 30; }},
        Change{"IdOfAnother", kTable, [](json& r) { r["added_tokens"][0]["id"] = 0; }},
        Change{"TextOfAnother", kTable, [](json& r) { r["added_tokens"][0]["content"] = "ab"; }},
        Change{"TooLong", kTable,
               [](json& r) { r["added_tokens"][0]["content"] = std::string(2000, 'x'); }},
        Change{"SingleWord", kUnsupported,
               [](json& r) { r["added_tokens"][0]["single_word"] = true; }},
        Change{"FlagIsNumber", kHeader, [](json& r) { r["added_tokens"][0]["lstrip"] = 1; }}));

INSTANTIATE_TEST_SUITE_P(
    Pipeline, RefusedChangeTest,
    testing::Values(
        Change{"Normalizer", kUnsupported, [](json& r) { r["normalizer"]["type"] = "NFKC"; }},
        Change{"NormalizerText", kHeader, [](json& r) { r["normalizer"] = "NFC"; }},
        Change{"NoPreTokenizer", kUnsupported, [](json& r) { r.erase("pre_tokenizer"); }},
        Change{"Metaspace", kUnsupported, [](json& r) { Split(r)["type"] = "Metaspace\n"; }},
        Change{"AfterByteLevel", kUnsupported,
               [](json& r) {
                 auto& steps = r["pre_tokenizer"]["pretokenizers"];
                 steps.push_back(steps[0]);
               }},
        Change{"DeepSequence", kHeader,
               [](json& r) {
                 for (int i = 0; i < 100; ++i) {
                   const json inner = r["pre_tokenizer"];
                   r["pre_tokenizer"] = {{"type", "Sequence"},
                                         {"pretokenizers", json::array({inner})}};
                 }
               }},
        Change{"Behavior", kUnsupported, [](json& r) { Split(r)["behavior"] = "Contiguous"; }},
        Change{"NoPattern", kHeader, [](json& r) { Split(r).erase("pattern"); }},
        Change{"PatternNumber", kHeader, [](json& r) { Split(r)["pattern"]["Regex"] = 1; }},
        Change{"OpenGroup", kHeader, Regex("(?:a")}, Change{"OpenClass", kHeader, Regex("[a")},
        Change{"EmptyRegex", kHeader, Regex("")},
        Change{"BadProperty", kHeader, Regex("\\p{Nonsense}")},
        Change{"HugeRepeat", kHeader, Regex("(?:(?:a{60000}){60000}){60000}")},
        Change{"Word", kUnsupported, Regex("\\w+")},
        Change{"Verb", kUnsupported, Regex("(*ACCEPT)")},
        Change{"Recursion", kUnsupported, Regex("a(?R)?b")},
        Change{"Backreference", kUnsupported, Regex("(a)\\1")},
        Change{"Intersection", kUnsupported, Regex("[a-z&&[^b]]")},
        Change{"TrailingBackslash", kUnsupported, Regex("a\\")},
        Change{"PostProcessor", kUnsupported,
               [](json& r) {
                 r["post_processor"] = {{"type", "BertProcessing"}};
               }},
        Change{"Decoder", kUnsupported, [](json& r) { r["decoder"]["type"] = "WordPiece"; }}));

// Every truncation is refused; no changed byte makes a crash, and what still loads still encodes.
TEST(TokenizerJsonTest, SurvivesDamage) {
  const std::string text = Small().dump();
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(ParseTokenizerJson(std::string_view(text).substr(0, size)).ok());
  }
  std::mt19937 rng(1);
  int loaded = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string damaged = text;
    for (int changes = 0; changes < 2; ++changes) {
      damaged[rng() % damaged.size()] = static_cast<char>(rng() % 128);
    }
    auto spec = ParseTokenizerJson(damaged);
    if (!spec.ok()) continue;
    ++loaded;
    const ByteLevelBpe tokenizer(*std::move(spec), {});
    for (uint32_t id : tokenizer.Encode("abc <s> \xc3\xa9\xff", true)) {
      EXPECT_LT(id, tokenizer.vocab_size());
    }
  }
  EXPECT_GT(loaded, 100);
}

TEST(TokenizerJsonTest, SurvivesDeepNesting) {
  EXPECT_FALSE(ParseTokenizerJson(std::string(1'000'000, '[')).ok());
  EXPECT_FALSE(ParseTokenizerJson("{\"model\":" + std::string(100'000, '[') +
                                  std::string(100'000, ']') + "}")
                   .ok());
}

}  // namespace
}  // namespace ecq

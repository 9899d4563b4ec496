// Rebuilds tokenizer.json, sentencepiece.json and tokenizer_config.json from GGUF keys.
#include "ecq/import/gguf_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "ecq/import/sentencepiece_json.h"

namespace ecq {
namespace {

using Json = nlohmann::ordered_json;

struct Vocabulary {
  std::vector<std::string_view> tokens;
  std::vector<int32_t> types;  // VocabularyPieceType; as many as tokens
};

// How a family of byte-level BPE tokenizers splits text before merging.
struct PreTokenizer {
  std::string_view name;  // of tokenizer.ggml.pre
  std::string_view normalizer;
  std::string_view pre_tokenizer;
  bool ignore_merges;  // a word that is a token as a whole is not merged
  bool add_bos;        // unless the file says otherwise
};

constexpr std::string_view kByteLevel =
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";
constexpr std::string_view kSmolLm =
    R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]})";
constexpr std::string_view kQwen2 =
    R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":)"
    R"("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|)"
    R"( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},)"
    R"("behavior":"Isolated","invert":false},)"
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,"use_regex":false}]})";
constexpr std::string_view kLlama3 =
    R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":)"
    R"("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|)"
    R"( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},)"
    R"("behavior":"Isolated","invert":false},)"
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})";

constexpr std::string_view kTekken =
    R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":)"
    R"("[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|)"
    R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|)"
    R"(\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},)"
    R"("behavior":"Isolated","invert":false},)"
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})";
constexpr std::string_view kGpt4o =
    R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":)"
    R"("[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},)"
    R"("behavior":"Isolated","invert":false},)"
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})";

constexpr std::array<PreTokenizer, 13> kPreTokenizers{{
    {"default", "null", kByteLevel, false, false},
    {"gpt-2", "null", kByteLevel, false, false},
    {"phi-2", "null", kByteLevel, false, false},
    {"smollm", "null", kSmolLm, false, false},
    {"qwen2", R"({"type":"NFC"})", kQwen2, false, false},
    {"deepseek-r1-qwen", R"({"type":"NFC"})", kQwen2, false, false},
    {"llama-bpe", "null", kLlama3, true, true},
    {"llama3", "null", kLlama3, true, true},
    {"llama-v3", "null", kLlama3, true, true},
    {"smaug-bpe", "null", kLlama3, false, false},
    {"dbrx", "null", kLlama3, false, false},   // Phi-4
    {"gpt-4o", "null", kGpt4o, false, false},  // Phi-4 mini
    {"tekken", "null", kTekken, true, true},   // Mistral Nemo
}};

// Tokens that end a turn of a chat, where the file names none.
constexpr std::array<std::string_view, 4> kEndsOfTurn{"<|eot_id|>", "<|im_end|>", "<|end|>",
                                                      "<end_of_turn>"};

// A JSON string. Pre: `text` is valid UTF-8.
std::string Quoted(std::string_view text) { return Json(text).dump(); }

Result<Vocabulary> ReadVocabulary(const GgufFile& file, uint64_t vocab_size) {
  Vocabulary vocabulary;
  ECQ_TRY(vocabulary.tokens, file.GetStrings("tokenizer.ggml.tokens"));
  ECQ_TRY(vocabulary.types, file.GetInts("tokenizer.ggml.token_type"));
  if (vocabulary.tokens.empty() || vocabulary.tokens.size() > vocab_size) {
    return file.Fail(ErrorCode::kBadHeader,
                     fmt::format("tokenizer.ggml.tokens: expected 1 to {} tokens (the rows of "
                                 "token_embd.weight), got {}",
                                 vocab_size, vocabulary.tokens.size()));
  }
  if (vocabulary.types.empty()) vocabulary.types.assign(vocabulary.tokens.size(), kPieceNormal);
  if (vocabulary.types.size() != vocabulary.tokens.size()) {
    return file.Fail(ErrorCode::kBadHeader,
                     fmt::format("tokenizer.ggml.token_type has {} entries for {} tokens",
                                 vocabulary.types.size(), vocabulary.tokens.size()));
  }
  for (size_t i = 0; i < vocabulary.types.size(); ++i) {
    if (vocabulary.types[i] < kPieceNormal || vocabulary.types[i] > kPieceByte) {
      return file.Fail(ErrorCode::kBadHeader,
                       fmt::format("tokenizer.ggml.token_type: token {} has unknown type {}", i,
                                   vocabulary.types[i]));
    }
  }
  return vocabulary;
}

// The token id under `key`, if the file has it.
Result<std::optional<uint64_t>> TokenId(const GgufFile& file, std::string_view key,
                                        const Vocabulary& vocabulary) {
  ECQ_TRY(const auto id, file.GetUnsigned(key));
  if (id && *id >= vocabulary.tokens.size()) {
    return file.Fail(ErrorCode::kBadHeader, fmt::format("{}: {} is not below the vocabulary's {}",
                                                        key, *id, vocabulary.tokens.size()));
  }
  return id;
}

Status CheckBpe(const GgufFile& file, const Vocabulary& vocabulary,
                const std::vector<std::string_view>& merges) {
  std::unordered_set<std::string_view> seen;
  for (const std::string_view token : vocabulary.tokens) {
    if (!seen.insert(token).second) {
      return file.Fail(ErrorCode::kBadHeader,
                       fmt::format("tokenizer.ggml.tokens: {} occurs twice", Quoted(token)));
    }
  }
  for (const std::string_view merge : merges) {
    const size_t space = merge.find(' ');
    if (space == 0 || space == std::string_view::npos || space + 1 == merge.size() ||
        merge.find(' ', space + 1) != std::string_view::npos) {
      return file.Fail(
          ErrorCode::kBadHeader,
          fmt::format("tokenizer.ggml.merges: expected two tokens, got {}", Quoted(merge)));
    }
  }
  return OkStatus();
}

std::string AddedTokens(const Vocabulary& vocabulary) {
  std::string json;
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    if (vocabulary.types[i] != kPieceControl && vocabulary.types[i] != kPieceUserDefined) continue;
    // An empty token would match everywhere.
    if (vocabulary.tokens[i].empty()) continue;
    json +=
        fmt::format(R"({}{{"id":{},"content":{},"single_word":false,"lstrip":false,"rstrip":false,)"
                    R"("normalized":false,"special":{}}})",
                    json.empty() ? "" : ",", i, Quoted(vocabulary.tokens[i]),
                    vocabulary.types[i] == kPieceControl);
  }
  return json;
}

// The vocabulary is written in id order, which is why this is not one JSON object in memory.
Result<SideFile> TokenizerJson(const GgufFile& file, const PreTokenizer& pre,
                               const Vocabulary& vocabulary) {
  ECQ_TRY(const auto merges, file.GetStrings("tokenizer.ggml.merges"));
  ECQ_RETURN_IF_ERROR(CheckBpe(file, vocabulary, merges));
  std::string json = fmt::format(
      R"({{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{}],)"
      R"("normalizer":{},"pre_tokenizer":{},"post_processor":null,"decoder":)"
      R"({{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}},)"
      R"("model":{{"type":"BPE","dropout":null,"unk_token":null,)"
      R"("continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,)"
      R"("byte_fallback":false,"ignore_merges":{},"vocab":{{)",
      AddedTokens(vocabulary), pre.normalizer, pre.pre_tokenizer, pre.ignore_merges);
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    json += fmt::format("{}{}:{}", i == 0 ? "" : ",", Quoted(vocabulary.tokens[i]), i);
  }
  json += "},\"merges\":[";
  for (size_t i = 0; i < merges.size(); ++i) {
    json += fmt::format("{}{}", i == 0 ? "" : ",", Quoted(merges[i]));
  }
  return SideFile{"tokenizer.json", json + "]}}"};
}

Result<SideFile> SentencePieceFile(const GgufFile& file, const Vocabulary& vocabulary,
                                   bool add_bos) {
  VocabularyPieces model;
  model.add_bos = add_bos;
  ECQ_TRY(const auto add_space_prefix, file.GetBool("tokenizer.ggml.add_space_prefix"));
  ECQ_TRY(const auto bos, TokenId(file, "tokenizer.ggml.bos_token_id", vocabulary));
  ECQ_TRY(auto eos, GgufEndTokens(file));
  ECQ_TRY(const auto unk, TokenId(file, "tokenizer.ggml.unknown_token_id", vocabulary));
  ECQ_TRY(const auto scores, file.GetFloats("tokenizer.ggml.scores"));
  model.add_space_prefix = add_space_prefix.value_or(true);
  model.bos_id = bos.value_or(model.bos_id);
  model.unk_id = unk.value_or(model.unk_id);
  if (!eos.empty()) model.eos_ids = std::move(eos);
  if (scores.size() != vocabulary.tokens.size()) {
    return file.Fail(ErrorCode::kBadHeader,
                     fmt::format("tokenizer.ggml.scores has {} entries for {} tokens",
                                 scores.size(), vocabulary.tokens.size()));
  }
  model.pieces.reserve(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i])) {
      return file.Fail(ErrorCode::kBadHeader,
                       fmt::format("tokenizer.ggml.scores: score {} is not finite", i));
    }
    model.pieces.push_back({std::string(vocabulary.tokens[i]), scores[i], vocabulary.types[i]});
  }
  return SentencePieceJson(model);
}

Result<SideFile> TokenizerConfig(const GgufFile& file, const Vocabulary& vocabulary, bool add_bos) {
  Json json = {{"add_bos_token", add_bos}};
  constexpr std::array<std::array<std::string_view, 2>, 4> kSpecial{{
      {"bos_token", "tokenizer.ggml.bos_token_id"},
      {"eos_token", "tokenizer.ggml.eos_token_id"},
      {"unk_token", "tokenizer.ggml.unknown_token_id"},
      {"pad_token", "tokenizer.ggml.padding_token_id"},
  }};
  for (const auto& [name, key] : kSpecial) {
    ECQ_TRY(const auto id, TokenId(file, key, vocabulary));
    if (id) json[std::string(name)] = vocabulary.tokens[*id];
  }
  ECQ_TRY(const auto chat_template, file.GetString("tokenizer.chat_template"));
  if (chat_template) json["chat_template"] = *chat_template;
  return SideFile{"tokenizer_config.json", json.dump(2)};
}

// The row of kPreTokenizers that tokenizer.ggml.pre names.
Result<const PreTokenizer*> FindPreTokenizer(const GgufFile& file) {
  ECQ_TRY(const auto key, file.GetString("tokenizer.ggml.pre"));
  const std::string_view name = key.value_or("default");
  std::string known;
  for (const PreTokenizer& pre : kPreTokenizers) {
    if (pre.name == name) return &pre;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", pre.name);
  }
  return file.Fail(ErrorCode::kUnsupportedTokenizer,
                   fmt::format("tokenizer.ggml.pre is {}; ECQ reads {}", Quoted(name), known));
}

}  // namespace

Result<std::vector<uint64_t>> GgufEndTokens(const GgufFile& file) {
  constexpr std::string_view kEndOfTurn = "tokenizer.ggml.eot_token_id";
  ECQ_TRY(const auto tokens, file.GetStrings("tokenizer.ggml.tokens"));
  ECQ_TRY(const auto types, file.GetInts("tokenizer.ggml.token_type"));
  std::vector<uint64_t> ids;
  const auto add = [&](uint64_t id) {
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  };
  for (const std::string_view key : {std::string_view("tokenizer.ggml.eos_token_id"), kEndOfTurn}) {
    ECQ_TRY(const auto id, file.GetUnsigned(key));
    if (!id) continue;
    if (*id >= tokens.size()) {
      return file.Fail(ErrorCode::kBadHeader, fmt::format("{}: {} is not below the vocabulary's {}",
                                                          key, *id, tokens.size()));
    }
    add(*id);
  }
  if (file.Has(kEndOfTurn)) return ids;
  for (size_t i = 0; i < std::min(tokens.size(), types.size()); ++i) {
    const bool ends_turn =
        std::find(kEndsOfTurn.begin(), kEndsOfTurn.end(), tokens[i]) != kEndsOfTurn.end();
    if (types[i] == kPieceControl && ends_turn) add(i);
  }
  return ids;
}

Result<std::vector<SideFile>> GgufTokenizerFiles(const GgufFile& file, uint64_t vocab_size) {
  ECQ_TRY(const auto model, file.GetString("tokenizer.ggml.model"));
  const bool is_bpe = model == "gpt2";
  if (!is_bpe && model != "llama") {
    return file.Fail(ErrorCode::kUnsupportedTokenizer,
                     fmt::format("tokenizer.ggml.model is {}; ECQ reads gpt2, llama",
                                 model ? Quoted(*model) : "missing"));
  }
  ECQ_TRY(const Vocabulary vocabulary, ReadVocabulary(file, vocab_size));
  ECQ_TRY(const auto add_bos_key, file.GetBool("tokenizer.ggml.add_bos_token"));
  if (!is_bpe) {
    const bool add_bos = add_bos_key.value_or(true);
    ECQ_TRY(SideFile pieces, SentencePieceFile(file, vocabulary, add_bos));
    ECQ_TRY(SideFile config, TokenizerConfig(file, vocabulary, add_bos));
    return std::vector<SideFile>{std::move(pieces), std::move(config)};
  }
  ECQ_TRY(const PreTokenizer* pre, FindPreTokenizer(file));
  ECQ_TRY(SideFile tokenizer, TokenizerJson(file, *pre, vocabulary));
  ECQ_TRY(SideFile config, TokenizerConfig(file, vocabulary, add_bos_key.value_or(pre->add_bos)));
  return std::vector<SideFile>{std::move(tokenizer), std::move(config)};
}

}  // namespace ecq

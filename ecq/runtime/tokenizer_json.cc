// Readers of tokenizer.json, sentencepiece.json and the config files: every field is checked here.
#include "ecq/runtime/tokenizer_json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ecq/runtime/tokenizer_quote.h"
#include "ecq/runtime/unicode_text.h"

namespace ecq {
namespace {

using nlohmann::json;

constexpr std::string_view kTokenizerFile = "tokenizer.json";
constexpr std::string_view kSentencePieceFile = "sentencepiece.json";
constexpr int kMaxSequenceDepth = 8;

constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

Error BadField(std::string_view file, std::string_view field, std::string_view expected) {
  return Error{ErrorCode::kBadHeader, std::string(file) + ": " + std::string(field) +
                                          " is missing or malformed; expected " +
                                          std::string(expected)};
}

Error BadTable(std::string_view file, std::string what) {
  return Error{ErrorCode::kBadTable, std::string(file) + ": " + std::move(what)};
}

Error Unsupported(std::string_view what, std::string_view got, std::string_view known) {
  return Error{ErrorCode::kUnsupportedTokenizer,
               std::string(kTokenizerFile) + ": " + std::string(what) + " " + Quote(got) +
                   " is not supported; known: " + std::string(known)};
}

Result<json> ParseObject(std::string_view file, std::string_view contents) {
  json root = json::parse(contents, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return BadField(file, "text", "a JSON object");
  return root;
}

// The member of an object, or nullptr if it is absent or null.
const json* Member(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

Result<bool> BoolOr(std::string_view file, const json& object, const char* name, bool fallback) {
  const json* value = Member(object, name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) return BadField(file, name, "true or false");
  return value->get<bool>();
}

// Nothing if absent.
Result<std::optional<std::string>> Text(std::string_view file, const json& object,
                                        const char* name) {
  const json* value = Member(object, name);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return BadField(file, name, "a string");
  return std::optional<std::string>(value->get<std::string>());
}

Result<std::string> TypeOf(std::string_view field, const json& component) {
  ECQ_TRY(std::optional<std::string> type, Text(kTokenizerFile, component, "type"));
  if (!type) return BadField(kTokenizerFile, field, "an object with a type");
  return *std::move(type);
}

Result<uint32_t> IdBelow(std::string_view file, std::string_view field, const json& value,
                         size_t limit) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() >= limit) {
    return BadTable(file, std::string(field) + " is out of range; expected an id from 0 to " +
                              std::to_string(limit - 1));
  }
  return static_cast<uint32_t>(value.get<uint64_t>());
}

// One id or a list of them; empty if absent.
Result<std::vector<uint32_t>> IdsBelow(std::string_view file, const json& object, const char* name,
                                       size_t limit) {
  std::vector<uint32_t> ids;
  const json* value = Member(object, name);
  if (value == nullptr) return ids;
  if (!value->is_array()) {
    ECQ_TRY(ids.emplace_back(), IdBelow(file, name, *value, limit));
    return ids;
  }
  for (const json& element : *value) {
    ECQ_TRY(ids.emplace_back(), IdBelow(file, name, element, limit));
  }
  return ids;
}

Result<std::optional<uint32_t>> IdBelowOrNone(std::string_view file, const json& object,
                                              const char* name, size_t limit) {
  ECQ_TRY(const std::vector<uint32_t> ids, IdsBelow(file, object, name, limit));
  if (ids.size() > 1) return BadField(file, name, "one id");
  return ids.empty() ? std::nullopt : std::optional<uint32_t>(ids[0]);
}

std::vector<uint32_t> SortedUnique(std::vector<uint32_t> ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// The model, its vocabulary and merges, and the added tokens.
class VocabularyReader {
 public:
  explicit VocabularyReader(ByteLevelBpeSpec& spec) : spec_(spec) {}

  Status Read(const json& root) {
    const json* model = Member(root, "model");
    if (model == nullptr) return BadField(kTokenizerFile, "model", "an object");
    ECQ_RETURN_IF_ERROR(ReadOptions(*model));
    ECQ_RETURN_IF_ERROR(ReadTokens(*model));
    ECQ_RETURN_IF_ERROR(ReadMerges(*model));
    ECQ_TRY(const std::optional<std::string> unknown, Text(kTokenizerFile, *model, "unk_token"));
    if (unknown) {
      const auto it = ids_.find(*unknown);
      if (it == ids_.end()) return BadTable(kTokenizerFile, "unk_token is not in the vocabulary");
      spec_.unknown_id = it->second;
    }
    if (const json* added = Member(root, "added_tokens")) {
      if (!added->is_array()) return BadField(kTokenizerFile, "added_tokens", "a list");
      for (const json& token : *added) ECQ_RETURN_IF_ERROR(ReadAddedToken(token));
    }
    spec_.tokens = TokenTable(tokens_);
    return OkStatus();
  }

 private:
  Status ReadOptions(const json& model) {
    // Files older than the field hold a model with merges, which only BPE has.
    ECQ_TRY(const std::optional<std::string> type, Text(kTokenizerFile, model, "type"));
    if (type.value_or("BPE") != "BPE") return Unsupported("model type", *type, "BPE");
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      ECQ_TRY(const std::optional<std::string> affix, Text(kTokenizerFile, model, name));
      if (!affix.value_or("").empty()) return Unsupported(name, *affix, "null, \"\"");
    }
    ECQ_TRY(const bool byte_fallback, BoolOr(kTokenizerFile, model, "byte_fallback", false));
    if (byte_fallback) return Unsupported("byte_fallback", "true", "false (byte-level BPE)");
    const json* dropout = Member(model, "dropout");
    if (dropout != nullptr && *dropout != 0) {
      return Unsupported("dropout", dropout->type_name(), "null, 0");
    }
    ECQ_TRY(spec_.ignore_merges, BoolOr(kTokenizerFile, model, "ignore_merges", false));
    ECQ_TRY(spec_.fuse_unknown, BoolOr(kTokenizerFile, model, "fuse_unk", false));
    return OkStatus();
  }

  Status ReadTokens(const json& model) {
    const json* vocab = Member(model, "vocab");
    if (vocab == nullptr || !vocab->is_object() || vocab->empty()) {
      return BadField(kTokenizerFile, "model.vocab", "an object of token: id");
    }
    spec_.byte_ids.fill(kNoToken);
    const auto& entries = vocab->get_ref<const json::object_t&>();
    ids_.reserve(entries.size());
    for (const auto& [token, value] : entries) {
      ECQ_TRY(const uint32_t id, IdBelow(kTokenizerFile, "model.vocab: id of " + Quote(token),
                                         value, kMaxVocabularySize));
      if (id < taken_.size() && taken_[id]) {
        return BadTable(kTokenizerFile, "model.vocab: id " + std::to_string(id) + " of " +
                                            Quote(token) + " belongs to another token too");
      }
      ids_.emplace(token, id);
      std::optional<std::string> bytes = BytesOfToken(token);
      Place(id, bytes ? Keep(*bytes) : std::string_view(token));
      if (!bytes) continue;
      spec_.word_ids.push_back(id);
      if (bytes->size() == 1) spec_.byte_ids[static_cast<uint8_t>((*bytes)[0])] = id;
    }
    return OkStatus();
  }

  Status ReadMerges(const json& model) {
    const json* merges = Member(model, "merges");
    if (merges == nullptr || !merges->is_array() || merges->size() >= kNoToken) {
      return BadField(kTokenizerFile, "model.merges", "a list of pairs");
    }
    spec_.merges.reserve(merges->size());
    std::string joined;
    for (const json& merge : *merges) {
      const uint32_t rank = static_cast<uint32_t>(spec_.merges.size());
      const std::string at = "model.merges[" + std::to_string(rank) + "]";
      ECQ_TRY(const auto pair, SplitMerge(merge, at));
      joined.assign(pair.first).append(pair.second);
      const auto left = ids_.find(pair.first);
      const auto right = ids_.find(pair.second);
      const auto merged = ids_.find(joined);
      if (left == ids_.end() || right == ids_.end() || merged == ids_.end()) {
        return BadTable(kTokenizerFile, at + " joins " + Quote(pair.first) + " and " +
                                            Quote(pair.second) +
                                            "; expected both and the result in the vocabulary");
      }
      spec_.merges.push_back({left->second, right->second, rank, merged->second});
    }
    SortMerges();
    return OkStatus();
  }

  static Result<std::pair<std::string_view, std::string_view>> SplitMerge(const json& merge,
                                                                          const std::string& at) {
    if (merge.is_string()) {
      const std::string_view text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos) {
        return std::pair(text.substr(0, space), text.substr(space + 1));
      }
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      return std::pair(std::string_view(merge[0].get_ref<const std::string&>()),
                       std::string_view(merge[1].get_ref<const std::string&>()));
    }
    return BadField(kTokenizerFile, at, "\"left right\" or [\"left\", \"right\"]");
  }

  // By pair, and of a repeated pair only the last, as Hugging Face tokenizers does.
  void SortMerges() {
    std::vector<BpeMerge>& merges = spec_.merges;
    std::sort(merges.begin(), merges.end(), [](const BpeMerge& a, const BpeMerge& b) {
      return std::tuple(a.left, a.right, b.rank) < std::tuple(b.left, b.right, a.rank);
    });
    const auto same_pair = [](const BpeMerge& a, const BpeMerge& b) {
      return a.left == b.left && a.right == b.right;
    };
    merges.erase(std::unique(merges.begin(), merges.end(), same_pair), merges.end());
  }

  Status ReadAddedToken(const json& token) {
    ECQ_TRY(std::optional<std::string> text, Text(kTokenizerFile, token, "content"));
    const json* id_field = Member(token, "id");
    if (!text || id_field == nullptr) {
      return BadField(kTokenizerFile, "added_tokens entry", "an object with id and content");
    }
    if (text->empty()) return OkStatus();
    if (text->size() > kMaxAddedTokenBytes) {
      return BadTable(kTokenizerFile, "added token " + Quote(*text) + " is longer than " +
                                          std::to_string(kMaxAddedTokenBytes) + " bytes");
    }
    ECQ_TRY(const bool single_word, BoolOr(kTokenizerFile, token, "single_word", false));
    if (single_word) return Unsupported("single_word added token", *text, "lstrip, rstrip");
    AddedToken added;
    ECQ_TRY(added.id, IdBelow(kTokenizerFile, "id of added token " + Quote(*text), *id_field,
                              kMaxVocabularySize));
    ECQ_TRY(added.special, BoolOr(kTokenizerFile, token, "special", false));
    ECQ_TRY(added.lstrip, BoolOr(kTokenizerFile, token, "lstrip", false));
    ECQ_TRY(added.rstrip, BoolOr(kTokenizerFile, token, "rstrip", false));
    ECQ_TRY(added.normalized, BoolOr(kTokenizerFile, token, "normalized", !added.special));

    const auto known = ids_.find(*text);
    const bool id_taken = added.id < taken_.size() && taken_[added.id];
    if (known == ids_.end() ? id_taken : known->second != added.id) {
      return BadTable(kTokenizerFile, "added token " + Quote(*text) + " has id " +
                                          std::to_string(added.id) +
                                          ", which contradicts another token");
    }
    const std::string_view kept = Keep(*text);
    ids_.emplace(kept, added.id);
    Place(added.id, kept);
    added.text = *std::move(text);
    spec_.added_tokens.push_back(std::move(added));
    return OkStatus();
  }

  std::string_view Keep(std::string bytes) { return kept_.emplace_back(std::move(bytes)); }

  void Place(uint32_t id, std::string_view bytes) {
    if (id >= tokens_.size()) {
      tokens_.resize(id + size_t{1});
      taken_.resize(id + size_t{1});
    }
    tokens_[id] = bytes;
    taken_[id] = true;
  }

  ByteLevelBpeSpec& spec_;
  std::unordered_map<std::string_view, uint32_t> ids_;  // by spelling; views into the JSON or kept_
  std::vector<std::string_view> tokens_;                // bytes by id; views as in ids_
  std::vector<bool> taken_;
  std::deque<std::string> kept_;
};

// Normalizer, pre-tokenizer, post-processor and decoder.
class PipelineReader {
 public:
  explicit PipelineReader(ByteLevelBpeSpec& spec) : spec_(spec) {}

  Status Read(const json& root) {
    if (const json* normalizer = Member(root, "normalizer")) {
      ECQ_RETURN_IF_ERROR(ReadNormalizer(*normalizer, 0));
    }
    if (const json* pre_tokenizer = Member(root, "pre_tokenizer")) {
      ECQ_RETURN_IF_ERROR(ReadPreTokenizer(*pre_tokenizer, 0));
    }
    if (!byte_level_) return Unsupported("pre_tokenizer without", "ByteLevel", kPreTokenizers);
    if (const json* post_processor = Member(root, "post_processor")) {
      ECQ_RETURN_IF_ERROR(ReadPostProcessor(*post_processor, 0));
    }
    if (const json* decoder = Member(root, "decoder")) {
      ECQ_TRY(const std::string type, TypeOf("decoder", *decoder));
      if (type != "ByteLevel") return Unsupported("decoder type", type, "ByteLevel");
    }
    return OkStatus();
  }

 private:
  static constexpr std::string_view kPreTokenizers =
      "ByteLevel (once, the last), Digits, Sequence, Split";

  // Calls read(element) for each element of the list `name` of a Sequence.
  template <typename ReadElement>
  static Status ForEachInSequence(const json& sequence, const char* name, int depth,
                                  const ReadElement& read) {
    const json* list = Member(sequence, name);
    if (list == nullptr || !list->is_array() || depth >= kMaxSequenceDepth) {
      return BadField(kTokenizerFile, name, "a list, nested at most 8 deep");
    }
    for (const json& element : *list) ECQ_RETURN_IF_ERROR(read(element));
    return OkStatus();
  }

  Status ReadNormalizer(const json& normalizer, int depth) {
    ECQ_TRY(const std::string type, TypeOf("normalizer", normalizer));
    if (type == "Sequence") {
      return ForEachInSequence(normalizer, "normalizers", depth, [&](const json& element) {
        return ReadNormalizer(element, depth + 1);
      });
    }
    if (type != "NFC") return Unsupported("normalizer type", type, "NFC, Sequence");
    spec_.normalize_nfc = true;
    return OkStatus();
  }

  Status ReadPreTokenizer(const json& step, int depth) {
    ECQ_TRY(const std::string type, TypeOf("pre_tokenizer", step));
    if (type == "Sequence") {
      return ForEachInSequence(step, "pretokenizers", depth, [&](const json& element) {
        return ReadPreTokenizer(element, depth + 1);
      });
    }
    // What follows ByteLevel would see its spelling of bytes instead of text.
    if (byte_level_) return Unsupported("after ByteLevel, pre_tokenizer type", type, "none");
    if (spec_.steps.size() >= kMaxSteps)
      return BadField(kTokenizerFile, "pre_tokenizer", "few steps");
    if (type == "ByteLevel") return ReadByteLevel(step);
    if (type == "Digits") return ReadDigits(step);
    if (type == "Split") return ReadSplit(step);
    return Unsupported("pre_tokenizer type", type, kPreTokenizers);
  }

  Status ReadByteLevel(const json& step) {
    ECQ_TRY(const bool prefix_space, BoolOr(kTokenizerFile, step, "add_prefix_space", true));
    ECQ_TRY(const bool use_regex, BoolOr(kTokenizerFile, step, "use_regex", true));
    byte_level_ = true;
    if (prefix_space) spec_.steps.emplace_back(PrefixSpaceStep{});
    if (!use_regex) return OkStatus();
    ECQ_TRY(SplitPattern pattern, SplitPattern::FromRegex(kGpt2Regex));
    spec_.steps.emplace_back(SplitStep{std::move(pattern)});
    return OkStatus();
  }

  Status ReadDigits(const json& step) {
    ECQ_TRY(const bool individual, BoolOr(kTokenizerFile, step, "individual_digits", false));
    ECQ_TRY(SplitPattern pattern, SplitPattern::FromRegex(individual ? "\\p{N}" : "\\p{N}+"));
    spec_.steps.emplace_back(SplitStep{std::move(pattern)});
    return OkStatus();
  }

  Status ReadSplit(const json& step) {
    ECQ_TRY(const bool invert, BoolOr(kTokenizerFile, step, "invert", false));
    ECQ_TRY(const std::optional<std::string> behavior, Text(kTokenizerFile, step, "behavior"));
    if (behavior != "Isolated" && behavior != "Removed") {
      return Unsupported("Split behavior", behavior.value_or(""), "Isolated, Removed");
    }
    const json* pattern = Member(step, "pattern");
    if (pattern == nullptr) return BadField(kTokenizerFile, "Split pattern", "Regex or String");
    ECQ_TRY(const std::optional<std::string> regex, Text(kTokenizerFile, *pattern, "Regex"));
    ECQ_TRY(const std::optional<std::string> literal, Text(kTokenizerFile, *pattern, "String"));
    if (!regex && !literal) return BadField(kTokenizerFile, "Split pattern", "Regex or String");
    ECQ_TRY(SplitPattern compiled,
            regex ? SplitPattern::FromRegex(*regex) : SplitPattern::FromLiteral(*literal));
    const bool removed = behavior == "Removed";
    spec_.steps.emplace_back(SplitStep{.pattern = std::move(compiled),
                                       .keep_matches = !removed || invert,
                                       .keep_gaps = !removed || !invert});
    return OkStatus();
  }

  Status ReadPostProcessor(const json& processor, int depth) {
    ECQ_TRY(const std::string type, TypeOf("post_processor", processor));
    if (type == "Sequence") {
      return ForEachInSequence(processor, "processors", depth, [&](const json& element) {
        return ReadPostProcessor(element, depth + 1);
      });
    }
    if (type == "ByteLevel") return OkStatus();  // only moves offsets
    if (type != "TemplateProcessing") {
      return Unsupported("post_processor type", type, "ByteLevel, Sequence, TemplateProcessing");
    }
    const json* single = Member(processor, "single");
    if (single == nullptr || !single->is_array() || single->empty()) {
      return BadField(kTokenizerFile, "post_processor.single", "a list");
    }
    if (const json* first = Member((*single)[0], "SpecialToken")) {
      ECQ_TRY(spec_.template_bos, Text(kTokenizerFile, *first, "id"));
    }
    return OkStatus();
  }

  static constexpr size_t kMaxSteps = 32;

  ByteLevelBpeSpec& spec_;
  bool byte_level_ = false;
};

Result<uint32_t> IdOfToken(std::string_view file, const ByteLevelBpeSpec& spec,
                           const std::string& text) {
  for (const AddedToken& token : spec.added_tokens) {
    if (token.text == text) return token.id;
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!text.empty() && spec.tokens[id] == text) return static_cast<uint32_t>(id);
  }
  return BadTable(file, "special token " + Quote(text) + " is not in the vocabulary");
}

// Id of a special token given as text or as {"content": text}; nothing if absent.
Result<std::optional<uint32_t>> NamedToken(const json& config, const char* name,
                                           const ByteLevelBpeSpec& spec) {
  constexpr std::string_view kFile = "tokenizer_config.json";
  const json* value = Member(config, name);
  if (value == nullptr) return std::optional<uint32_t>();
  ECQ_TRY(const std::optional<std::string> text,
          value->is_object() ? Text(kFile, *value, "content") : Text(kFile, config, name));
  if (!text) return BadField(kFile, name, "a string or an object with content");
  ECQ_TRY(const uint32_t id, IdOfToken(kFile, spec, *text));
  return std::optional<uint32_t>(id);
}

// The object in the file `name`, or an empty one if there is no such file.
Result<json> OptionalObject(std::span<const NamedFile> files, std::string_view name) {
  for (const NamedFile& file : files) {
    if (file.name == name) return ParseObject(name, file.contents);
  }
  return json::object();
}

Result<SentencePiece> ReadPiece(const json& entry, size_t id) {
  const std::string at = "pieces[" + std::to_string(id) + "]";
  if (!entry.is_array() || entry.size() != 3 || !entry[0].is_string() || !entry[1].is_number() ||
      !entry[2].is_number_unsigned()) {
    return BadField(kSentencePieceFile, at, "[text, score, type]");
  }
  const uint64_t type = entry[2].get<uint64_t>();
  const float score = entry[1].get<float>();
  if (type < 1 || type > 6) return BadField(kSentencePieceFile, at, "a type from 1 to 6");
  if (!std::isfinite(score)) return BadField(kSentencePieceFile, at, "a score that fits a float");

  SentencePiece piece{.text = {}, .score = score, .type = static_cast<PieceType>(type)};
  const std::string& text = entry[0].get_ref<const std::string&>();
  if (piece.type == PieceType::kByte) {
    const std::string_view digits = "0123456789ABCDEF";
    const bool formed = text.size() == 6 && text.starts_with("<0x") && text[5] == '>';
    const size_t high = formed ? digits.find(text[3]) : std::string_view::npos;
    const size_t low = formed ? digits.find(text[4]) : std::string_view::npos;
    if (high == std::string_view::npos || low == std::string_view::npos) {
      return BadField(kSentencePieceFile, at, "a byte from <0x00> to <0xFF>");
    }
    piece.text = static_cast<char>(high * 16 + low);
    return piece;
  }
  constexpr std::string_view kSpaceMark = "\xe2\x96\x81";
  for (size_t i = 0; i < text.size();) {
    const bool mark = std::string_view(text).substr(i).starts_with(kSpaceMark);
    piece.text += mark ? ' ' : text[i];
    i += mark ? kSpaceMark.size() : 1;
  }
  const bool matched = piece.type != PieceType::kNormal && piece.type != PieceType::kUnused;
  if (matched && piece.text.size() > kMaxAddedTokenBytes) {
    return BadField(kSentencePieceFile, at, "a special text of at most 1024 bytes");
  }
  return piece;
}

}  // namespace

Result<ByteLevelBpeSpec> ParseTokenizerJson(std::string_view contents) {
  ECQ_TRY(const json root, ParseObject(kTokenizerFile, contents));
  ByteLevelBpeSpec spec;
  ECQ_RETURN_IF_ERROR(VocabularyReader(spec).Read(root));
  ECQ_RETURN_IF_ERROR(PipelineReader(spec).Read(root));
  return spec;
}

Result<SpecialIds> ParseSpecialIds(std::span<const NamedFile> files, const ByteLevelBpeSpec& spec) {
  ECQ_TRY(const json tokenizer_config, OptionalObject(files, "tokenizer_config.json"));
  SpecialIds ids;
  ECQ_TRY(ids.bos, NamedToken(tokenizer_config, "bos_token", spec));
  ECQ_TRY(const std::optional<uint32_t> eos, NamedToken(tokenizer_config, "eos_token", spec));
  if (eos) ids.eos.push_back(*eos);

  bool eos_listed = false;
  for (const char* name : {"generation_config.json", "config.json"}) {
    ECQ_TRY(const json config, OptionalObject(files, name));
    const size_t limit = spec.tokens.size();
    if (!ids.bos) {
      ECQ_TRY(ids.bos, IdBelowOrNone(name, config, "bos_token_id", limit));
    }
    if (!eos_listed) {
      ECQ_TRY(const std::vector<uint32_t> listed, IdsBelow(name, config, "eos_token_id", limit));
      ids.eos.insert(ids.eos.end(), listed.begin(), listed.end());
      eos_listed = !listed.empty();
    }
  }
  ids.eos = SortedUnique(std::move(ids.eos));
  if (!ids.bos && spec.template_bos) {
    ECQ_TRY(ids.bos, IdOfToken(kTokenizerFile, spec, *spec.template_bos));
  }
  ECQ_TRY(ids.add_bos, BoolOr("tokenizer_config.json", tokenizer_config, "add_bos_token",
                              spec.template_bos.has_value()));
  if (ids.add_bos && !ids.bos) {
    return BadField("tokenizer_config.json", "bos_token", "a token, since add_bos_token is true");
  }
  return ids;
}

Result<SentencePieceSpec> ParseSentencePieceJson(std::string_view contents) {
  ECQ_TRY(const json root, ParseObject(kSentencePieceFile, contents));
  ECQ_TRY(const std::optional<std::string> type, Text(kSentencePieceFile, root, "type"));
  if (type != "sentencepiece-bpe") {
    return Error{ErrorCode::kUnsupportedTokenizer,
                 "sentencepiece.json: type " + Quote(type.value_or("")) +
                     " is not supported; known: sentencepiece-bpe"};
  }
  const json* pieces = Member(root, "pieces");
  if (pieces == nullptr || !pieces->is_array() || pieces->empty() ||
      pieces->size() > kMaxVocabularySize) {
    return BadField(kSentencePieceFile, "pieces", "a list of 1 to 4194304 pieces");
  }
  SentencePieceSpec spec;
  spec.byte_ids.fill(kNoToken);
  spec.pieces.reserve(pieces->size());
  for (const json& entry : *pieces) {
    const uint32_t id = static_cast<uint32_t>(spec.pieces.size());
    ECQ_TRY(SentencePiece piece, ReadPiece(entry, id));
    if (piece.type == PieceType::kByte) spec.byte_ids[static_cast<uint8_t>(piece.text[0])] = id;
    spec.pieces.push_back(std::move(piece));
  }
  const size_t limit = spec.pieces.size();
  ECQ_TRY(spec.unknown_id, IdBelowOrNone(kSentencePieceFile, root, "unk_id", limit));
  ECQ_TRY(spec.special_ids.bos, IdBelowOrNone(kSentencePieceFile, root, "bos_id", limit));
  ECQ_TRY(spec.special_ids.eos, IdsBelow(kSentencePieceFile, root, "eos_id", limit));
  spec.special_ids.eos = SortedUnique(std::move(spec.special_ids.eos));
  ECQ_TRY(spec.special_ids.add_bos, BoolOr(kSentencePieceFile, root, "add_bos", false));
  ECQ_TRY(spec.add_space_prefix, BoolOr(kSentencePieceFile, root, "add_space_prefix", true));
  if (spec.special_ids.add_bos && !spec.special_ids.bos) {
    return BadField(kSentencePieceFile, "bos_id", "an id, since add_bos is true");
  }
  if (!spec.unknown_id && std::count(spec.byte_ids.begin(), spec.byte_ids.end(), kNoToken) > 0) {
    return BadTable(kSentencePieceFile,
                    "some byte has no piece; expected all 256 pieces of type 6, or an unk_id");
  }
  return spec;
}

}  // namespace ecq

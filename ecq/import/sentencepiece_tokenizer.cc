// Reads the subset of tokenizer.json that tokenizers converted from SentencePiece use.
#include "ecq/import/sentencepiece_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "ecq/import/sentencepiece_json.h"

namespace ecq {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSpaceMark = "\xe2\x96\x81";
constexpr size_t kMaxPieces = size_t{1} << 22;

// Whether something did not have the expected form; all steps below return it.
using Understood = bool;

// The member, or null.
const Json& Get(const Json& object, std::string_view name) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto it = object.find(name);
  return it == object.end() ? null : *it;
}

bool IsType(const Json& object, std::string_view type) { return Get(object, "type") == type; }

Json FileOf(const std::vector<SideFile>& files, std::string_view name) {
  for (const SideFile& file : files) {
    if (file.name == name) return Json::parse(file.contents, nullptr, /*allow_exceptions=*/false);
  }
  return Json();
}

// `list` under that name if `object` is a Sequence, else the object alone; nothing if it is null.
Json Steps(const Json& object, std::string_view list) {
  if (object.is_null()) return Json::array();
  if (IsType(object, "Sequence")) return Get(object, list);
  return Json::array({object});
}

class Reader {
 public:
  explicit Reader(const std::vector<SideFile>& files) : files_(files) {}

  std::optional<SideFile> Run() {
    const Json root = FileOf(files_, "tokenizer.json");
    const Json& model = Get(root, "model");
    if (!IsType(model, "BPE") || Get(model, "byte_fallback") != true) return std::nullopt;
    const bool understood = ReadVocabulary(model) && ReadMerges(Get(model, "merges")) &&
                            ReadAddedTokens(Get(root, "added_tokens")) && ReadSpaces(root) &&
                            ReadSpecialIds(Get(root, "post_processor"));
    return understood ? std::optional(SentencePieceJson(out_)) : std::nullopt;
  }

 private:
  Understood ReadVocabulary(const Json& model) {
    const Json& vocab = Get(model, "vocab");
    if (Get(model, "ignore_merges") == true || !vocab.is_object()) return false;
    for (const auto& [text, id] : vocab.items()) {
      if (!id.is_number_unsigned() || !Place(id.get<uint64_t>(), text, kPieceUnused)) return false;
    }
    int num_bytes = 0;
    for (VocabularyPiece& piece : out_.pieces) {
      const bool is_byte = piece.text.size() == 6 && piece.text.starts_with("<0x");
      if (is_byte) piece.type = kPieceByte;
      if (IsOneCharacter(piece.text)) piece.type = kPieceNormal;
      num_bytes += is_byte;
    }
    return num_bytes == 256;
  }

  // A piece has the score of the first merge that makes it; without a merge it cannot come up.
  Understood ReadMerges(const Json& merges) {
    if (!merges.is_array()) return false;
    float score = 0;
    for (const Json& merge : merges) {
      std::string text;
      if (merge.is_string()) {
        text = merge.get<std::string>();
        const size_t space = text.find(' ');
        if (space == std::string::npos) return false;
        text.erase(space, 1);
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                 merge[1].is_string()) {
        text = merge[0].get<std::string>() + merge[1].get<std::string>();
      } else {
        return false;
      }
      const auto id = ids_.find(text);
      if (id == ids_.end()) return false;
      VocabularyPiece& piece = out_.pieces[id->second];
      if (piece.type == kPieceUnused) {
        piece.type = kPieceNormal;
        piece.score = score;
      }
      score -= 1;
    }
    return true;
  }

  Understood ReadAddedTokens(const Json& tokens) {
    if (tokens.is_null()) return true;
    if (!tokens.is_array()) return false;
    for (const Json& token : tokens) {
      const Json& text = Get(token, "content");
      const Json& id = Get(token, "id");
      if (!text.is_string() || !id.is_number_unsigned()) return false;
      const bool is_special = Get(token, "special") == true;
      const auto& content = text.get_ref<const std::string&>();
      // Matched literally, where sentencepiece.json means spaces: such runs are merged instead.
      if (!is_special && content.find(kSpaceMark) != std::string::npos) continue;
      if (!Place(id.get<uint64_t>(), content, is_special ? kPieceControl : kPieceUserDefined)) {
        return false;
      }
    }
    return true;
  }

  // Spaces are written as U+2581, with one in front of a text or not.
  Understood ReadSpaces(const Json& root) {
    bool has_replacement = false;
    out_.add_space_prefix = false;
    const Json normalizers = Steps(Get(root, "normalizer"), "normalizers");
    const Json pre_tokenizers = Steps(Get(root, "pre_tokenizer"), "pretokenizers");
    if (!normalizers.is_array() || !pre_tokenizers.is_array()) return false;
    for (const Json& step : normalizers) {
      if (IsType(step, "Prepend") && Get(step, "prepend") == kSpaceMark) {
        out_.add_space_prefix = true;
      } else if (IsType(step, "Replace") && Get(Get(step, "pattern"), "String") == " " &&
                 Get(step, "content") == kSpaceMark) {
        has_replacement = true;
      } else {
        return false;
      }
    }
    for (const Json& step : pre_tokenizers) {
      if (IsType(step, "Metaspace") && Get(step, "replacement") == kSpaceMark &&
          Get(step, "split") == false) {
        has_replacement = true;
        out_.add_space_prefix = Get(step, "prepend_scheme") != "never";
      } else if (!IsType(step, "Split") || Get(Get(step, "pattern"), "String") != " " ||
                 !has_replacement) {
        return false;  // a split at spaces finds none once they are replaced
      }
    }
    return has_replacement;
  }

  Understood ReadSpecialIds(const Json& post_processor) {
    const Json config = FileOf(files_, "tokenizer_config.json");
    const Json& first = Get(post_processor, "single");
    const Json front = first.is_array() && !first.empty() ? Get(first[0], "SpecialToken") : Json();
    std::optional<uint64_t> bos = IdOf(Get(front, "id"));
    out_.add_bos = bos.has_value();
    if (!bos) bos = IdOf(Get(config, "bos_token"));
    const Json& add_bos = Get(config, "add_bos_token");
    if (add_bos.is_boolean()) out_.add_bos = add_bos == true;
    if (!bos && out_.add_bos) return false;
    out_.bos_id = bos.value_or(out_.bos_id);
    out_.unk_id = IdOf(Get(config, "unk_token")).value_or(out_.unk_id);

    std::vector<uint64_t> ends;
    if (const auto eos = IdOf(Get(config, "eos_token"))) ends.push_back(*eos);
    for (const char* name : {"generation_config.json", "config.json"}) {
      const Json object = FileOf(files_, name);
      const Json& ids = Get(object, "eos_token_id");
      for (const Json& id : ids.is_array() ? ids : Json::array({ids})) {
        if (id.is_number_unsigned()) ends.push_back(id.get<uint64_t>());
      }
    }
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    if (!ends.empty()) out_.eos_ids = std::move(ends);
    const auto is_known = [&](uint64_t id) { return id < out_.pieces.size(); };
    return is_known(out_.bos_id) && is_known(out_.unk_id) &&
           std::all_of(out_.eos_ids.begin(), out_.eos_ids.end(), is_known);
  }

  // The id of a token that is given as text or as {"content": text}.
  std::optional<uint64_t> IdOf(const Json& token) const {
    const Json& text = token.is_object() ? Get(token, "content") : token;
    if (!text.is_string()) return std::nullopt;
    const auto it = ids_.find(text.get_ref<const std::string&>());
    return it == ids_.end() ? std::nullopt : std::optional(it->second);
  }

  // Errors: false if the id is out of range or has another text.
  bool Place(uint64_t id, const std::string& text, VocabularyPieceType type) {
    if (id >= kMaxPieces) return false;
    if (id >= out_.pieces.size()) out_.pieces.resize(id + 1, {"", 0, kPieceUnused});
    VocabularyPiece& piece = out_.pieces[id];
    if (!piece.text.empty() && piece.text != text) return false;
    piece = {text, piece.score, type};
    return ids_.emplace(text, id).first->second == id;
  }

  static bool IsOneCharacter(const std::string& text) {
    return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }) == 1;
  }

  const std::vector<SideFile>& files_;
  VocabularyPieces out_;
  std::unordered_map<std::string, uint64_t> ids_;
};

}  // namespace

std::optional<SideFile> SentencePieceFromTokenizerJson(const std::vector<SideFile>& files) {
  return Reader(files).Run();
}

}  // namespace ecq

// Text to token ids and back: the interface, and the loader that picks an implementation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecq/base/result.h"

namespace ecq {

// What surrounds a text: the begin token, the tokens that end a generation, and whether the model
// was trained with the begin token in front.
struct SpecialIds {
  std::optional<uint32_t> bos;
  std::vector<uint32_t> eos;  // ascending, no repeats
  bool add_bos = false;       // true only if bos is set
};

// Immutable after loading: all members may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Ids of `text`, without a begin token. `parse_special`: the text of a special token becomes its
  // id instead of being spelled out; set it for prompt templates, not for text of others. Added
  // tokens that the file does not mark as special are part of the vocabulary and always match.
  // Each byte that is not part of well-formed UTF-8 becomes its byte token and separates the texts
  // on both sides, so that Decode(Encode(x)) keeps the bytes. `text` is at most 4 GiB.
  virtual std::vector<uint32_t> Encode(std::string_view text, bool parse_special) const = 0;

  // Raw bytes of one token: possibly a part of a UTF-8 sequence; for a special token its text;
  // empty for an id without a token. `is_first`: the token starts the text or follows the begin
  // token.
  virtual std::string DecodePiece(uint32_t id, bool is_first) const = 0;

  // One more than the largest id. The model's logits may be wider.
  virtual size_t vocab_size() const = 0;

  // The pieces of all ids, special tokens included.
  std::string Decode(std::span<const uint32_t> ids) const;

  std::optional<uint32_t> bos_id() const { return special_ids_.bos; }
  const std::vector<uint32_t>& eos_ids() const { return special_ids_.eos; }
  bool IsEos(uint32_t id) const;
  // Whether the model expects the begin token in front of a text.
  bool add_bos() const { return special_ids_.add_bos; }

 protected:
  explicit Tokenizer(SpecialIds special_ids) : special_ids_(std::move(special_ids)) {}

 private:
  SpecialIds special_ids_;
};

// A side file of a model by its base name, such as "tokenizer.json".
struct NamedFile {
  std::string_view name;
  std::string_view contents;
};

// Reads sentencepiece.json or, without one, tokenizer.json (byte-level BPE; the begin and end
// tokens come from tokenizer_config.json, generation_config.json and config.json, each optional).
// Errors: kNotFound (neither file), kBadHeader (not the expected JSON), kBadTable (vocabulary or
// merges contradict each other), kUnsupportedTokenizer (a component outside the known ones).
Result<std::unique_ptr<Tokenizer>> LoadTokenizer(std::span<const NamedFile> files);

}  // namespace ecq

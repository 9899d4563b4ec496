// SentencePiece-style BPE with byte fallback: llama2.c models and GGUF files of the kind "llama".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ecq/runtime/tokenizer.h"
#include "ecq/runtime/tokenizer_added_tokens.h"
#include "ecq/runtime/tokenizer_merge.h"

namespace ecq {

// The numbers are those of SentencePiece and GGUF.
enum class PieceType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct SentencePiece {
  std::string text;  // well-formed UTF-8, spaces as ' '; for kByte the byte itself
  float score;       // finite; the pair with the highest merges first
  PieceType type;
};

// Invariants: all 256 byte_ids are set or unknown_id is; all ids are below pieces.size().
struct SentencePieceSpec {
  std::vector<SentencePiece> pieces;  // by id
  std::array<uint32_t, 256> byte_ids{};
  std::optional<uint32_t> unknown_id;
  bool add_space_prefix = true;
  SpecialIds special_ids;
};

// Normal pieces merge; user-defined pieces match first, always; control and unknown pieces match
// only if special tokens are parsed; unused pieces only decode. Where several pieces have the same
// text the lowest id stands for it. A literal U+2581 in a text is spelled in bytes, so that it does
// not come back as a space.
class SentencePieceBpe final : public Tokenizer {
 public:
  explicit SentencePieceBpe(SentencePieceSpec spec);

  std::vector<uint32_t> Encode(std::string_view text, bool parse_special) const override;
  // Without the space that Encode put in front, if `is_first`.
  std::string DecodePiece(uint32_t id, bool is_first) const override;
  size_t vocab_size() const override { return spec_.pieces.size(); }

 private:
  void EncodeText(std::string_view text, PairMerger<float>& merger,
                  std::vector<uint32_t>& ids) const;
  uint32_t Find(std::string_view text) const;

  SentencePieceSpec spec_;
  AddedTokenMatcher matcher_;
  std::unordered_map<std::string_view, uint32_t> normal_;  // views into spec_.pieces
  size_t max_piece_bytes_ = 0;
};

}  // namespace ecq

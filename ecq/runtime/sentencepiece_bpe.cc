// SentencePiece-style BPE: the whole text between special tokens is merged as one word.
#include "ecq/runtime/sentencepiece_bpe.h"

#include <algorithm>
#include <utility>

#include "ecq/runtime/unicode_text.h"

namespace ecq {
namespace {

std::vector<AddedToken> MatchedPieces(const std::vector<SentencePiece>& pieces) {
  std::vector<AddedToken> tokens;
  for (size_t id = 0; id < pieces.size(); ++id) {
    const SentencePiece& piece = pieces[id];
    const bool special = piece.type == PieceType::kControl || piece.type == PieceType::kUnknown;
    if (!special && piece.type != PieceType::kUserDefined) continue;
    if (piece.text.empty()) continue;
    tokens.push_back({.text = piece.text, .id = static_cast<uint32_t>(id), .special = special});
  }
  return tokens;
}

}  // namespace

SentencePieceBpe::SentencePieceBpe(SentencePieceSpec spec)
    : Tokenizer(spec.special_ids), spec_(std::move(spec)), matcher_(MatchedPieces(spec_.pieces)) {
  normal_.reserve(spec_.pieces.size());
  for (size_t id = 0; id < spec_.pieces.size(); ++id) {
    const SentencePiece& piece = spec_.pieces[id];
    if (piece.type != PieceType::kNormal || piece.text.empty()) continue;
    normal_.emplace(piece.text, static_cast<uint32_t>(id));
    max_piece_bytes_ = std::max(max_piece_bytes_, piece.text.size());
  }
}

uint32_t SentencePieceBpe::Find(std::string_view text) const {
  if (text.size() > max_piece_bytes_) return kNoToken;
  const auto it = normal_.find(text);
  return it == normal_.end() ? kNoToken : it->second;
}

std::vector<uint32_t> SentencePieceBpe::Encode(std::string_view text, bool parse_special) const {
  std::vector<uint32_t> ids;
  ids.reserve(text.size() / 3);
  PairMerger<float> merger;
  bool after_special = true;  // the start of the text counts as one
  for (const auto& segment : matcher_.Split(text, parse_special)) {
    if (segment.id != kNoToken) {
      ids.push_back(segment.id);
      after_special = spec_.pieces[segment.id].type != PieceType::kUserDefined;
      continue;
    }
    std::string prefixed(spec_.add_space_prefix && after_special ? 1 : 0, ' ');
    EncodeText(prefixed.append(segment.text), merger, ids);
  }
  return ids;
}

void SentencePieceBpe::EncodeText(std::string_view text, PairMerger<float>& merger,
                                  std::vector<uint32_t>& ids) const {
  merger.Clear();
  for (size_t i = 0; i < text.size();) {
    const size_t size = std::max<size_t>(1, Utf8SequenceLength(text.substr(i)));
    merger.Append(Find(text.substr(i, size)), static_cast<uint32_t>(i),
                  static_cast<uint32_t>(size));
    i += size;
  }
  merger.Run(
      [&](const MergeSymbol& left, const MergeSymbol& right) -> std::optional<PairMerge<float>> {
        const uint32_t id = Find(text.substr(left.begin_byte, left.size_bytes + right.size_bytes));
        if (id == kNoToken) return std::nullopt;
        return PairMerge<float>{-spec_.pieces[id].score, id};
      });
  merger.ForEach([&](const MergeSymbol& symbol) {
    if (symbol.id != kNoToken) {
      ids.push_back(symbol.id);
      return;
    }
    const std::string_view bytes = text.substr(symbol.begin_byte, symbol.size_bytes);
    const auto byte_id = [&](char byte) { return spec_.byte_ids[static_cast<uint8_t>(byte)]; };
    if (std::any_of(bytes.begin(), bytes.end(),
                    [&](char byte) { return byte_id(byte) == kNoToken; })) {
      ids.push_back(*spec_.unknown_id);
      return;
    }
    for (const char byte : bytes) ids.push_back(byte_id(byte));
  });
}

std::string SentencePieceBpe::DecodePiece(uint32_t id, bool is_first) const {
  if (id >= spec_.pieces.size()) return std::string();
  const SentencePiece& piece = spec_.pieces[id];
  const bool strip = is_first && spec_.add_space_prefix && piece.type == PieceType::kNormal &&
                     piece.text.starts_with(' ');
  return strip ? piece.text.substr(1) : piece.text;
}

}  // namespace ecq

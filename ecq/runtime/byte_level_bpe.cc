// Byte-level BPE: added tokens, normalization, splitting into words, merging of each word.
#include "ecq/runtime/byte_level_bpe.h"

#include <algorithm>
#include <utility>

#include "ecq/runtime/unicode_text.h"

namespace ecq {
namespace {

// Byte-level vocabularies spell bytes as characters: printable Latin-1 stands for itself, the other
// 68 bytes in order for U+0100 and up. Gives the byte of each character, or -1.
constexpr auto kByteOfCharacter = [] {
  std::array<int, 256 + 68> table{};
  size_t shifted = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool itself =
        (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    table[static_cast<size_t>(byte)] = itself ? byte : -1;
    if (!itself) table[shifted++] = byte;
  }
  return table;
}();

std::vector<AddedToken> Select(const std::vector<AddedToken>& tokens, bool normalized, bool nfc) {
  std::vector<AddedToken> selected;
  for (const AddedToken& token : tokens) {
    if (token.normalized != normalized) continue;
    selected.push_back(token);
    if (normalized && nfc) selected.back().text = NormalizeNfc(token.text);
  }
  return selected;
}

// Calls visit(piece) for the non-empty matches and the texts between them that the step keeps. An
// empty match only cuts.
template <typename Visit>
void ForEachPiece(const SplitStep& step, std::string_view text, PatternScratch& scratch,
                  const Visit& visit) {
  size_t done = 0;
  for (size_t from = 0; from < text.size();) {
    const std::optional<ByteRange> match = step.pattern.Find(text, from, scratch);
    if (!match) break;
    const auto [begin, end] = *match;
    if (step.keep_gaps && begin > done) visit(text.substr(done, begin - done));
    if (step.keep_matches && end > begin) visit(text.substr(begin, end - begin));
    done = end;
    from = end > begin ? end : end + std::max<size_t>(1, Utf8SequenceLength(text.substr(end)));
  }
  if (step.keep_gaps && done < text.size()) visit(text.substr(done));
}

}  // namespace

std::optional<std::string> BytesOfToken(std::string_view token) {
  std::string bytes;
  while (!token.empty()) {
    const char32_t c = DecodeUtf8(token);
    if (c >= kByteOfCharacter.size() || kByteOfCharacter[c] < 0) return std::nullopt;
    bytes += static_cast<char>(kByteOfCharacter[c]);
    token.remove_prefix(Utf8SequenceLength(token));
  }
  return bytes;
}

TokenTable::TokenTable(const std::vector<std::string_view>& tokens) {
  size_t total = 0;
  for (std::string_view token : tokens) total += token.size();
  bytes_.reserve(total);
  ends_.reserve(tokens.size());
  for (std::string_view token : tokens) {
    bytes_ += token;
    ends_.push_back(bytes_.size());
  }
}

// What one call of Encode needs besides the tables.
struct ByteLevelBpe::Work {
  std::vector<uint32_t> ids;
  PatternScratch scratch;
  PairMerger<uint32_t> merger;
};

ByteLevelBpe::ByteLevelBpe(ByteLevelBpeSpec spec, SpecialIds special_ids)
    : Tokenizer(std::move(special_ids)),
      spec_(std::move(spec)),
      raw_matcher_(Select(spec_.added_tokens, false, spec_.normalize_nfc)),
      normalized_matcher_(Select(spec_.added_tokens, true, spec_.normalize_nfc)),
      merge_ends_(spec_.tokens.size()) {
  size_t end = 0;
  for (size_t left = 0; left < merge_ends_.size(); ++left) {
    while (end < spec_.merges.size() && spec_.merges[end].left == left) ++end;
    merge_ends_[left] = static_cast<uint32_t>(end);
  }
  if (!spec_.ignore_merges) return;
  words_.reserve(spec_.word_ids.size());
  for (uint32_t id : spec_.word_ids) words_.emplace(spec_.tokens[id], id);
}

std::vector<uint32_t> ByteLevelBpe::Encode(std::string_view text, bool parse_special) const {
  Work work;
  work.ids.reserve(text.size() / 3);
  while (!text.empty()) {
    const size_t valid = ValidUtf8Prefix(text);
    EncodeValid(text.substr(0, valid), parse_special, work);
    text.remove_prefix(valid);
    while (!text.empty() && Utf8SequenceLength(text) == 0) {
      EncodeWord(text.substr(0, 1), work);
      text.remove_prefix(1);
    }
  }
  return std::move(work.ids);
}

void ByteLevelBpe::EncodeValid(std::string_view text, bool parse_special, Work& work) const {
  for (const auto& outer : raw_matcher_.Split(text, parse_special)) {
    if (outer.id != kNoToken) {
      work.ids.push_back(outer.id);
      continue;
    }
    const std::string normalized = spec_.normalize_nfc ? NormalizeNfc(outer.text) : std::string();
    const std::string_view inner = spec_.normalize_nfc ? normalized : outer.text;
    for (const auto& segment : normalized_matcher_.Split(inner, parse_special)) {
      if (segment.id != kNoToken) {
        work.ids.push_back(segment.id);
      } else {
        PreTokenize(0, segment.text, work);
      }
    }
  }
}

void ByteLevelBpe::PreTokenize(size_t step, std::string_view piece, Work& work) const {
  if (step == spec_.steps.size()) {
    EncodeWord(piece, work);
  } else if (const auto* split = std::get_if<SplitStep>(&spec_.steps[step])) {
    ForEachPiece(*split, piece, work.scratch,
                 [&](std::string_view part) { PreTokenize(step + 1, part, work); });
  } else if (piece.starts_with(' ')) {
    PreTokenize(step + 1, piece, work);
  } else {
    PreTokenize(step + 1, std::string(1, ' ').append(piece), work);
  }
}

void ByteLevelBpe::EncodeWord(std::string_view word, Work& work) const {
  if (spec_.ignore_merges) {
    if (const auto it = words_.find(word); it != words_.end()) {
      work.ids.push_back(it->second);
      return;
    }
  }
  work.merger.Clear();
  bool after_unknown = false;
  for (size_t i = 0; i < word.size(); ++i) {
    uint32_t id = spec_.byte_ids[static_cast<uint8_t>(word[i])];
    const bool unknown = id == kNoToken;
    const bool dropped = unknown && (!spec_.unknown_id || (spec_.fuse_unknown && after_unknown));
    after_unknown = unknown;
    if (dropped) continue;
    if (unknown) id = *spec_.unknown_id;
    work.merger.Append(id, static_cast<uint32_t>(i), 1);
  }
  work.merger.Run([this](const MergeSymbol& left, const MergeSymbol& right) {
    return FindMerge(left.id, right.id);
  });
  work.merger.ForEach([&](const MergeSymbol& symbol) { work.ids.push_back(symbol.id); });
}

std::optional<PairMerge<uint32_t>> ByteLevelBpe::FindMerge(uint32_t left, uint32_t right) const {
  const auto begin = spec_.merges.begin() + (left == 0 ? 0 : merge_ends_[left - 1]);
  const auto end = spec_.merges.begin() + merge_ends_[left];
  const auto it =
      std::partition_point(begin, end, [right](const BpeMerge& m) { return m.right < right; });
  if (it == end || it->right != right) return std::nullopt;
  return PairMerge<uint32_t>{it->rank, it->merged};
}

std::string ByteLevelBpe::DecodePiece(uint32_t id, bool /*is_first*/) const {
  return id < spec_.tokens.size() ? std::string(spec_.tokens[id]) : std::string();
}

}  // namespace ecq

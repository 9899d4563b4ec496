// Byte-level BPE, as Hugging Face tokenizers defines it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "ecq/runtime/tokenizer.h"
#include "ecq/runtime/tokenizer_added_tokens.h"
#include "ecq/runtime/tokenizer_merge.h"
#include "ecq/runtime/tokenizer_pattern.h"

namespace ecq {

// The bytes that `token` spells in the alphabet of byte-level vocabularies, or nothing if one of
// its characters stands for no byte. `token` is well-formed UTF-8.
std::optional<std::string> BytesOfToken(std::string_view token);

// The bytes of every token, in one allocation, by id; ids without a token have none.
class TokenTable {
 public:
  // `tokens` by id.
  TokenTable() = default;
  explicit TokenTable(const std::vector<std::string_view>& tokens);

  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t id) const {
    const size_t begin = id == 0 ? 0 : ends_[id - 1];
    return std::string_view(bytes_).substr(begin, ends_[id] - begin);
  }

 private:
  std::string bytes_;
  std::vector<size_t> ends_;
};

struct BpeMerge {
  uint32_t left;
  uint32_t right;
  uint32_t rank;    // position in the file; the lowest is applied first
  uint32_t merged;  // id of the token that both make
};

// Pre-tokenization steps, applied in order to every piece of the step before.
struct SplitStep {
  SplitPattern pattern;
  bool keep_matches = true;
  bool keep_gaps = true;  // the text between matches
};
struct PrefixSpaceStep {};  // puts a space in front of a piece that starts with none
using PreTokenizerStep = std::variant<SplitStep, PrefixSpaceStep>;

// Invariants: every id is below tokens.size(); merges are in order of (left, right), without
// repeated pairs.
struct ByteLevelBpeSpec {
  TokenTable tokens;
  std::array<uint32_t, 256> byte_ids{};  // kNoToken: the byte is dropped, or unknown_id if set
  std::vector<BpeMerge> merges;
  std::vector<AddedToken> added_tokens;
  std::vector<PreTokenizerStep> steps;
  std::optional<uint32_t> unknown_id;
  bool fuse_unknown = false;   // one unknown_id for a run of unknown bytes
  bool ignore_merges = false;  // a word that is a token is that token, whatever the merges say
  bool normalize_nfc = false;
  std::vector<uint32_t> word_ids;           // the tokens that ignore_merges may use
  std::optional<std::string> template_bos;  // the token a post-processor puts in front
};

class ByteLevelBpe final : public Tokenizer {
 public:
  ByteLevelBpe(ByteLevelBpeSpec spec, SpecialIds special_ids);

  std::vector<uint32_t> Encode(std::string_view text, bool parse_special) const override;
  std::string DecodePiece(uint32_t id, bool is_first) const override;
  size_t vocab_size() const override { return spec_.tokens.size(); }

 private:
  struct Work;

  void EncodeValid(std::string_view text, bool parse_special, Work& work) const;
  void PreTokenize(size_t step, std::string_view piece, Work& work) const;
  void EncodeWord(std::string_view word, Work& work) const;
  std::optional<PairMerge<uint32_t>> FindMerge(uint32_t left, uint32_t right) const;

  ByteLevelBpeSpec spec_;
  AddedTokenMatcher raw_matcher_;
  AddedTokenMatcher normalized_matcher_;
  std::vector<uint32_t> merge_ends_;  // by left id: end of its merges in spec_.merges
  std::unordered_map<std::string_view, uint32_t> words_;  // views into spec_.tokens
};

}  // namespace ecq

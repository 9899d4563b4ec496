// Leftmost-longest search by narrowing a range of the sorted token texts byte by byte.
#include "ecq/runtime/tokenizer_added_tokens.h"

#include <algorithm>
#include <utility>

#include "ecq/runtime/tokenizer_merge.h"
#include "ecq/runtime/unicode_text.h"

namespace ecq {

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.text < b.text; });
  // Normalization can make two texts equal.
  tokens_.erase(
      std::unique(tokens_.begin(), tokens_.end(),
                  [](const AddedToken& a, const AddedToken& b) { return a.text == b.text; }),
      tokens_.end());
  for (const AddedToken& token : tokens_) starts_[static_cast<uint8_t>(token.text[0])] = true;
}

const AddedToken* AddedTokenMatcher::LongestAt(std::string_view text, size_t begin) const {
  const AddedToken* longest = nullptr;
  auto low = tokens_.begin();
  auto high = tokens_.end();
  for (size_t depth = 0; begin + depth < text.size(); ++depth) {
    // All of [low, high) share the first `depth` bytes with the text and are longer than that.
    const uint8_t byte = static_cast<uint8_t>(text[begin + depth]);
    const auto byte_at = [depth](const AddedToken& t) {
      return static_cast<uint8_t>(t.text[depth]);
    };
    low = std::partition_point(low, high, [&](const AddedToken& t) { return byte_at(t) < byte; });
    high = std::partition_point(low, high, [&](const AddedToken& t) { return byte_at(t) == byte; });
    if (low != high && low->text.size() == depth + 1) longest = &*low++;
    if (low == high) break;
  }
  return longest;
}

std::vector<AddedTokenMatcher::Segment> AddedTokenMatcher::Split(std::string_view text,
                                                                 bool parse_special) const {
  std::vector<Segment> segments;
  size_t done = 0;
  for (size_t i = 0; i < text.size();) {
    const AddedToken* token = starts_[static_cast<uint8_t>(text[i])] ? LongestAt(text, i) : nullptr;
    if (token == nullptr) {
      ++i;
      continue;
    }
    size_t begin = i;
    size_t end = i + token->text.size();
    i = end;
    if (token->special && !parse_special) continue;
    if (token->lstrip) begin -= TrailingWhiteSpace(text.substr(done, begin - done));
    if (token->rstrip) end += LeadingWhiteSpace(text.substr(end));
    if (begin > done) segments.push_back({text.substr(done, begin - done), kNoToken});
    segments.push_back({text.substr(begin, end - begin), token->id});
    done = i = end;
  }
  if (done < text.size()) segments.push_back({text.substr(done), kNoToken});
  return segments;
}

}  // namespace ecq

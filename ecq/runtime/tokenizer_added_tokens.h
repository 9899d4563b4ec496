// Added tokens: texts that become one id before any splitting of words.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ecq {

// Longest text of an added token; bounds the work per byte of input.
inline constexpr size_t kMaxAddedTokenBytes = 1024;

struct AddedToken {
  std::string text;  // well-formed UTF-8, 1 to kMaxAddedTokenBytes bytes
  uint32_t id = 0;
  bool special = false;     // matches only if special tokens are parsed
  bool lstrip = false;      // takes the white space in front with it
  bool rstrip = false;      // takes the white space behind with it
  bool normalized = false;  // looked for after normalization instead of before
};

// Finds added tokens: the leftmost, and the longest of those that start there.
class AddedTokenMatcher {
 public:
  struct Segment {
    std::string_view text;
    uint32_t id;  // kNoToken: ordinary text
  };

  AddedTokenMatcher() = default;
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  // Cuts `text` into added tokens and the non-empty texts between them.
  std::vector<Segment> Split(std::string_view text, bool parse_special) const;

 private:
  const AddedToken* LongestAt(std::string_view text, size_t begin) const;

  std::vector<AddedToken> tokens_;  // by text, ascending
  std::array<bool, 256> starts_{};  // some token starts with this byte
};

}  // namespace ecq

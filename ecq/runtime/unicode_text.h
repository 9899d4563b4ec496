// UTF-8 walking, white space and canonical composition for the tokenizers.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ecq {

// Bytes of the well-formed UTF-8 sequence that `text` starts with, or 0 if it starts with none.
// Overlong forms, surrogates and values above U+10FFFF are not well-formed.
size_t Utf8SequenceLength(std::string_view text);

// Bytes of the longest prefix of `text` that is well-formed UTF-8.
size_t ValidUtf8Prefix(std::string_view text);

// Code point of the well-formed sequence that `text` starts with.
char32_t DecodeUtf8(std::string_view text);

// The Unicode property White_Space.
bool IsWhiteSpace(char32_t code_point);

// Bytes of the white space that well-formed `text` starts or ends with.
size_t LeadingWhiteSpace(std::string_view text);
size_t TrailingWhiteSpace(std::string_view text);

// Normalization form C of well-formed `text`; characters newer than the Unicode version of utf8proc
// stay as they are.
std::string NormalizeNfc(std::string_view text);

}  // namespace ecq

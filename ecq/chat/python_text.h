// Strings as Python sees them: sequences of code points, its white space, its line ends, its cases.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecq::chat {

// Bytes of the first character; a byte that is not part of well-formed UTF-8 is one of its own.
// Pre: text is not empty.
size_t CharacterSize(std::string_view text);
size_t CountCharacters(std::string_view text);
// Its code point; for a stray byte, U+FFFD.
char32_t FirstCharacter(std::string_view text);
void AppendUtf8(std::string& out, char32_t code_point);

// str.isspace() of one character.
bool IsSpace(char32_t code_point);

// Without the characters at its ends that are in `characters`, or white space.
struct StripEnds {
  bool left = true;
  bool right = true;
};
std::string_view Strip(std::string_view text, std::optional<std::string_view> characters,
                       StripEnds ends = {});

// str.split() and str.rsplit(); `max_splits` < 0: all. Pre: separator is not "".
std::vector<std::string_view> Split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t max_splits);
std::vector<std::string_view> SplitFromRight(std::string_view text,
                                             std::optional<std::string_view> separator,
                                             int64_t max_splits);
std::vector<std::string_view> SplitLines(std::string_view text);

// Each character by its simple case mapping.
std::string ToUpper(std::string_view text);
std::string ToLower(std::string_view text);
std::string Capitalize(std::string_view text);
// str.title(): a letter after a letter becomes lower case, any other upper case.
std::string ToTitle(std::string_view text);
// Whether repr() shows the character as it is.
bool IsPrintable(char32_t code_point);
bool IsLetter(char32_t code_point);

// At most `max_count` times, all if < 0. An empty `from` matches around every character.
// Errors: nothing if the result would exceed `max_bytes`.
std::optional<std::string> Replace(std::string_view text, std::string_view from,
                                   std::string_view to, int64_t max_count, size_t max_bytes);

// At most 60 bytes of a name from a template, printable ASCII only, for a message of one line.
std::string ShortName(std::string_view name);

}  // namespace ecq::chat

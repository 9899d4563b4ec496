// Strings as Python sees them.
#include "ecq/chat/python_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace ecq::chat {
namespace {

constexpr char32_t kReplacement = 0xfffd;

// The first character; bytes 0 if the text starts with none.
struct Decoded {
  char32_t code_point;
  size_t bytes;
};

Decoded Decode(std::string_view text) {
  if (static_cast<uint8_t>(text[0]) < 0x80) return {static_cast<uint8_t>(text[0]), 1};
  utf8proc_int32_t code_point = -1;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto size = static_cast<utf8proc_ssize_t>(std::min<size_t>(text.size(), 4));
  const utf8proc_ssize_t used = utf8proc_iterate(bytes, size, &code_point);
  if (used <= 0) return {kReplacement, 1};
  return {static_cast<char32_t>(code_point), static_cast<size_t>(used)};
}

// The start of the last character.
size_t LastCharacterAt(std::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(text.size(), 4); ++back) {
    const size_t at = text.size() - back;
    if (Decode(text.substr(at)).bytes == back) return at;
  }
  return text.size() - 1;
}

bool IsLineEnd(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

template <typename Map>
std::string MapCharacters(std::string_view text, Map map) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Decoded c = Decode(text);
    const char32_t mapped = map(c.code_point);
    if (mapped == c.code_point) {
      out.append(text.substr(0, c.bytes));
    } else {
      AppendUtf8(out, mapped);
    }
    text.remove_prefix(c.bytes);
  }
  return out;
}

char32_t Upper(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}
char32_t Lower(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}
char32_t Title(char32_t c) {
  return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
}

bool Contains(std::string_view characters, std::string_view character) {
  for (; !characters.empty(); characters.remove_prefix(CharacterSize(characters))) {
    if (characters.substr(0, CharacterSize(characters)) == character) return true;
  }
  return false;
}

}  // namespace

size_t CharacterSize(std::string_view text) { return Decode(text).bytes; }

size_t CountCharacters(std::string_view text) {
  size_t count = 0;
  for (; !text.empty(); text.remove_prefix(CharacterSize(text))) ++count;
  return count;
}

char32_t FirstCharacter(std::string_view text) { return Decode(text).code_point; }

void AppendUtf8(std::string& out, char32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

bool IsLetter(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool IsPrintable(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return c == ' ' || (category != UTF8PROC_CATEGORY_CN && category < UTF8PROC_CATEGORY_ZS);
}

std::string_view Strip(std::string_view text, std::optional<std::string_view> characters,
                       StripEnds ends) {
  const auto strips = [&](std::string_view character) {
    return characters ? Contains(*characters, character) : IsSpace(FirstCharacter(character));
  };
  while (ends.left && !text.empty() && strips(text.substr(0, CharacterSize(text)))) {
    text.remove_prefix(CharacterSize(text));
  }
  while (ends.right && !text.empty()) {
    const size_t at = LastCharacterAt(text);
    if (!strips(text.substr(at))) break;
    text = text.substr(0, at);
  }
  return text;
}

std::vector<std::string_view> Split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t max_splits) {
  std::vector<std::string_view> parts;
  const auto may_split = [&] {
    return max_splits < 0 || parts.size() < static_cast<uint64_t>(max_splits);
  };
  if (separator) {
    for (size_t at; may_split() && (at = text.find(*separator)) != std::string_view::npos;) {
      parts.push_back(text.substr(0, at));
      text.remove_prefix(at + separator->size());
    }
    parts.push_back(text);
    return parts;
  }
  const StripEnds kLeft{true, false};
  for (text = Strip(text, {}, kLeft); !text.empty(); text = Strip(text, {}, kLeft)) {
    if (!may_split()) {
      parts.push_back(text);
      break;
    }
    size_t end = 0;
    while (end < text.size() && !IsSpace(FirstCharacter(text.substr(end)))) {
      end += CharacterSize(text.substr(end));
    }
    parts.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return parts;
}

std::vector<std::string_view> SplitFromRight(std::string_view text,
                                             std::optional<std::string_view> separator,
                                             int64_t max_splits) {
  std::vector<std::string_view> parts;
  const auto may_split = [&] {
    return max_splits < 0 || parts.size() < static_cast<uint64_t>(max_splits);
  };
  if (separator) {
    for (size_t at; may_split() && (at = text.rfind(*separator)) != std::string_view::npos;) {
      parts.push_back(text.substr(at + separator->size()));
      text = text.substr(0, at);
    }
    parts.push_back(text);
  } else {
    const StripEnds kRight{false, true};
    for (text = Strip(text, {}, kRight); !text.empty(); text = Strip(text, {}, kRight)) {
      if (!may_split()) {
        parts.push_back(text);
        break;
      }
      size_t begin = text.size();
      while (begin > 0) {
        const size_t at = LastCharacterAt(text.substr(0, begin));
        if (IsSpace(FirstCharacter(text.substr(at)))) break;
        begin = at;
      }
      parts.push_back(text.substr(begin));
      text = text.substr(0, begin);
    }
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  size_t end = 0;
  while (end < text.size()) {
    const Decoded c = Decode(text.substr(end));
    if (!IsLineEnd(c.code_point)) {
      end += c.bytes;
      continue;
    }
    lines.push_back(text.substr(0, end));
    const bool pair = c.code_point == '\r' && text.substr(end + 1, 1) == "\n";
    text.remove_prefix(end + c.bytes + (pair ? 1 : 0));
    end = 0;
  }
  if (!text.empty()) lines.push_back(text);
  return lines;
}

std::string ToUpper(std::string_view text) { return MapCharacters(text, Upper); }
std::string ToLower(std::string_view text) { return MapCharacters(text, Lower); }

std::string Capitalize(std::string_view text) {
  return MapCharacters(text, [first = true](char32_t c) mutable {
    return std::exchange(first, false) ? Title(c) : Lower(c);
  });
}

std::string ToTitle(std::string_view text) {
  return MapCharacters(text, [inside = false](char32_t c) mutable {
    return std::exchange(inside, IsLetter(c)) ? Lower(c) : Title(c);
  });
}

std::optional<std::string> Replace(std::string_view text, std::string_view from,
                                   std::string_view to, int64_t max_count, size_t max_bytes) {
  std::string out;
  auto may_replace = [&, done = int64_t{0}]() mutable {
    return max_count < 0 || done++ < max_count;
  };
  if (from.empty()) {
    while (may_replace()) {
      out += to;
      if (text.empty()) return out;
      const size_t size = CharacterSize(text);
      out += text.substr(0, size);
      text.remove_prefix(size);
      if (out.size() > max_bytes) return std::nullopt;
    }
    return out.append(text);
  }
  for (size_t at; (at = text.find(from)) != std::string_view::npos && may_replace();) {
    out.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
    if (out.size() > max_bytes) return std::nullopt;
  }
  return out.append(text);
}

std::string ShortName(std::string_view name) {
  std::string out(name.substr(0, 60));
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return out;
}

}  // namespace ecq::chat

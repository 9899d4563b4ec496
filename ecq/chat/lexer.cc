// The lexer of chat templates.
#include "ecq/chat/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "ecq/chat/python_text.h"
#include "ecq/chat/value.h"

namespace ecq::chat {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<uint8_t>(c) >= 0x80;
}

// Every line end as "\n", the last one of the text dropped.
std::string NormalizeNewlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      out += '\n';
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : rest_(source) {}

  Result<std::vector<Token>> Run() {
    while (!rest_.empty()) ECQ_RETURN_IF_ERROR(Text());
    Add(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  void Add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  void Skip(size_t size) {
    line_ += static_cast<int>(std::count(rest_.begin(), rest_.begin() + size, '\n'));
    rest_.remove_prefix(size);
  }

  void AddData(std::string_view text) {
    if (!text.empty()) tokens_.push_back({TokenKind::kData, std::string(text), line_});
  }

  // Text up to the next tag, and that tag.
  Status Text() {
    size_t at = 0;
    for (;; ++at) {
      at = rest_.find('{', at);
      if (at == std::string_view::npos || at + 1 == rest_.size()) {
        AddData(rest_);
        Skip(rest_.size());
        return OkStatus();
      }
      if (rest_[at + 1] == '{' || rest_[at + 1] == '%' || rest_[at + 1] == '#') break;
    }
    const char kind = rest_[at + 1];
    const char sign = SignAt(at + 2);
    AddData(TextBefore(at, sign, kind));
    Skip(at + 2 + (sign != '\0' ? 1 : 0));
    if (kind == '#') return Comment();
    if (kind == '%' && StartsWord("raw")) return Raw();
    Add(kind == '%' ? TokenKind::kBlockBegin : TokenKind::kVariableBegin, {});
    return Tag(kind == '%');
  }

  // '-' or '+' at this place, or '\0'.
  char SignAt(size_t at) const {
    const char c = at < rest_.size() ? rest_[at] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  // What stays of the text in front of a tag.
  std::string_view TextBefore(size_t at, char sign, char kind) const {
    const std::string_view text = rest_.substr(0, at);
    if (sign == '-') return Strip(text, {}, {false, true});
    if (sign == '+' || kind == '{') return text;
    const size_t newline = text.rfind('\n');
    if (newline == std::string_view::npos && !at_line_start_) return text;
    const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
    return Strip(text.substr(begin), {}).empty() ? text.substr(0, begin) : text;
  }

  // Takes the white space that a tag takes behind it, by the sign at its end.
  void SkipBehind(char sign, bool trims_newline) {
    at_line_start_ = false;
    size_t size = 0;
    if (sign == '-') {
      size = rest_.size() - Strip(rest_, {}, {true, false}).size();
    } else if (sign == '\0' && trims_newline && !rest_.empty() && rest_[0] == '\n') {
      size = 1;
    }
    if (size > 0) at_line_start_ = rest_[size - 1] == '\n';
    Skip(size);
  }

  Status Comment() {
    const int line = line_;
    const size_t end = rest_.find("#}");
    if (end == std::string_view::npos) return AtLine(line, "the comment has no end '#}'");
    const char sign = end > 0 ? SignAt(end - 1) : '\0';
    Skip(end + 2);
    SkipBehind(sign, /*trims_newline=*/true);
    return OkStatus();
  }

  // Whether a block tag consists of this word alone.
  bool StartsWord(std::string_view word) const {
    std::string_view text = Strip(rest_, {}, {true, false});
    if (!text.starts_with(word)) return false;
    text = Strip(text.substr(word.size()), {}, {true, false});
    return text.starts_with("%}") || text.starts_with("-%}") || text.starts_with("+%}");
  }

  // Passes "%}" of a tag without contents.
  void SkipTagEnd(bool trims_newline) {
    const size_t end = rest_.find("%}");
    const char sign = SignAt(end - 1);
    Skip(end + 2);
    SkipBehind(sign, trims_newline);
  }

  Status Raw() {
    const int line = line_;
    SkipTagEnd(/*trims_newline=*/false);
    for (size_t at = 0; (at = rest_.find("{%", at)) != std::string_view::npos; at += 2) {
      const char sign = SignAt(at + 2);
      const std::string_view text = TextBefore(at, sign, '%');
      const Lexer behind(rest_.substr(at + 2 + (sign != '\0' ? 1 : 0)));
      if (!behind.StartsWord("endraw")) continue;
      AddData(text);
      Skip(at + 2);
      SkipTagEnd(/*trims_newline=*/true);
      return OkStatus();
    }
    return AtLine(line, "'raw' has no 'endraw'");
  }

  // The tokens up to the end of a block or variable.
  Status Tag(bool is_block) {
    const int line = line_;
    std::string brackets;  // those that are open, as their closing ones
    while (true) {
      Skip(rest_.size() - Strip(rest_, {}, {true, false}).size());
      if (rest_.empty()) {
        return AtLine(line,
                      is_block ? "the block has no end '%}'" : "the expression has no end '}}'");
      }
      const char sign = SignAt(0) != '\0' && (is_block || rest_[0] == '-') ? rest_[0] : '\0';
      if (brackets.empty() &&
          rest_.substr(sign != '\0' ? 1 : 0).starts_with(is_block ? "%}" : "}}")) {
        Add(is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, {});
        Skip(sign != '\0' ? 3 : 2);
        SkipBehind(sign, is_block);
        return OkStatus();
      }
      ECQ_RETURN_IF_ERROR(Inside(brackets));
    }
  }

  Status Inside(std::string& brackets) {
    const char c = rest_[0];
    if (c == '\'' || c == '"') return String(c);
    if (IsDigit(c)) return Number();
    if (IsNameStart(c)) {
      size_t size = 1;
      while (size < rest_.size() && (IsNameStart(rest_[size]) || IsDigit(rest_[size]))) ++size;
      Add(TokenKind::kName, std::string(rest_.substr(0, size)));
      Skip(size);
      return OkStatus();
    }
    constexpr std::array<std::string_view, 25> kOperators{
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ","};
    const auto* op = std::find_if(kOperators.begin(), kOperators.end(),
                                  [&](std::string_view o) { return rest_.starts_with(o); });
    if (op == kOperators.end()) {
      return AtLine(line_, fmt::format("unexpected character '{}'", ShortName(rest_.substr(0, 1))));
    }
    if (c == '(') brackets += ')';
    if (c == '[') brackets += ']';
    if (c == '{') brackets += '}';
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) {
        return AtLine(line_, fmt::format("unexpected '{}'", c));
      }
      brackets.pop_back();
    }
    Add(TokenKind::kOperator, std::string(*op));
    Skip(op->size());
    return OkStatus();
  }

  Status Number() {
    size_t size = 0;
    const auto take_digits = [&] {
      while (size < rest_.size() && (IsDigit(rest_[size]) || rest_[size] == '_')) ++size;
    };
    take_digits();
    bool is_float = false;
    if (size + 1 < rest_.size() && rest_[size] == '.' && IsDigit(rest_[size + 1])) {
      is_float = true;
      ++size;
      take_digits();
    }
    size_t exponent = size;
    if (exponent < rest_.size() && (rest_[exponent] == 'e' || rest_[exponent] == 'E')) {
      ++exponent;
      if (exponent < rest_.size() && (rest_[exponent] == '+' || rest_[exponent] == '-')) ++exponent;
      if (exponent < rest_.size() && IsDigit(rest_[exponent])) {
        is_float = true;
        size = exponent;
        take_digits();
      }
    }
    if (size < rest_.size() && IsNameStart(rest_[size])) {
      return AtLine(line_, fmt::format("'{}' is no number that templates can use",
                                       ShortName(rest_.substr(0, size + 1))));
    }
    std::string digits(rest_.substr(0, size));
    std::erase(digits, '_');
    Add(is_float ? TokenKind::kFloat : TokenKind::kInteger, std::move(digits));
    Skip(size);
    return OkStatus();
  }

  Status String(char quote) {
    size_t end = 1;
    while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) return AtLine(line_, "the string has no end");
    ECQ_TRY(std::string text, Unescape(rest_.substr(1, end - 1)));
    Add(TokenKind::kString, std::move(text));
    Skip(end + 1);
    return OkStatus();
  }

  // The escapes of Python's strings; unknown ones stay as they are.
  Result<std::string> Unescape(std::string_view text) const {
    constexpr std::string_view kNames = "\\'\"abfnrtv";
    constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
    std::string out;
    while (!text.empty()) {
      const char c = text[0];
      if (c != '\\') {
        out += c;
        text.remove_prefix(1);
        continue;
      }
      const char name = text[1];  // a string cannot end inside an escape
      text.remove_prefix(2);
      if (const size_t at = kNames.find(name); at != std::string_view::npos) {
        out += kMeanings[at];
      } else if (name >= '0' && name <= '7') {
        char32_t value = static_cast<char32_t>(name - '0');
        for (int i = 0; i < 2 && !text.empty() && text[0] >= '0' && text[0] <= '7'; ++i) {
          value = value * 8 + static_cast<char32_t>(text[0] - '0');
          text.remove_prefix(1);
        }
        AppendUtf8(out, value);
      } else if (name == 'x' || name == 'u' || name == 'U') {
        const size_t digits = name == 'x' ? 2 : name == 'u' ? 4 : 8;
        const std::optional<char32_t> value = Hexadecimal(text.substr(0, digits), digits);
        if (!value) {
          return AtLine(line_, fmt::format("the string has a bad \\{} escape", name));
        }
        AppendUtf8(out, *value);
        text.remove_prefix(digits);
      } else if (name != '\n') {
        (out += '\\') += name;
      }
    }
    return out;
  }

  // Nothing if it has not so many digits, or is no character.
  static std::optional<char32_t> Hexadecimal(std::string_view text, size_t digits) {
    if (text.size() != digits) return std::nullopt;
    uint64_t value = 0;
    for (const char c : text) {
      const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
      if (!IsDigit(lower) && (lower < 'a' || lower > 'f')) return std::nullopt;
      value = value * 16 + static_cast<uint64_t>(IsDigit(lower) ? lower - '0' : lower - 'a' + 10);
    }
    if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return std::nullopt;
    return static_cast<char32_t>(value);
  }

  std::string_view rest_;
  int line_ = 1;
  bool at_line_start_ = true;  // whether the text in front of rest_ ended a line
  std::vector<Token> tokens_;
};

}  // namespace

Error AtLine(int line, std::string_view what) {
  return Invalid(fmt::format("line {}: {}", line, what));
}

Result<std::vector<Token>> Tokenize(std::string_view source) {
  const std::string text = NormalizeNewlines(source);
  return Lexer(text).Run();
}

}  // namespace ecq::chat

// Rewrites the Oniguruma syntax where PCRE2 differs, and wraps PCRE2.
//
// Differences that matter here: \s in PCRE2 also matches U+180E; \w, \b, \h, \R, \X, \A, \z, (?m),
// nested and intersected classes, possessive {n,m}+ and {,n} mean something else or do not exist.
#include "ecq/runtime/tokenizer_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <cstdint>
#include <new>
#include <utility>

#include "ecq/runtime/tokenizer_quote.h"
#include "ecq/runtime/unicode_text.h"

namespace ecq {
namespace {

constexpr size_t kMaxRegexBytes = 16384;
constexpr uint32_t kStepLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 65536;

// Unicode White_Space and its complement, as the inside of a class.
constexpr std::string_view kSpace =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"
    "\\x{205f}\\x{3000}";
constexpr std::string_view kNotSpace =
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}"
    "\\x{200b}-\\x{2027}\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}"
    "\\x{3001}-\\x{10ffff}";

bool IsAsciiPunctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~') || c == ' ';
}

class RegexTranslator {
 public:
  explicit RegexTranslator(std::string_view regex) : in_(regex) {}

  Result<std::string> Run() {
    while (at_ < in_.size()) {
      ECQ_RETURN_IF_ERROR(in_class_ ? ClassItem() : Item());
    }
    return std::move(out_);
  }

 private:
  char Peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool Looking(std::string_view text) const { return in_.substr(at_, text.size()) == text; }
  void Copy(size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }

  Error Unsupported(std::string_view what) const {
    return Error{ErrorCode::kUnsupportedTokenizer,
                 "tokenizer.json: pre-tokenizer regex " + Quote(in_) + " uses " + Quote(what) +
                     " at byte " + std::to_string(at_) +
                     "; known: literals, classes, \\s \\S \\d \\D \\p \\P \\x \\r \\n \\t \\f \\v, "
                     "(?:) (?i:) (?=) (?!) (?<=) (?<!) (?>), quantifiers"};
  }

  Status Item() {
    const char c = Peek();
    if (c == '\\') return Escape();
    if (c == '(') return Group();
    if (c == '{') return Braces();
    if (c == '[') {
      in_class_ = true;
      Copy(1);
      if (Peek() == '^') Copy(1);
      if (Peek() == ']') return Unsupported("[]");
      return OkStatus();
    }
    Copy(1);
    return OkStatus();
  }

  Status ClassItem() {
    const char c = Peek();
    if (c == '\\') return Escape();
    if (c == '[') return Unsupported("[ in a class");
    if (Looking("&&")) return Unsupported("&&");
    if (c == ']') in_class_ = false;
    Copy(1);
    return OkStatus();
  }

  Status Escape() {
    const char c = Peek(1);
    if (c == 's' || c == 'S') {
      at_ += 2;
      const std::string_view set = c == 's' ? kSpace : kNotSpace;
      out_ += in_class_ ? std::string(set) : "[" + std::string(set) + "]";
      return OkStatus();
    }
    if (c == 'v') {
      at_ += 2;
      out_ += "\\x{b}";
      return OkStatus();
    }
    constexpr std::string_view kSame = "dDpPxrntf";
    if (c != '\0' && (kSame.find(c) != std::string_view::npos || IsAsciiPunctuation(c))) {
      const bool braced = (c == 'p' || c == 'P' || c == 'x') && Peek(2) == '{';
      const size_t end = braced ? in_.find('}', at_) : at_ + 1;
      if (end == std::string_view::npos) return Unsupported("an open {");
      Copy(end + 1 - at_);
      return OkStatus();
    }
    return Unsupported(in_.substr(at_, 2));
  }

  Status Group() {
    if (Peek(1) == '*') return Unsupported("(*");
    if (Peek(1) != '?') {
      Copy(1);
      return OkStatus();
    }
    constexpr std::array<std::string_view, 9> kKnown{
        "(?:", "(?i:", "(?-i:", "(?i)", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    for (std::string_view group : kKnown) {
      if (!Looking(group)) continue;
      Copy(group.size());
      return OkStatus();
    }
    return Unsupported(in_.substr(at_, 4));
  }

  Status Braces() {
    const size_t end = in_.find('}', at_);
    const bool counts = end != std::string_view::npos && Peek(1) >= '0' && Peek(1) <= '9';
    if (!counts) return Unsupported("{ without a lower bound");
    Copy(end + 1 - at_);
    if (Peek() == '+' || Peek() == '?') return Unsupported("{} followed by + or ?");
    return OkStatus();
  }

  std::string_view in_;
  size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

}  // namespace

Result<std::string> TranslateRegex(std::string_view regex) { return RegexTranslator(regex).Run(); }

void PatternScratch::Free::operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
void PatternScratch::Free::operator()(pcre2_match_context* context) const {
  pcre2_match_context_free(context);
}

PatternScratch::PatternScratch()
    : data_(pcre2_match_data_create(1, nullptr)), context_(pcre2_match_context_create(nullptr)) {
  if (data_ == nullptr || context_ == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(context_.get(), kStepLimit);
  pcre2_set_heap_limit(context_.get(), kHeapLimitKib);
}

void SplitPattern::Free::operator()(pcre2_code* code) const { pcre2_code_free(code); }

Result<SplitPattern> SplitPattern::Compile(std::string_view pattern, std::string_view shown,
                                           uint32_t options) {
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (context == nullptr) return Error{ErrorCode::kOutOfMemory, "pre-tokenizer regex: no memory"};
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE offset = 0;
  Code compiled(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options,
                              &code, &offset, context.get()));
  if (compiled == nullptr) {
    std::array<PCRE2_UCHAR, 128> text{};
    pcre2_get_error_message(code, text.data(), text.size());
    return Error{ErrorCode::kBadHeader,
                 "tokenizer.json: pre-tokenizer pattern " + Quote(shown) +
                     " does not compile: " + reinterpret_cast<const char*>(text.data())};
  }
  // Without JIT support the interpreter finds the same matches.
  (void)pcre2_jit_compile(compiled.get(), PCRE2_JIT_COMPLETE);
  return SplitPattern(std::move(compiled));
}

Result<SplitPattern> SplitPattern::FromRegex(std::string_view regex) {
  if (regex.empty() || regex.size() > kMaxRegexBytes) {
    return Error{ErrorCode::kBadHeader,
                 "tokenizer.json: pre-tokenizer regex has " + std::to_string(regex.size()) +
                     " bytes; expected 1 to " + std::to_string(kMaxRegexBytes)};
  }
  ECQ_TRY(std::string pattern, TranslateRegex(regex));
  return Compile(pattern, regex, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE);
}

Result<SplitPattern> SplitPattern::FromLiteral(std::string_view text) {
  if (text.empty() || text.size() > kMaxRegexBytes) {
    return Error{ErrorCode::kBadHeader, "tokenizer.json: pre-tokenizer string pattern has " +
                                            std::to_string(text.size()) + " bytes; expected 1 to " +
                                            std::to_string(kMaxRegexBytes)};
  }
  return Compile(text, text, PCRE2_UTF | PCRE2_LITERAL);
}

std::optional<ByteRange> SplitPattern::Find(std::string_view text, size_t from,
                                            PatternScratch& scratch) const {
  const auto match = [&](uint32_t options) {
    return pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       PCRE2_NO_UTF_CHECK | options, scratch.data_.get(), scratch.context_.get());
  };
  int rc = match(0);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = match(PCRE2_NO_JIT);
  if (rc < 0) return std::nullopt;
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(scratch.data_.get());
  return ByteRange{offsets[0], offsets[1]};
}

}  // namespace ecq

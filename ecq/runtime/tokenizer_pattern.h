// Regular expressions of pre-tokenizers: Oniguruma syntax, matched by PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ecq/base/result.h"

struct pcre2_real_code_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;

namespace ecq {

struct ByteRange {
  size_t begin;
  size_t end;
};

// Mutable state of a search; one per thread, shared by all patterns.
class PatternScratch {
 public:
  PatternScratch();

 private:
  friend class SplitPattern;
  struct Free {
    void operator()(pcre2_real_match_data_8* data) const;
    void operator()(pcre2_real_match_context_8* context) const;
  };
  std::unique_ptr<pcre2_real_match_data_8, Free> data_;
  std::unique_ptr<pcre2_real_match_context_8, Free> context_;
};

class SplitPattern {
 public:
  // Accepts the part of the syntax that means the same in both libraries, or can be rewritten so
  // that it does; everything else is kUnsupportedTokenizer, by name.
  static Result<SplitPattern> FromRegex(std::string_view regex);
  // Matches exactly `text`.
  static Result<SplitPattern> FromLiteral(std::string_view text);

  // First match at or after the byte `from`, a character border of the well-formed `text`. A search
  // that exceeds the step limit (10 million, against catastrophic backtracking) counts as no match.
  std::optional<ByteRange> Find(std::string_view text, size_t from, PatternScratch& scratch) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  using Code = std::unique_ptr<pcre2_real_code_8, Free>;

  explicit SplitPattern(Code code) : code_(std::move(code)) {}
  static Result<SplitPattern> Compile(std::string_view pattern, std::string_view shown,
                                      uint32_t options);

  Code code_;
};

// The PCRE2 pattern that means what `regex` means to Oniguruma with its Ruby syntax.
Result<std::string> TranslateRegex(std::string_view regex);

}  // namespace ecq

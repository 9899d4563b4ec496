// Tests of the regex translation and of the search limits.
#include "ecq/runtime/tokenizer_pattern.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ecq {
namespace {

std::vector<std::string> Matches(std::string_view regex, std::string_view text) {
  auto pattern = SplitPattern::FromRegex(regex);
  if (!pattern.ok()) {
    ADD_FAILURE() << pattern.error().message;
    return {};
  }
  PatternScratch scratch;
  std::vector<std::string> matches;
  for (size_t from = 0; from < text.size();) {
    const auto match = pattern->Find(text, from, scratch);
    if (!match || match->end == match->begin) break;
    matches.emplace_back(text.substr(match->begin, match->end - match->begin));
    from = match->end;
  }
  return matches;
}

using Strings = std::vector<std::string>;

TEST(SplitPatternTest, SpaceIsTheUnicodeProperty) {
  // U+180E is white space to PCRE2, but not to Unicode since version 6.3.
  EXPECT_EQ(Matches(R"(\s+)", "a\xe1\xa0\x8e\xe3\x80\x80 b\xc2\x85"),
            (Strings{"\xe3\x80\x80 ", "\xc2\x85"}));
  EXPECT_EQ(Matches(R"([^\s]+)", "a\xe1\xa0\x8e b"), (Strings{"a\xe1\xa0\x8e", "b"}));
  EXPECT_EQ(Matches(R"(\S+)", "a\xe1\xa0\x8e b"), (Strings{"a\xe1\xa0\x8e", "b"}));
  EXPECT_EQ(Matches(R"([^\S\n]+)", " \n\xc2\xa0"), (Strings{" ", "\xc2\xa0"}));
}

TEST(SplitPatternTest, ClassesAndCaseFollowUnicode) {
  EXPECT_EQ(Matches(R"(\p{L}+|\p{N})", "\xc3\xa9\xd0\xb6 1\xc2\xbd"),
            (Strings{"\xc3\xa9\xd0\xb6", "1", "\xc2\xbd"}));
  EXPECT_EQ(Matches(R"((?i:'s))", "'s 'S '\xc5\xbf"), (Strings{"'s", "'S", "'\xc5\xbf"}));
  EXPECT_EQ(Matches(R"(\d+)", "7\xd9\xa3x"), (Strings{"7\xd9\xa3"}));
}

TEST(SplitPatternTest, EscapesKeepTheirMeaning) {
  EXPECT_EQ(Matches(R"(\v)", "\n\x0b"), (Strings{"\x0b"}));
  EXPECT_EQ(Matches(R"([\[\]\-]+|\x{41}|\{)", "[-]A{"), (Strings{"[-]", "A", "{"}));
  EXPECT_EQ(Matches(R"(a.)", "a\na\ra"), (Strings{"a\r"}));
  EXPECT_EQ(Matches(R"(a$|^b)", "a\nb"), (Strings{"a", "b"}));
  EXPECT_EQ(Matches(R"(\p{N}{1,3})", "1234"), (Strings{"123", "4"}));
}

TEST(SplitPatternTest, LiteralsAreNotPatterns) {
  const auto pattern = SplitPattern::FromLiteral("a.*");
  ASSERT_TRUE(pattern.ok());
  PatternScratch scratch;
  const auto match = pattern->Find("abc a.*", 0, scratch);
  ASSERT_TRUE(match.has_value());
  EXPECT_EQ(match->begin, 4u);
  EXPECT_EQ(match->end, 7u);
}

TEST(SplitPatternTest, RefusesWhatMeansSomethingElse) {
  for (const char* regex :
       {"\\w",    "\\b",   "\\h",     "\\R",    "\\X",     "\\A",      "\\z",  "\\G",
        "\\K",    "\\C",   "\\k<a>",  "\\1",    "(?<n>a)", "(?P<n>a)", "(?R)", "(?1)",
        "(?m:.)", "(?#x)", "(?(1)a)", "(*UTF)", "[[a]b]",  "[a&&b]",   "[]a]", "a{,2}",
        "a{2}+",  "a{2}?", "a{",      "\\p{L",  "[a\\w]",  "\\"}) {
    const auto translated = TranslateRegex(regex);
    ASSERT_FALSE(translated.ok()) << regex;
    EXPECT_EQ(translated.error().code, ErrorCode::kUnsupportedTokenizer);
  }
}

TEST(SplitPatternTest, CatastrophicBacktrackingEnds) {
  EXPECT_EQ(Matches(R"((?:a|a|aa)+$)", std::string(5000, 'a') + "b"), Strings{});
  EXPECT_EQ(Matches(R"((?:(?:a+)+)+c)", std::string(100'000, 'a') + "b"), Strings{});
}

}  // namespace
}  // namespace ecq

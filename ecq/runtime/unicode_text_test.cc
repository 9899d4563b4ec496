// Tests of UTF-8 walking, white space and composition.
#include "ecq/runtime/unicode_text.h"

#include <gtest/gtest.h>

namespace ecq {
namespace {

using namespace std::string_view_literals;

TEST(UnicodeTextTest, AcceptsExactlyWellFormedSequences) {
  EXPECT_EQ(Utf8SequenceLength("a"), 1u);
  EXPECT_EQ(Utf8SequenceLength("\0"sv), 1u);
  EXPECT_EQ(Utf8SequenceLength("\xc3\xa9x"), 2u);
  EXPECT_EQ(Utf8SequenceLength("\xed\x9f\xbf"), 3u);      // U+D7FF
  EXPECT_EQ(Utf8SequenceLength("\xf4\x8f\xbf\xbf"), 4u);  // U+10FFFF

  EXPECT_EQ(Utf8SequenceLength(""), 0u);
  EXPECT_EQ(Utf8SequenceLength("\x80"), 0u);
  EXPECT_EQ(Utf8SequenceLength("\xc1\xbf"), 0u);          // overlong
  EXPECT_EQ(Utf8SequenceLength("\xe0\x9f\xbf"), 0u);      // overlong
  EXPECT_EQ(Utf8SequenceLength("\xf0\x8f\xbf\xbf"), 0u);  // overlong
  EXPECT_EQ(Utf8SequenceLength("\xed\xa0\x80"), 0u);      // surrogate
  EXPECT_EQ(Utf8SequenceLength("\xf4\x90\x80\x80"), 0u);  // U+110000
  EXPECT_EQ(Utf8SequenceLength("\xe2\x82"), 0u);          // cut off
  EXPECT_EQ(Utf8SequenceLength("\xe2\x82x"), 0u);
}

TEST(UnicodeTextTest, ValidPrefixEndsAtTheFirstBadByte) {
  EXPECT_EQ(ValidUtf8Prefix("caf\xc3\xa9"), 5u);
  EXPECT_EQ(ValidUtf8Prefix("caf\xc3"), 3u);
  EXPECT_EQ(ValidUtf8Prefix("\xff"), 0u);
}

TEST(UnicodeTextTest, DecodesEverySequenceLength) {
  EXPECT_EQ(DecodeUtf8("A"), U'A');
  EXPECT_EQ(DecodeUtf8("\xc3\xa9"), U'\u00e9');
  EXPECT_EQ(DecodeUtf8("\xe2\x96\x81"), U'\u2581');
  EXPECT_EQ(DecodeUtf8("\xf0\x9f\x98\x80"), U'\U0001f600');
}

TEST(UnicodeTextTest, MeasuresWhiteSpaceAtBothEnds) {
  const std::string_view text = " \xe3\x80\x80x\xc2\xa0\n";  // U+3000 and U+00A0
  EXPECT_EQ(LeadingWhiteSpace(text), 4u);
  EXPECT_EQ(TrailingWhiteSpace(text), 3u);
  EXPECT_EQ(LeadingWhiteSpace(" \t"), 2u);
  EXPECT_EQ(TrailingWhiteSpace(" \t"), 2u);
  EXPECT_FALSE(IsWhiteSpace(0x180e));
  EXPECT_FALSE(IsWhiteSpace(0x200b));
}

TEST(UnicodeTextTest, ComposesCanonically) {
  EXPECT_EQ(NormalizeNfc("e\xcc\x81"), "\xc3\xa9");
  EXPECT_EQ(NormalizeNfc("\xe2\x84\xab"), "\xc3\x85");                  // Angstrom sign
  EXPECT_EQ(NormalizeNfc("q\xcc\x87\xcc\xa3"), "q\xcc\xa3\xcc\x87");    // reordered
  EXPECT_EQ(NormalizeNfc("\xe0\xa5\x98"), "\xe0\xa4\x95\xe0\xa4\xbc");  // composition exclusion
  EXPECT_EQ(NormalizeNfc("\xef\xac\x81"), "\xef\xac\x81");              // compatibility kept
  EXPECT_EQ(NormalizeNfc("a\0b\xcc\x81"sv), "a\0b\xcc\x81"sv);
}

}  // namespace
}  // namespace ecq

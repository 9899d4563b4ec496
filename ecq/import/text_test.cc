// UTF-8 validation and the order of rotary rows.
#include "ecq/import/text.h"

#include <gtest/gtest.h>

#include <vector>

#include "ecq/import/rotary_rows.h"

namespace ecq {
namespace {

TEST(IsUtf8Test, AcceptsTheEdgesOfEveryLength) {
  for (const char* text : {"", "a\x7f", "\xc2\x80\xdf\xbf", "\xe0\xa0\x80\xed\x9f\xbf",
                           "\xee\x80\x80\xef\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
}

TEST(IsUtf8Test, RefusesMalformedText) {
  for (const char* text : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2 ", "\xe0\x9f\xbf",
                           "\xed\xa0\x80", "\xe2\x82", "\xe2\x82 ", "\xf0\x8f\xbf\xbf",
                           "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf0\x9f\x98", "\xff"}) {
    EXPECT_FALSE(IsUtf8(text)) << text;
  }
}

TEST(InterleavedRowTest, IsTheInverseOfTheConvertersPermutation) {
  // Two heads of six: half split (0 1 2 | 3 4 5) is stored as 0 3 1 4 2 5.
  const std::vector<uint64_t> expected{0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11};
  for (uint64_t row = 0; row < expected.size(); ++row) {
    EXPECT_EQ(InterleavedRow(row, 6), expected[row]) << row;
  }
}

}  // namespace
}  // namespace ecq

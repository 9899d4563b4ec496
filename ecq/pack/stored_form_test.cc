// Short forms of fixes and orders of columns: there and back, their size, hostile bytes.
#include "ecq/pack/stored_form.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "ecq/base/rng.h"

namespace ecq {
namespace {

constexpr uint32_t kRows = 1000;
constexpr uint32_t kCols = 700;

std::span<const uint8_t> BytesOf(const std::vector<uint16_t>& pairs) {
  return {reinterpret_cast<const uint8_t*>(pairs.data()), pairs.size() * sizeof(uint16_t)};
}

std::vector<Fix> FixesAt(const std::vector<uint64_t>& places, int32_t delta) {
  std::vector<Fix> fixes;
  for (const uint64_t place : places) {
    fixes.push_back(
        {static_cast<uint32_t>(place / kCols), static_cast<uint32_t>(place % kCols), delta});
  }
  return fixes;
}

void ExpectRoundTrip(const std::vector<Fix>& fixes, size_t entries) {
  const auto pairs = ShortFixes(fixes, kCols);
  ASSERT_TRUE(pairs);
  EXPECT_EQ(pairs->size(), 2 * entries);
  EXPECT_EQ(StoredFixBytes(fixes, kCols), 4 * entries);
  const auto back = ParseShortFixes(BytesOf(*pairs), kRows, kCols, "t");
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(*back, fixes);
}

TEST(StoredForm, FixesComeBackWhateverLiesBetweenThem) {
  ExpectRoundTrip({}, 0);
  ExpectRoundTrip(FixesAt({0}, 1), 1);
  ExpectRoundTrip(FixesAt({uint64_t{kRows} * kCols - 1}, -32767), 11);
  for (const uint64_t gap : {0, 1, 65533, 65534, 65535, 65536, 131069, 131070, 131071}) {
    SCOPED_TRACE(gap);
    ExpectRoundTrip(FixesAt({gap, 2 * gap + 1}, 32767), 2 * (1 + gap / 65535));
  }
}

TEST(StoredForm, RandomFixesComeBack) {
  Rng rng(5);
  for (int i = 0; i < 20; ++i) {
    std::vector<uint64_t> places(rng.Below(400));
    for (uint64_t& place : places) place = rng.Below(uint64_t{kRows} * kCols);
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
    std::vector<Fix> fixes = FixesAt(places, 1);
    for (Fix& fix : fixes) fix.delta = static_cast<int32_t>(rng.Below(65535)) - 32767;
    for (Fix& fix : fixes) fix.delta += fix.delta == 0;
    const auto pairs = ShortFixes(fixes, kCols);
    ASSERT_TRUE(pairs);
    EXPECT_EQ(StoredFixBytes(fixes, kCols), 2 * pairs->size());
    const auto back = ParseShortFixes(BytesOf(*pairs), kRows, kCols, "t");
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, fixes);
  }
}

TEST(StoredForm, DeltasBeyondSixteenBitsTakeTheLongForm) {
  for (const int32_t delta : {32768, -32768, 1 << 24}) {
    const std::vector<Fix> fixes = FixesAt({3, 70'000}, delta);
    EXPECT_FALSE(ShortFixes(fixes, kCols));
    EXPECT_EQ(StoredFixBytes(fixes, kCols), 24u);
  }
}

TEST(StoredForm, HostileFixesAreRefused) {
  const uint16_t last = static_cast<uint16_t>(3 * 5 - 1);
  EXPECT_TRUE(ParseShortFixes(BytesOf({last, 1}), 3, 5, "t").ok());
  const std::vector<uint16_t> hostile[] = {
      {static_cast<uint16_t>(last + 1), 1},  // after the last weight
      {last, 1, 0, 1},                       // and another
      {0, 0},                                // a delta of 0
      {0, 0x8000},                           // of -32768
      {65535, 0, 0, 1},                      // a skip beyond the matrix
  };
  for (const auto& pairs : hostile) {
    const auto result = ParseShortFixes(BytesOf(pairs), 3, 5, "t");
    ASSERT_FALSE(result.ok()) << pairs[0] << " " << pairs[1];
    EXPECT_EQ(result.error().code, ErrorCode::kBadLayout);
  }
  EXPECT_FALSE(ParseShortFixes(BytesOf({65535, 0}), kRows, kCols, "t").ok());  // no fix after it
  EXPECT_FALSE(ParseShortFixes(BytesOf({65535, 1, 0, 1}), kRows, kCols, "t").ok());  // not 0
  EXPECT_TRUE(ParseShortFixes(BytesOf({65535, 0, 0, 1}), kRows, kCols, "t").ok());
}

TEST(StoredForm, OrdersOfUpToSixteenClassesComeBack) {
  Rng rng(7);
  for (const uint32_t cols : {1u, 2u, 31u, 64u, 577u}) {
    for (const uint32_t classes : {1u, 2u, 15u, 16u}) {
      SCOPED_TRACE(std::to_string(cols) + " " + std::to_string(classes));
      std::vector<uint32_t> class_of(cols);
      for (uint32_t& c : class_of) c = static_cast<uint32_t>(rng.Below(classes));
      std::vector<uint32_t> order(cols);
      std::iota(order.begin(), order.end(), 0u);
      std::stable_sort(order.begin(), order.end(),
                       [&](uint32_t a, uint32_t b) { return class_of[a] < class_of[b]; });
      const auto stored = ColumnClasses(order);
      ASSERT_TRUE(stored);
      EXPECT_EQ(stored->size(), (cols + 1) / 2);
      EXPECT_EQ(StoredOrderBytes(order), stored->size());
      const auto back = ParseColumnClasses(*stored, cols, "t");
      ASSERT_TRUE(back.ok()) << back.error().message;
      EXPECT_EQ(*back, order);
    }
  }
}

TEST(StoredForm, MoreClassesTakeAnOrder) {
  std::vector<uint32_t> order(17);
  std::iota(order.rbegin(), order.rend(), 0u);  // 17 classes of one column
  EXPECT_FALSE(ColumnClasses(order));
  EXPECT_EQ(StoredOrderBytes(order), 34u);
  order.resize(kMaxShortOrderCols + 1);
  std::iota(order.rbegin(), order.rend(), 0u);
  EXPECT_EQ(StoredOrderBytes(order), 4 * order.size());
  EXPECT_EQ(StoredOrderBytes({}), 0u);
}

TEST(StoredForm, HostileClassesAreRefused) {
  const std::vector<uint8_t> bytes{0x21, 0x10};
  EXPECT_TRUE(ParseColumnClasses(bytes, 4, "t").ok());
  for (const uint32_t cols : {1u, 2u, 3u, 5u, 6u}) {  // 3: the last half byte belongs to no column
    const auto result = ParseColumnClasses(bytes, cols, "t");
    ASSERT_FALSE(result.ok()) << cols;
    EXPECT_EQ(result.error().code, ErrorCode::kBadLayout);
  }
}

}  // namespace
}  // namespace ecq

// binary16 and bfloat16: every value of the format, and rounding at every boundary.
#include "ecq/base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ecq/base/rng.h"

namespace ecq {
namespace {

constexpr uint32_t kNumHalves = 1u << 16;
constexpr uint16_t kSign = 0x8000;
constexpr uint16_t kInfinity = 0x7c00;
constexpr uint16_t kLargest = 0x7bff;

bool IsNanHalf(uint16_t h) { return (h & 0x7fffu) > kInfinity; }

// The value by the definition: sign, exponent and fraction taken apart.
double HalfByDefinition(uint16_t h) {
  const int exponent = h >> 10 & 0x1f;
  const int fraction = h & 0x3ff;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return (h & kSign) != 0 ? -magnitude : magnitude;
}

TEST(HalfTest, EveryFiniteHalfHasTheValueOfItsDefinition) {
  for (uint32_t i = 0; i < kNumHalves; ++i) {
    const uint16_t h = static_cast<uint16_t>(i);
    if ((h & kInfinity) == kInfinity) continue;
    ASSERT_EQ(HalfToFloat(h), HalfByDefinition(h)) << h;
    ASSERT_EQ(std::signbit(HalfToFloat(h)), (h & kSign) != 0) << h;
  }
}

TEST(HalfTest, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t i = 0; i < kNumHalves; ++i) {
    const uint16_t h = static_cast<uint16_t>(i);
    if (IsNanHalf(h)) {
      ASSERT_TRUE(std::isnan(HalfToFloat(h))) << h;
      ASSERT_TRUE(IsNanHalf(FloatToHalf(HalfToFloat(h)))) << h;
    } else {
      ASSERT_EQ(FloatToHalf(HalfToFloat(h)), h);
    }
  }
}

// Between two neighbours the nearer one wins, and the even one in the middle. Covers zero,
// subnormals, the step to normal numbers and every binade.
TEST(HalfTest, RoundsToNearestTiesToEven) {
  for (uint16_t low = 0; low < kLargest; ++low) {
    const uint16_t high = static_cast<uint16_t>(low + 1);
    const float middle =
        static_cast<float>((HalfByDefinition(low) + HalfByDefinition(high)) / 2);  // exact
    const uint16_t even = low % 2 == 0 ? low : high;
    ASSERT_EQ(FloatToHalf(middle), even) << low;
    ASSERT_EQ(FloatToHalf(std::nextafter(middle, 0.0f)), low) << low;
    ASSERT_EQ(FloatToHalf(std::nextafter(middle, 1e9f)), high) << low;
    ASSERT_EQ(FloatToHalf(-middle), even | kSign) << low;
  }
}

TEST(HalfTest, OverflowsToInfinity) {
  const float kFirstInfinite = 65520.0f;  // half way between 65504 and 2^16
  EXPECT_EQ(FloatToHalf(std::nextafter(kFirstInfinite, 0.0f)), kLargest);
  EXPECT_EQ(FloatToHalf(kFirstInfinite), kInfinity);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::max()), kInfinity);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::infinity()), kInfinity);
  EXPECT_EQ(FloatToHalf(-kFirstInfinite), kInfinity | kSign);
  EXPECT_EQ(HalfToFloat(kInfinity), std::numeric_limits<float>::infinity());
}

TEST(HalfTest, UnderflowsToSignedZero) {
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0);  // the tie goes to even
  EXPECT_EQ(FloatToHalf(std::nextafter(0x1p-25f, 1.0f)), 1);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(FloatToHalf(-0.0f), kSign);
  EXPECT_EQ(FloatToHalf(-0x1p-30f), kSign);
}

TEST(HalfTest, NanStaysNan) {
  EXPECT_TRUE(IsNanHalf(FloatToHalf(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(IsNanHalf(FloatToHalf(std::bit_cast<float>(0x7f800001u))));  // payload in low bits
  EXPECT_TRUE(IsNanHalf(FloatToHalf(std::bit_cast<float>(0xff800001u))));
}

TEST(HalfTest, RandomFloatsRoundWithinHalfAUnit) {
  Rng rng(1);
  for (int i = 0; i < 200000; ++i) {
    const float f = std::bit_cast<float>(static_cast<uint32_t>(rng.Next()));
    if (!(std::abs(f) < 65504.0f)) continue;
    const double exponent = std::floor(std::log2(std::abs(double{f})));
    const double unit = std::max(0x1p-24, std::exp2(exponent - 10));
    ASSERT_LE(std::abs(HalfToFloat(FloatToHalf(f)) - double{f}), unit / 2) << f;
  }
}

TEST(BFloat16Test, IsTheUpperHalfOfAFloat) {
  EXPECT_EQ(BFloat16ToFloat(0x3f80), 1.0f);
  EXPECT_EQ(BFloat16ToFloat(0xc040), -3.0f);
  EXPECT_EQ(BFloat16ToFloat(0x7f80), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(BFloat16ToFloat(0x7fc0)));
  for (uint32_t i = 0; i < kNumHalves; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(BFloat16ToFloat(static_cast<uint16_t>(i)));
    ASSERT_EQ(bits, i << 16);
  }
}

TEST(BFloat16Test, RoundsToNearestEven) {
  for (uint32_t i = 0; i < kNumHalves; ++i) {
    const float f = BFloat16ToFloat(static_cast<uint16_t>(i));
    if (std::isnan(f)) continue;
    ASSERT_EQ(FloatToBFloat16(f), i);
  }
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0x3f808000u)), 0x3f80);  // ties to even
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(FloatToBFloat16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(FloatToBFloat16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(BFloat16ToFloat(FloatToBFloat16(std::bit_cast<float>(0x7f800001u)))));
}

}  // namespace
}  // namespace ecq

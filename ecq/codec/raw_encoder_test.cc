// The raw encoder: its bits where docs/format.md, 4.1, says, and the widths it plans.
#include "ecq/codec/raw_encoder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ecq/base/bytes.h"
#include "ecq/base/rng.h"

namespace ecq {
namespace {

// Bit k of the string of `lane` in group `group` of a block at `block`.
bool BitAt(const uint8_t* block, uint32_t bits, uint32_t active, uint32_t group, uint32_t lane,
           uint32_t k) {
  const uint32_t word = group * bits + k / 32;
  return (LoadLe<uint32_t>(block + 4 * (word * active + lane)) >> (k % 32) & 1) != 0;
}

TEST(RawEncoderTest, EveryBitIsWhereTheFormatPutsIt) {
  Rng rng(21);
  for (uint32_t bits = 1; bits <= 8; ++bits) {
    for (const uint32_t lanes : {1u, 4u, 32u}) {
      for (const uint32_t cols : {1u, 31u, 32u, 33u, 100u}) {
        const uint32_t rows = lanes + 1 + static_cast<uint32_t>(rng.Below(40));
        CodecPlan plan;
        plan.raw_bits = bits;
        plan.raw_level_min = -static_cast<int32_t>(1u << (bits - 1));
        std::vector<int8_t> levels(rows * cols);
        for (int8_t& level : levels) {
          level =
              static_cast<int8_t>(plan.raw_level_min + static_cast<int32_t>(rng.Below(1u << bits)));
        }
        std::vector<uint8_t> out;
        MakeRawEncoder(plan, {}, lanes)->Encode({levels.data(), cols, rows, cols}, out);

        const uint8_t* block = out.data();
        const uint32_t groups = static_cast<uint32_t>(DivideRoundUp(cols, 32));
        for (uint32_t row = 0; row < rows; row += lanes) {
          const uint32_t active = std::min(lanes, rows - row);
          for (uint32_t lane = 0; lane < active; ++lane) {
            for (uint32_t col = 0; col < groups * 32; ++col) {
              uint32_t symbol = 0;
              for (uint32_t b = 0; b < bits; ++b) {
                symbol |= uint32_t{BitAt(block, bits, active, col / 32, lane, col % 32 * bits + b)}
                          << b;
              }
              const int32_t expected =
                  col < cols ? levels[(row + lane) * cols + col] - plan.raw_level_min : 0;
              ASSERT_EQ(symbol, static_cast<uint32_t>(expected))
                  << bits << ' ' << lanes << ' ' << cols;
            }
          }
          block += 4 * RawBlockWords(cols, bits, active);
        }
        ASSERT_EQ(block, out.data() + out.size());
      }
    }
  }
}

TEST(PlanRawTest, TakesTheNarrowestWidth) {
  const auto plan = [](std::initializer_list<int32_t> levels) {
    Histogram histogram;
    for (const int32_t level : levels) ++histogram[level];
    return PlanRaw({&histogram, 1}, 12);
  };
  EXPECT_EQ(plan({5})->raw_bits, 1u);
  EXPECT_EQ(plan({-1, 0})->raw_bits, 1u);
  EXPECT_EQ(plan({-1, 1})->raw_bits, 2u);
  EXPECT_EQ(plan({-8, 7})->raw_bits, 4u);
  EXPECT_EQ(plan({-8, 8})->raw_bits, 5u);
  EXPECT_EQ(plan({-128, 127})->raw_bits, 8u);
  EXPECT_DOUBLE_EQ(plan({-8, 0, 7})->payload_bits, 12.0);
  EXPECT_FALSE(plan({}).has_value());
}

// Patterns that no level uses must still stand for levels up to 127.
TEST(PlanRawTest, EveryPatternIsALevel) {
  for (int32_t low = -128; low <= 127; ++low) {
    for (const int32_t high : {low, std::min(low + 2, 127), std::min(low + 100, 127), 127}) {
      Histogram histogram;
      ++histogram[low];
      ++histogram[high];
      const auto plan = PlanRaw({&histogram, 1}, 12);
      ASSERT_TRUE(plan.has_value());
      const int32_t pattern_max = (1 << plan->raw_bits) - 1;
      EXPECT_GE(plan->raw_level_min, -128);
      EXPECT_LE(plan->raw_level_min + pattern_max, 127);
      EXPECT_LE(plan->raw_level_min, low);
      EXPECT_GE(plan->raw_level_min + pattern_max, high);
    }
  }
}

TEST(PlanRawTest, OneWidthForAllSpans) {
  Histogram histograms[2];
  ++histograms[0][-3];
  ++histograms[1][12];
  const auto plan = PlanRaw(histograms, 12);
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->raw_bits, 4u);
  EXPECT_EQ(plan->raw_level_min, -3);
}

TEST(HistogramTest, EntropyOfKnownDistributions) {
  Histogram histogram;
  EXPECT_EQ(histogram.EntropyBits(), 0);
  histogram[0] = 4;
  EXPECT_EQ(histogram.EntropyBits(), 0);
  histogram[-128] = 2;
  histogram[127] = 2;
  EXPECT_EQ(histogram.Total(), 8u);
  EXPECT_DOUBLE_EQ(histogram.EntropyBits(), 8 * 1.5);
}

}  // namespace
}  // namespace ecq

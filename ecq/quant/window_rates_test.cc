// The menu of rates: what its tables leave of a Gaussian, and the choice among them.
#include "ecq/quant/window_rates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ecq/base/rng.h"
#include "ecq/portable/layout.h"
#include "ecq/quant/window_search.h"
#include "ecq/quant/window_tables.h"

namespace ecq {
namespace {

double BitsOf(const WindowRatePlan& plan) {
  double bits = 0;
  for (const size_t rate : plan.rates) bits += kWindowGroupCols * kWindowRates[rate].bits();
  return bits;
}

double CostOf(const std::vector<double>& values, const std::vector<size_t>& rates) {
  double cost = 0;
  for (size_t g = 0; g < values.size(); ++g) cost += values[g] * WindowDistortion(rates[g], true);
  return cost;
}

TEST(WindowRatesTest, DistortionsAreThoseOfTheTables) {
  constexpr int kBlocks = 400;
  for (const bool has_memory : {false, true}) {
    for (size_t rate = 0; rate < kWindowRates.size(); ++rate) {
      WindowSearch search(
          WindowCodebook::Of(GaussianWindowTable(rate, has_memory), 1 / kWindowLevelsPerSigma),
          has_memory);
      Rng rng(rate);
      double error = 0;
      for (int block = 0; block < kBlocks; ++block) {
        WeightTuple tuples[kMaxLanes];
        TupleCode codes[kMaxLanes];
        for (WeightTuple& tuple : tuples) {
          for (float& w : tuple.w) w = static_cast<float>(rng.Gaussian());
        }
        error += search.Find(tuples, kMaxLanes, codes);
      }
      const double measured = error / (kBlocks * kMaxLanes * kTupleCols);
      EXPECT_NEAR(measured / WindowDistortion(rate, has_memory), 1, 0.03) << rate;
    }
  }
}

// The plan relies on it: each half bit saves less than the one before.
TEST(WindowRatesTest, TheCurveIsConvex) {
  for (const bool has_memory : {false, true}) {
    for (size_t rate = 1; rate + 1 < kWindowRates.size(); ++rate) {
      EXPECT_GT(WindowDistortion(rate - 1, has_memory) - WindowDistortion(rate, has_memory),
                WindowDistortion(rate, has_memory) - WindowDistortion(rate + 1, has_memory));
    }
  }
}

TEST(WindowRatesTest, NoOtherPlanOfAsManyBitsCostsLess) {
  Rng rng(3);
  std::vector<double> values(5);
  for (double& value : values) value = std::exp(2 * rng.Gaussian());
  std::sort(values.rbegin(), values.rend());
  for (const double row_bits : {160.0, 230.0, 320.0, 415.0, 500.0, 640.0}) {
    const WindowRatePlan plan = PlanWindowRates(values, row_bits, true);
    ASSERT_LE(BitsOf(plan), row_bits);
    EXPECT_GT(BitsOf(plan), row_bits - 16);
    EXPECT_TRUE(std::is_sorted(plan.rates.rbegin(), plan.rates.rend()));
    double best = CostOf(values, plan.rates);
    for (size_t code = 0; code < 7 * 7 * 7 * 7 * 7; ++code) {
      WindowRatePlan other;
      for (size_t rest = code, g = 0; g < values.size(); ++g, rest /= 7) {
        other.rates.push_back(rest % 7);
      }
      if (BitsOf(other) <= row_bits) best = std::min(best, CostOf(values, other.rates));
    }
    EXPECT_NEAR(CostOf(values, plan.rates), best, 1e-12 * best) << row_bits;
  }
}

TEST(WindowRatesTest, Edges) {
  const std::vector<double> values = {3, 2, 0};
  EXPECT_EQ(PlanWindowRates(values, 0, true).rates, std::vector<size_t>({0, 0, 0}));
  EXPECT_EQ(PlanWindowRates(values, 1e9, true).rates, std::vector<size_t>({6, 6, 6}));
  EXPECT_GT(PlanWindowRates(values, 1e9, true).slope, 0);
  // Bits that groups of no value would get still have a price.
  EXPECT_GT(PlanWindowRates(values, 2 * 128 + 40, true).slope, 0);
  EXPECT_TRUE(PlanWindowRates({}, 100, false).rates.empty());
}

}  // namespace
}  // namespace ecq

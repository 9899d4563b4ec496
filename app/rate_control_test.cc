// Tests of the bit budget: the total is met, own rates are taken, impossible totals are refused.
#include "app/rate_control.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace ecq {
namespace {

double Total(const std::vector<BudgetedMatrix>& matrices, const BudgetOptions& options,
             double miss) {
  auto control = RateControl::Create(matrices, options);
  EXPECT_TRUE(control.ok());
  double bits = 0;
  double weights = 0;
  for (size_t i = 0; i < matrices.size(); ++i) {
    const double rate = control->RateOf(i) * (1 + miss);
    control->Spend(i, rate * matrices[i].weights);
    bits += rate * matrices[i].weights;
    weights += matrices[i].weights;
  }
  return bits / weights;
}

TEST(RateControl, EqualSharesWithoutRules) {
  const std::vector<BudgetedMatrix> matrices{{100, true, {}}, {300, false, {}}, {50, false, {}}};
  const auto control = RateControl::Create(matrices, {4.25});
  ASSERT_TRUE(control.ok());
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(control->RateOf(i), 4.25);
}

TEST(RateControl, EmbeddingTakesAtMostSixUnlessToldOtherwise) {
  const std::vector<BudgetedMatrix> matrices{{100, true, {}}, {300, false, {}}};
  EXPECT_EQ(RateControl::Create(matrices, {6.5})->RateOf(0), 6);
  EXPECT_EQ(RateControl::Create(matrices, {4, false, 5.0})->RateOf(0), 5);
  EXPECT_NEAR(RateControl::Create(matrices, {4, false, 5.0})->RateOf(1), (1600 - 500) / 300.0,
              1e-12);
}

TEST(RateControl, OthersShareWhatOwnRatesLeave) {
  const std::vector<BudgetedMatrix> matrices{
      {100, true, {}}, {300, false, 5.5}, {50, false, 16.0}, {1000, false, {}}};
  const auto control = RateControl::Create(matrices, {4.5});
  ASSERT_TRUE(control.ok()) << control.error().message;
  EXPECT_EQ(control->RateOf(1), 5.5);
  EXPECT_EQ(control->RateOf(2), 16);
  const double share = (4.5 * 1450 - 5.5 * 300 - 16 * 50) / 1100;
  EXPECT_NEAR(control->RateOf(0), share, 1e-12);
  EXPECT_NEAR(control->RateOf(3), share, 1e-12);
}

TEST(RateControl, TotalIsMetWhateverTheOrder) {
  std::vector<BudgetedMatrix> matrices{{100, true, {}},  {300, false, 5.5}, {50, false, 12.0},
                                       {400, false, {}}, {500, false, {}},  {90, true, {}}};
  std::sort(matrices.begin(), matrices.end(),
            [](const auto& a, const auto& b) { return a.weights < b.weights; });
  EXPECT_NEAR(Total(matrices, {4.5}, 0), 4.5, 1e-9);
  EXPECT_NEAR(Total(matrices, {4.5}, 0.002), 4.5, 4.5 * 0.002);
  std::reverse(matrices.begin(), matrices.end());
  EXPECT_NEAR(Total(matrices, {4.5}, 0), 4.5, 1e-9);
}

TEST(RateControl, UnreachableTotalsAreRefusedWithNumbers) {
  const auto message = [](double own, double bpw) {
    const auto control = RateControl::Create({{300, false, own}, {100, false, {}}}, {bpw});
    return control.ok() ? std::string() : control.error().message;
  };
  EXPECT_EQ(message(4.5, 4.5), "");
  EXPECT_EQ(message(5.8, 4.5), "") << "0.6 bits are left";
  const std::string high = message(6, 4.5);
  EXPECT_NE(high.find("75 % of the weights 6.000 bits each"), std::string::npos) << high;
  EXPECT_NE(high.find("would need 0.00"), std::string::npos) << high;
  EXPECT_NE(high.find("raise --bpw"), std::string::npos) << high;
  const std::string low = message(2, 4.5);
  EXPECT_NE(low.find("would need 12.00"), std::string::npos) << low;
  EXPECT_NE(low.find("lower --bpw"), std::string::npos) << low;
}

TEST(RateControl, RulesForEveryMatrixMustAgreeWithATotalThatWasAskedFor) {
  const std::vector<BudgetedMatrix> matrices{{300, false, 5.0}, {100, true, 3.0}};
  EXPECT_TRUE(RateControl::Create(matrices, {4.5, false}).ok()) << "nobody asked for 4.5";
  EXPECT_TRUE(RateControl::Create(matrices, {4.5, true}).ok()) << "they meet it";
  const auto control = RateControl::Create(matrices, {4, true});
  ASSERT_FALSE(control.ok());
  EXPECT_NE(control.error().message.find("4.500"), std::string::npos) << control.error().message;
}

}  // namespace
}  // namespace ecq

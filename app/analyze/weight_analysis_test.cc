// The analysis against closed forms on synthetic weights, and at its edges.
#include "app/analyze/weight_analysis.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <string_view>
#include <vector>

#include "app/analyze/synthetic_weights.h"

namespace ecq {
namespace {

constexpr uint32_t kColumns = 4096;

WeightAnalysis AnalyzeSynthetic(SyntheticKind kind, uint32_t rows) {
  ThreadPool pool(2);
  const AlignedBuffer<float> weights = MakeSyntheticWeights(kind, rows, kColumns, 1, pool);
  auto analysis = AnalyzeWeights({weights.data(), rows, kColumns}, pool);
  EXPECT_TRUE(analysis.ok());
  return *std::move(analysis);
}

// 2 M weights, analyzed once.
const WeightAnalysis& Gaussian() {
  static const WeightAnalysis analysis = AnalyzeSynthetic(SyntheticKind::kGaussian, 488);
  return analysis;
}

const GridAnalysis& Grid(const WeightAnalysis& analysis, std::string_view name) {
  for (const GridAnalysis& grid : analysis.grids) {
    if (grid.grid == name) return grid;
  }
  ADD_FAILURE() << "no grid " << name;
  return analysis.grids[0];
}

// Entropy of round(w / step) for weights with this distribution function.
double EntropyOfRounding(double step, const std::function<double(double)>& cdf) {
  double bits = 0;
  for (int i = -400; i <= 400; ++i) {
    const double p = cdf((i + 0.5) * step) - cdf((i - 0.5) * step);
    if (p > 0) bits -= p * std::log2(p);
  }
  return bits;
}

double GaussianCdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double LaplaceCdf(double x) {
  const double tail = 0.5 * std::exp(-std::numbers::sqrt2 * std::abs(x));
  return x < 0 ? tail : 1 - tail;
}

TEST(WeightAnalysisTest, MomentsOfKnownSources) {
  EXPECT_EQ(Gaussian().matrices, 1u);
  EXPECT_EQ(Gaussian().weights, 488u * kColumns);
  EXPECT_NEAR(Gaussian().excess_kurtosis, 0, 0.02);
  EXPECT_NEAR(Gaussian().max_over_sd, 5.2, 0.5);  // the largest of 2 M
  EXPECT_NEAR(AnalyzeSynthetic(SyntheticKind::kLaplace, 256).excess_kurtosis, 3, 0.15);
  EXPECT_GT(AnalyzeSynthetic(SyntheticKind::kStudent5, 256).excess_kurtosis, 3.5);  // 6 if infinite
}

TEST(WeightAnalysisTest, GridsOnGaussianWeights) {
  struct Expected {
    std::string_view grid;
    double entropy, stored, snr_db, within;
  };
  // Of independent simulations of N(0, 1) (numpy). What depends on the largest weight of a row or
  // of all spreads.
  const Expected table[] = {
      {"q4_0", 3.776, 4.5, 21.33, 0.005},       {"mlx4-g64", 3.724, 4.5, 20.82, 0.005},
      {"mlx3-g64", 2.690, 3.5, 14.42, 0.005},   {"row4", 3.146, 4 + 32.0 / kColumns, 17.06, 0.02},
      {"tensor-minmax4", 2.646, 4, 14.24, 0.1},
  };
  for (const Expected& e : table) {
    const GridAnalysis& grid = Grid(Gaussian(), e.grid);
    EXPECT_NEAR(grid.entropy, e.entropy, e.within) << e.grid;
    EXPECT_NEAR(grid.stored, e.stored, 1e-4) << e.grid;
    EXPECT_NEAR(grid.snr_db, e.snr_db, 7 * e.within) << e.grid;
    // The real code costs its scales, and a little for states and tables.
    const double scales = grid.stored - (e.grid == "mlx3-g64" ? 3 : 4);
    EXPECT_GT(grid.coded, grid.entropy + scales) << e.grid;
    EXPECT_LT(grid.coded, grid.entropy + scales + 0.03) << e.grid;
  }
}

TEST(WeightAnalysisTest, EcqIsAQuarterBitAboveTheGaussianBound) {
  const double gap = 0.5 * std::log2(2 * std::numbers::pi * std::numbers::e / 12);
  int checked = 0;
  for (const RatePoint& point : Gaussian().curve) {
    if (point.bits < 2.5) continue;
    ++checked;
    // An error of step^2 / 12, made smaller by the least-squares gain.
    const double noise = point.relative_step * point.relative_step / 12;
    EXPECT_NEAR(point.snr_db, 10 * std::log10(1 + 1 / noise), 0.02);
    EXPECT_GT(point.bits - point.snr_db / kDbPerBit, gap - 0.005) << point.relative_step;
    EXPECT_LT(point.bits - point.snr_db / kDbPerBit, gap + 0.03) << point.relative_step;
  }
  EXPECT_GE(checked, 4);
}

TEST(WeightAnalysisTest, EntropyOfTheIntegersMatchesTheDistribution) {
  constexpr double kStep = WeightAnalysis::kLevelsStep;
  const auto bits = [](const WeightAnalysis& a) {
    return a.levels.EntropyBits() / static_cast<double>(a.weights);
  };
  EXPECT_NEAR(bits(Gaussian()), EntropyOfRounding(kStep, GaussianCdf), 0.003);
  EXPECT_NEAR(bits(AnalyzeSynthetic(SyntheticKind::kLaplace, 256)),
              EntropyOfRounding(kStep, LaplaceCdf), 0.005);
}

TEST(WeightAnalysisTest, EcqAtEqualError) {
  // A uniform step has the error step^2 / 12.
  const GridAnalysis& mlx = Grid(Gaussian(), "mlx4-g64");
  const double step = std::sqrt(12 * std::pow(10, -mlx.snr_db / 10));
  const double entropy = EntropyOfRounding(step, GaussianCdf);
  EXPECT_NEAR(entropy, 3.714, 0.01);
  EXPECT_GT(mlx.ecq, entropy - 0.005);
  EXPECT_LT(mlx.ecq, entropy + 0.03);
  // Heavier tails: the grid loses, the coder does not.
  const WeightAnalysis student = AnalyzeSynthetic(SyntheticKind::kStudent5, 256);
  EXPECT_NEAR(Grid(student, "mlx4-g64").ecq, 3.37, 0.06);
  // A grid that reaches almost nothing needs almost nothing.
  EXPECT_LT(Grid(student, "tensor-minmax4").snr_db, 8);
  EXPECT_LT(Grid(student, "tensor-minmax4").ecq, Grid(student, "tensor-minmax4").coded + 0.25);
}

TEST(WeightAnalysisTest, HistogramsHoldEveryWeight) {
  const WeightAnalysis& a = Gaussian();
  uint64_t total = 0;
  for (const uint64_t count : a.histogram.counts) total += count;
  EXPECT_EQ(total, a.weights);
  EXPECT_EQ(a.levels.Total(), a.weights);
  // The bin from 0 to 1/4 of a standard deviation.
  constexpr size_t kMiddle = WeightHistogram::kNumBins / 2;
  EXPECT_NEAR(static_cast<double>(a.histogram.counts[kMiddle]) / static_cast<double>(a.weights),
              GaussianCdf(0.25) - 0.5, 0.001);
  WeightHistogram edges;
  edges.Add(-1e9);
  edges.Add(1e9);
  EXPECT_EQ(edges.counts.front(), 1u);
  EXPECT_EQ(edges.counts.back(), 1u);
}

TEST(WeightAnalysisTest, MergeWeighsByTheNumberOfWeights) {
  WeightAnalysis a = AnalyzeSynthetic(SyntheticKind::kGaussian, 8);
  const WeightAnalysis b = AnalyzeSynthetic(SyntheticKind::kLaplace, 24);
  WeightAnalysis sum;
  sum.Merge(a);
  sum.Merge(b);
  EXPECT_EQ(sum.matrices, 2u);
  EXPECT_EQ(sum.weights, 32u * kColumns);
  EXPECT_NEAR(sum.excess_kurtosis, 0.25 * a.excess_kurtosis + 0.75 * b.excess_kurtosis, 1e-12);
  for (size_t i = 0; i < sum.grids.size(); ++i) {
    EXPECT_EQ(sum.grids[i].grid, a.grids[i].grid);
    EXPECT_NEAR(sum.grids[i].entropy, 0.25 * a.grids[i].entropy + 0.75 * b.grids[i].entropy, 1e-12);
    EXPECT_NEAR(sum.grids[i].snr_db, 0.25 * a.grids[i].snr_db + 0.75 * b.grids[i].snr_db, 1e-12);
    EXPECT_NEAR(sum.grids[i].ecq, 0.25 * a.grids[i].ecq + 0.75 * b.grids[i].ecq, 1e-12);
  }
  EXPECT_EQ(sum.levels.Total(), 32u * kColumns);
}

TEST(WeightAnalysisTest, DoesNotDependOnThreads) {
  WeightAnalysis results[2];
  for (int i = 0; i < 2; ++i) {
    ThreadPool pool(i == 0 ? 1 : 3);
    const auto weights = MakeSyntheticWeights(SyntheticKind::kStudent5, 200, 96, 7, pool);
    auto analysis = AnalyzeWeights({weights.data(), 200, 96}, pool);
    ASSERT_TRUE(analysis.ok());
    results[i] = *std::move(analysis);
  }
  EXPECT_EQ(results[0].excess_kurtosis, results[1].excess_kurtosis);
  EXPECT_EQ(results[0].histogram.counts, results[1].histogram.counts);
  for (size_t i = 0; i < results[0].grids.size(); ++i) {
    EXPECT_EQ(results[0].grids[i].snr_db, results[1].grids[i].snr_db);
    EXPECT_EQ(results[0].grids[i].ecq, results[1].grids[i].ecq);
  }
}

void ExpectFinite(const WeightAnalysis& analysis) {
  EXPECT_TRUE(std::isfinite(analysis.excess_kurtosis));
  EXPECT_TRUE(std::isfinite(analysis.max_over_sd));
  for (const GridAnalysis& grid : analysis.grids) {
    EXPECT_TRUE(std::isfinite(grid.entropy) && std::isfinite(grid.snr_db)) << grid.grid;
    EXPECT_TRUE(std::isfinite(grid.coded) && std::isfinite(grid.ecq)) << grid.grid;
  }
}

TEST(WeightAnalysisTest, DegenerateMatrices) {
  ThreadPool pool(1);
  std::vector<float> weights(65 * 70, 0.0f);
  const auto analyze = [&](uint32_t rows, uint32_t cols) {
    const auto analysis = AnalyzeWeights({weights.data(), rows, cols}, pool);
    ASSERT_TRUE(analysis.ok()) << analysis.error().message;
    ExpectFinite(*analysis);
  };
  analyze(65, 70);  // zeros
  std::fill(weights.begin(), weights.end(), 0.5f);
  analyze(65, 70);
  analyze(1, 1);
  weights[17] = 1e6f;  // one weight is everything
  analyze(65, 70);
  weights[17] = 1e-30f;
  analyze(65, 70);
}

TEST(WeightAnalysisTest, RefusesWeightsThatAreNotFinite) {
  ThreadPool pool(1);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> weights(64, 1.0f);
    weights[40] = bad;
    const auto analysis = AnalyzeWeights({weights.data(), 2, 32}, pool);
    ASSERT_FALSE(analysis.ok());
    EXPECT_EQ(analysis.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(SyntheticWeightsTest, UnitVarianceAndTheSameForAnyThreads) {
  ThreadPool one(1);
  ThreadPool three(3);
  for (const std::string_view name : {"gaussian", "laplace", "student5"}) {
    const auto kind = SyntheticKindFromName(name);
    ASSERT_TRUE(kind);
    const auto a = MakeSyntheticWeights(*kind, 100, 4096, 5, one);
    const auto b = MakeSyntheticWeights(*kind, 100, 4096, 5, three);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin(), b.end())) << name;
    double sum = 0;
    double squares = 0;
    for (const float w : a) {
      sum += w;
      squares += double{w} * w;
    }
    EXPECT_NEAR(sum / static_cast<double>(a.size()), 0, 0.01) << name;
    EXPECT_NEAR(squares / static_cast<double>(a.size()), 1, 0.02) << name;
  }
  EXPECT_FALSE(SyntheticKindFromName("cauchy"));
}

}  // namespace
}  // namespace ecq

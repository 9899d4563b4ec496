// The window quantizer: distance to the rate-distortion bound, exactness of the search, edges.
#include "ecq/quant/window_quantizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "ecq/base/cpu_target.h"
#include "ecq/base/rng.h"
#include "ecq/portable/layout.h"
#include "ecq/quant/window_search.h"
#include "ecq/quant/window_tables.h"

namespace ecq {
namespace {

std::vector<float> GaussianMatrix(size_t size, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> weights(size);
  for (float& w : weights) w = static_cast<float>(rng.Gaussian());
  return weights;
}

// Mean squared error of the dequantized matrix over the mean square of the weights.
double RelativeSquaredError(const std::vector<float>& weights, const QuantizedTensor& quantized) {
  std::vector<float> row(quantized.cols);
  double error = 0;
  double energy = 0;
  for (uint32_t r = 0; r < quantized.rows; ++r) {
    quantized.DequantizeRow(r, row.data());
    for (uint32_t c = 0; c < quantized.cols; ++c) {
      const double w = weights[size_t{r} * quantized.cols + c];
      error += (w - row[c]) * (w - row[c]);
      energy += w * w;
    }
  }
  return error / energy;
}

// Every level is what the definition makes of its code.
void ExpectLevelsMatchCodes(const QuantizedTensor& q) {
  const uint32_t tuples = WindowCodes::TuplesPerRow(q.cols);
  for (uint32_t r = 0; r < q.rows; ++r) {
    for (uint32_t c = 0; c < q.cols; ++c) {
      size_t span = 0;
      while (q.span_ends[span] <= c) ++span;
      const size_t at = size_t{r} * tuples + c / kTupleCols;
      const bool has_above = q.window->has_memory && r % kMaxLanes != 0;
      const WindowTuple tuple =
          DecodeTuple(q.window->tables[span], {q.window->bytes[at], q.window->raw[at]},
                      has_above ? q.window->bytes[at - tuples] : 0);
      ASSERT_EQ(WeightOf(tuple, c % kTupleCols), q.levels[size_t{r} * q.cols + c]) << r << ' ' << c;
    }
  }
}

struct Gap {
  double bpw;
  bool has_memory;
  double most;  // bits above the rate-distortion bound of a Gaussian
};

class WindowGapTest : public testing::TestWithParam<Gap> {};

TEST_P(WindowGapTest, GaussianIsNearTheBound) {
  constexpr uint32_t kRows = 256;
  constexpr uint32_t kCols = 1024;
  const std::vector<float> weights = GaussianMatrix(size_t{kRows} * kCols, 7);
  ThreadPool pool(2);
  const double with_scales = GetParam().bpw + 16.0 / kCols;
  const auto q =
      QuantizeWindow({weights.data(), kRows, kCols}, {with_scales, GetParam().has_memory}, pool);
  ASSERT_TRUE(q.ok()) << q.error().message;
  const double gap = GetParam().bpw + 0.5 * std::log2(RelativeSquaredError(weights, *q));
  EXPECT_LT(gap, GetParam().most);
  EXPECT_GT(gap, 0.08);
  EXPECT_LT(q->fixes.size(), weights.size() / 2000);
  ExpectLevelsMatchCodes(*q);
}

INSTANTIATE_TEST_SUITE_P(
    Rates, WindowGapTest,
    testing::Values(Gap{2, true, 0.19}, Gap{2.5, true, 0.21}, Gap{3, true, 0.27},
                    Gap{4, true, 0.36}, Gap{2, false, 0.33}, Gap{2.5, false, 0.36},
                    Gap{3, false, 0.40}, Gap{4, false, 0.56}, Gap{3.5, true, 0.30},
                    Gap{3.5, false, 0.46}, Gap{1, true, 0.13}, Gap{1.5, true, 0.17},
                    Gap{1, false, 0.24}, Gap{1.5, false, 0.30}, Gap{3.25, true, 0.34}));

TEST(WindowQuantizerTest, MixedRatesMeetTheBudget) {
  constexpr uint32_t kRows = 40;
  constexpr uint32_t kCols = 1000;
  const std::vector<float> weights = GaussianMatrix(size_t{kRows} * kCols, 3);
  ThreadPool pool(2);
  const auto q = QuantizeWindow({weights.data(), kRows, kCols}, {2.8, true}, pool);
  ASSERT_TRUE(q.ok());
  ASSERT_EQ(q->span_ends.size(), 2u);
  EXPECT_EQ(q->span_ends[0] % kWindowGroupCols, 0u);
  EXPECT_EQ(q->span_ends[1], kCols);
  double bits = 16;
  uint32_t begin = 0;
  for (size_t s = 0; s < 2; ++s) {
    const double groups = std::ceil((q->span_ends[s] - begin) / 32.0);
    const WindowTable& table = q->window->tables[s];
    bits += groups * 32 * (table.code_bits + table.raw_bits) / 4.0;
    begin = q->span_ends[s];
  }
  EXPECT_LE(bits / kCols, 2.8);
  EXPECT_GT(bits / kCols, 2.8 - 32 * 0.5 / kCols);
  ExpectLevelsMatchCodes(*q);
}

// The Viterbi search finds what trying all pairs of bytes finds.
TEST(WindowSearchTest, TwoRowsAgreeWithExhaustiveSearch) {
  Rng rng(5);
  for (size_t rate = 0; rate < kWindowRates.size(); ++rate) {
    const WindowTable& table = GaussianWindowTable(rate, true);
    WindowSearch search(WindowCodebook::Of(table, 1), true);
    WeightTuple tuples[2];
    for (WeightTuple& tuple : tuples) {
      for (float& w : tuple.w) w = static_cast<float>(40 * rng.Gaussian());
    }
    const auto error_of = [&](uint32_t row, TupleCode code, uint32_t above) {
      const WindowTuple levels = DecodeTuple(table, code, above);
      double error = 0;
      for (uint32_t j = 0; j < kTupleCols; ++j) {
        const double difference = tuples[row].w[j] - WeightOf(levels, j);
        error += difference * difference;
      }
      return error;
    };
    const auto best_raw = [&](uint32_t row, uint32_t n, uint32_t above) {
      double best = std::numeric_limits<double>::infinity();
      for (uint32_t raw = 0; raw < 1u << table.raw_bits; ++raw) {
        best = std::min(best,
                        error_of(row, {static_cast<uint8_t>(n), static_cast<uint8_t>(raw)}, above));
      }
      return best;
    };
    double best_second[16];
    for (uint32_t above = 0; above < 16; ++above) {
      best_second[above] = std::numeric_limits<double>::infinity();
      for (uint32_t n = 0; n < 1u << table.code_bits; ++n) {
        best_second[above] = std::min(best_second[above], best_raw(1, n, above));
      }
    }
    double best = std::numeric_limits<double>::infinity();
    for (uint32_t n = 0; n < 1u << table.code_bits; ++n) {
      best = std::min(best, best_raw(0, n, 0) + best_second[n % 16]);
    }
    TupleCode codes[2];
    const double found = search.Find(tuples, 2, codes);
    EXPECT_NEAR(found, best, 1e-3 * best + 1e-2) << rate;
    EXPECT_NEAR(error_of(0, codes[0], 0) + error_of(1, codes[1], codes[0].byte), best,
                1e-3 * best + 1e-2)
        << rate;
  }
}

TupleMetric RandomMetric(Rng& rng) {
  TupleMetric metric = {};
  float root[kTupleCols][kTupleCols];
  for (auto& row : root) {
    for (float& x : row) x = static_cast<float>(rng.Gaussian());
  }
  for (uint32_t a = 0; a < kTupleCols; ++a) {
    for (uint32_t b = 0; b < kTupleCols; ++b) {
      for (uint32_t k = 0; k < kTupleCols; ++k) metric.m[a][b] += root[a][k] * root[b][k] / 4;
    }
    metric.m[a][a] += 0.1f;
  }
  return metric;
}

// With a metric: what Find() says its codes cost is what they cost, which is less than what codes
// found without it do; where no raw bit is a sign of one weight, the first row of a code without
// memory has the best code there is.
TEST(WindowSearchTest, MetricDecidesWhatIsNear) {
  Rng rng(17);
  for (const bool has_memory : {false, true}) {
    for (size_t rate = 0; rate < kWindowRates.size(); ++rate) {
      const WindowTable& table = GaussianWindowTable(rate, has_memory);
      const WindowCodebook codebook = WindowCodebook::Of(table, 1 / kWindowLevelsPerSigma);
      const TupleMetric metric = RandomMetric(rng);
      WeightTuple tuples[kMaxLanes];
      for (WeightTuple& tuple : tuples) {
        for (float& w : tuple.w) w = static_cast<float>(rng.Gaussian());
      }
      const auto cost_of = [&](uint32_t row, TupleCode code, uint32_t above) {
        const WindowTuple levels = DecodeTuple(table, code, above);
        double cost = 0;
        float e[kTupleCols];
        for (uint32_t j = 0; j < kTupleCols; ++j) {
          e[j] = tuples[row].w[j] - static_cast<float>(WeightOf(levels, j)) / kWindowLevelsPerSigma;
        }
        for (uint32_t a = 0; a < kTupleCols; ++a) {
          for (uint32_t b = 0; b < kTupleCols; ++b) cost += e[a] * metric.m[a][b] * e[b];
        }
        return cost;
      };
      const auto cost_of_all = [&](const TupleCode* codes) {
        double cost = 0;
        for (uint32_t row = 0; row < kMaxLanes; ++row) {
          cost += cost_of(row, codes[row], has_memory && row > 0 ? codes[row - 1].byte : 0);
        }
        return cost;
      };
      TupleCode plain[kMaxLanes];
      TupleCode codes[kMaxLanes];
      WindowSearch search(codebook, has_memory);
      search.Find(tuples, kMaxLanes, plain);
      search.SetMetric(metric);
      const double found = search.Find(tuples, kMaxLanes, codes);
      EXPECT_NEAR(found, cost_of_all(codes), 1e-3 * found + 1e-4) << rate;
      EXPECT_LT(found, 0.95 * cost_of_all(plain)) << rate;
      if (has_memory || table.raw_bits > 2) continue;
      for (uint32_t row = 0; row < kMaxLanes; ++row) {
        double best = std::numeric_limits<double>::infinity();
        for (uint32_t code = 0; code < 1u << (table.code_bits + table.raw_bits); ++code) {
          const TupleCode split = {static_cast<uint8_t>(code >> table.raw_bits),
                                   static_cast<uint8_t>(code & ((1u << table.raw_bits) - 1))};
          best = std::min(best, cost_of(row, split, 0));
        }
        EXPECT_NEAR(cost_of(row, codes[row], 0), best, 1e-3 * best + 1e-4) << rate;
      }
    }
  }
}

TEST(WindowSearchTest, TargetsFindEquallyGoodCodes) {
  const CpuTarget before = ActiveCpuTarget();
  Rng rng(9);
  const TupleMetric metric = RandomMetric(rng);
  WeightTuple tuples[kMaxLanes];
  for (WeightTuple& tuple : tuples) {
    for (float& w : tuple.w) w = static_cast<float>(rng.Gaussian());
  }
  for (size_t rate = 0; rate < kWindowRates.size(); ++rate) {
    double reference = -1;
    double with_metric = -1;
    for (const CpuTarget target : kAllCpuTargets) {
      if (!CpuTargetSupported(target)) continue;
      ASSERT_TRUE(SetActiveCpuTarget(target).ok());
      WindowSearch search(
          WindowCodebook::Of(GaussianWindowTable(rate, true), 1 / kWindowLevelsPerSigma), true);
      TupleCode codes[kMaxLanes];
      const double error = search.Find(tuples, kMaxLanes, codes);
      if (reference < 0) reference = error;
      EXPECT_NEAR(error, reference, 1e-4 * reference);
      search.SetMetric(metric);
      const double cost = search.Find(tuples, kMaxLanes, codes);
      if (with_metric < 0) with_metric = cost;
      EXPECT_NEAR(cost, with_metric, 1e-3 * with_metric);
    }
  }
  ASSERT_TRUE(SetActiveCpuTarget(before).ok());
}

TEST(WindowQuantizerTest, ZeroRowsAndOutliers) {
  constexpr uint32_t kRows = 33;
  constexpr uint32_t kCols = 61;
  std::vector<float> weights = GaussianMatrix(size_t{kRows} * kCols, 11);
  for (uint32_t c = 0; c < kCols; ++c) weights[5 * kCols + c] = 0;
  weights[7 * kCols + 9] = 1000;
  ThreadPool pool(2);
  const auto q = QuantizeWindow({weights.data(), kRows, kCols}, {4, true}, pool);
  ASSERT_TRUE(q.ok()) << q.error().message;
  std::vector<float> row(kCols);
  q->DequantizeRow(5, row.data());
  for (const float w : row) EXPECT_EQ(w, 0);
  q->DequantizeRow(7, row.data());
  EXPECT_NEAR(row[9], 1000, 1);
  EXPECT_LT(RelativeSquaredError(weights, *q), 1e-4);
}

TEST(WindowQuantizerTest, RefusesWhatItCannotDo) {
  std::vector<float> weights = GaussianMatrix(64 * 64, 1);
  ThreadPool pool(1);
  const WeightView view{weights.data(), 64, 64};
  EXPECT_EQ(QuantizeWindow(view, {1.2, true}, pool).error().code, ErrorCode::kInvalidArgument);
  weights[17] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(QuantizeWindow(view, {3, true}, pool).error().code, ErrorCode::kInvalidArgument);
}

// Threads change nothing.
TEST(WindowQuantizerTest, DeterministicOverThreads) {
  const std::vector<float> weights = GaussianMatrix(100 * 96, 21);
  ThreadPool one(1);
  ThreadPool three(3);
  const auto a = QuantizeWindow({weights.data(), 100, 96}, {3.3, true}, one);
  const auto b = QuantizeWindow({weights.data(), 100, 96}, {3.3, true}, three);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->window->bytes, b->window->bytes);
  EXPECT_EQ(a->window->raw, b->window->raw);
  EXPECT_EQ(a->scales, b->scales);
  EXPECT_EQ(a->fixes, b->fixes);
}

}  // namespace
}  // namespace ecq

// Window codes by successive quantization: distance to the waterfilling bound, budgets, outliers.
#include "ecq/quant/window_successive.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <set>

#include "ecq/quant/moments_for_test.h"
#include "ecq/quant/window_column_coder.h"
#include "ecq/quant/window_quantizer.h"
#include "ecq/quant/window_tables.h"

namespace ecq {
namespace {

QuantizedTensor Quantize(const TestMatrix& m, const InputMoments& moments,
                         SuccessiveWindowOptions options, size_t threads = 2) {
  options.pays_for_tables = false;
  ThreadPool pool(threads);
  auto quantized = QuantizeWindowSuccessive(m.view(), moments, options, "w", pool);
  EXPECT_TRUE(quantized.ok()) << quantized.error().message;
  return std::move(quantized).value();
}

std::vector<float> Dequantized(const QuantizedTensor& q) {
  std::vector<float> weights(q.levels.size());
  for (uint32_t r = 0; r < q.rows; ++r) q.DequantizeRow(r, weights.data() + size_t{r} * q.cols);
  return weights;
}

double ErrorOf(const TestMatrix& m, const InputMoments& moments, const QuantizedTensor& q) {
  return WeightedError(moments, m.w, Dequantized(q));
}

// Error over that of a matrix of zeros.
double RelativeError(const TestMatrix& m, const InputMoments& moments, const QuantizedTensor& q) {
  return ErrorOf(m, moments, q) / WeightedError(moments, m.w, std::vector<float>(m.w.size(), 0.0f));
}

// Bits a weight of the codes alone, and of what fixes take.
double CodeBits(const QuantizedTensor& q) {
  double bits = 0;
  uint32_t begin = 0;
  for (size_t s = 0; s < q.span_ends.size(); ++s) {
    const WindowTable& table = q.window->tables[s];
    const double groups = std::ceil((q.span_ends[s] - begin) / double{kWindowGroupCols});
    bits += groups * kWindowGroupCols * (table.code_bits + table.raw_bits) / kTupleCols;
    begin = q.span_ends[s];
  }
  return bits / q.cols +
         kFixBits * static_cast<double>(q.fixes.size()) / (double{1} * q.rows * q.cols);
}

// Every level is what the definition makes of its code; the columns are a permutation.
void ExpectConsistent(const QuantizedTensor& q) {
  const uint32_t tuples = WindowCodes::TuplesPerRow(q.cols);
  for (uint32_t r = 0; r < q.rows; ++r) {
    for (uint32_t c = 0; c < q.cols; ++c) {
      size_t span = 0;
      while (q.span_ends[span] <= c) ++span;
      const size_t at = size_t{r} * tuples + c / kTupleCols;
      const bool has_above = q.window->has_memory && r % 32 != 0;
      const WindowTuple tuple =
          DecodeTuple(q.window->tables[span], {q.window->bytes[at], q.window->raw[at]},
                      has_above ? q.window->bytes[at - tuples] : 0);
      ASSERT_EQ(WeightOf(tuple, c % kTupleCols), q.levels[size_t{r} * q.cols + c]) << r << ' ' << c;
    }
  }
  EXPECT_EQ(std::set<uint32_t>(q.col_order.begin(), q.col_order.end()).size(), q.cols);
  uint32_t begin = 0;
  for (const uint32_t end : q.span_ends) {
    EXPECT_EQ(begin % kWindowGroupCols, 0u);
    EXPECT_TRUE(std::is_sorted(q.col_order.begin() + begin, q.col_order.begin() + end));
    begin = end;
  }
  EXPECT_EQ(begin, q.cols);
}

// The eigenvalues of a symmetric matrix, by Jacobi's rotations.
std::vector<double> Eigenvalues(const InputMoments& moments) {
  const size_t n = moments.cols;
  std::vector<double> a(moments.sums.data(), moments.sums.data() + n * n);
  constexpr int kSweeps = 10;
  constexpr double kNegligible = 1e-7;
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (size_t p = 0; p < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) {
        const double off = a[p * n + q];
        if (std::abs(off) < kNegligible * std::sqrt(a[p * n + p] * a[q * n + q])) continue;
        const double theta = (a[q * n + q] - a[p * n + p]) / (2 * off);
        const double t = std::copysign(1, theta) / (std::abs(theta) + std::hypot(theta, 1));
        const double c = 1 / std::hypot(t, 1);
        const double s = t * c;
        for (size_t k = 0; k < n; ++k) {
          const double x = a[p * n + k];
          const double y = a[q * n + k];
          a[p * n + k] = c * x - s * y;
          a[q * n + k] = s * x + c * y;
        }
        for (size_t k = 0; k < n; ++k) {
          const double x = a[k * n + p];
          const double y = a[k * n + q];
          a[k * n + p] = c * x - s * y;
          a[k * n + q] = s * x + c * y;
        }
      }
    }
  }
  std::vector<double> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = a[i * (n + 1)];
  return values;
}

// The rate at which Gaussian weights of variance 1 have at best this mean squared error: reverse
// waterfilling over the eigenvalues of the moments.
double WaterfillingRate(const std::vector<double>& eigenvalues, double error) {
  const double count = static_cast<double>(eigenvalues.size());
  double low = -100;  // log2 of the water level
  double high = 100;
  for (int step = 0; step < 100; ++step) {
    const double level = std::exp2((low + high) / 2);
    double sum = 0;
    for (const double value : eigenvalues) sum += std::min(level, value) / count;
    (sum < error ? low : high) = (low + high) / 2;
  }
  double rate = 0;
  for (const double value : eigenvalues)
    rate += std::max(0.0, (std::log2(value) - low) / 2) / count;
  return rate;
}

struct Gap {
  double bpw;
  bool has_memory;
  double most;  // bits of codes and fixes above the bound
};

void ExpectGaps(uint32_t rows, uint32_t cols, const std::vector<Gap>& gaps) {
  const TestMatrix m = GaussianMatrix(1, rows, cols);
  const InputMoments moments = CorrelatedMoments(2, cols, 0.7, 0.5, cols);
  const std::vector<double> eigenvalues = Eigenvalues(moments);
  for (const auto& [bpw, has_memory, most] : gaps) {
    const QuantizedTensor q = Quantize(m, moments, {.bpw = bpw, .has_memory = has_memory});
    const double error = ErrorOf(m, moments, q) / static_cast<double>(m.w.size());
    const double gap = CodeBits(q) - WaterfillingRate(eigenvalues, error);
    std::printf("%.2f bpw, window %d: %.3f bit\n", bpw, has_memory ? 12 : 8, gap);
    EXPECT_LT(gap, most);
    EXPECT_GT(gap, 0.1);
  }
}

TEST(SuccessiveWindowTest, IsNearTheWaterfillingBound) {
  ExpectGaps(256, 128,
             {{2.2, false, 0.38}, {3.2, false, 0.46}, {2.2, true, 0.25}, {3.2, true, 0.32}});
}

// Prints the table of docs/experiments/calibrated.md.
TEST(SuccessiveWindowTest, DISABLED_GapsOfTheLabBook) {
  ExpectGaps(1024, 512,
             {{2, false, 0.35},
              {2.5, false, 0.38},
              {3, false, 0.42},
              {3.5, false, 0.50},
              {2, true, 0.22},
              {2.5, true, 0.235},
              {3, true, 0.27},
              {3.5, true, 0.34}});
}

TEST(SuccessiveWindowTest, WithoutCorrelationIsAsGoodAsDataFree) {
  const TestMatrix m = GaussianMatrix(5, 256, 512);
  const InputMoments moments = IdentityMoments(512);
  ThreadPool pool(2);
  for (const double rate : {2.0, 3.0}) {
    const auto plain = QuantizeWindow(m.view(), {.bpw = rate + 16.0 / 512, .rotate = false}, pool);
    ASSERT_TRUE(plain.ok());
    const double side = 16.0 / 512 + 20.0 / 256 + 0.004;
    const QuantizedTensor q = Quantize(m, moments, {.bpw = rate + side, .use_fixes = false});
    EXPECT_NEAR(CodeBits(q), rate, 0.002);
    EXPECT_NEAR(ErrorOf(m, moments, q) / ErrorOf(m, moments, *plain), 1, 0.02) << rate;
    ExpectConsistent(q);
  }
}

TEST(SuccessiveWindowTest, BeatsDataFreeWhereInputsCorrelate) {
  const TestMatrix m = GaussianMatrix(6, 512, 256, 0.4);
  const InputMoments moments = CorrelatedMoments(7, 256, 0.7, 0.5);
  ThreadPool pool(2);
  for (const bool has_memory : {false, true}) {
    const auto plain = QuantizeWindow(m.view(), {.bpw = 3, .has_memory = has_memory}, pool);
    ASSERT_TRUE(plain.ok());
    const QuantizedTensor q = Quantize(m, moments, {.bpw = 3, .has_memory = has_memory});
    EXPECT_LT(ErrorOf(m, moments, q), 0.75 * ErrorOf(m, moments, *plain));
  }
}

TEST(SuccessiveWindowTest, TheDiagonalAloneHelps) {
  const TestMatrix m = GaussianMatrix(16, 256, 256);
  const InputMoments moments = CorrelatedMoments(17, 256, 0.7, 0.5);
  ThreadPool pool(2);
  const auto plain = QuantizeWindow(m.view(), {.bpw = 3}, pool);
  ASSERT_TRUE(plain.ok());
  SuccessiveWindowOptions options = {.bpw = 3};
  options.factor.diagonal_only = true;
  const QuantizedTensor diagonal = Quantize(m, moments, options);
  ExpectConsistent(diagonal);
  const double error = ErrorOf(m, moments, diagonal);
  EXPECT_LT(error, 0.95 * ErrorOf(m, moments, *plain));
  EXPECT_GT(error, ErrorOf(m, moments, Quantize(m, moments, {.bpw = 3})));
}

TEST(SuccessiveWindowTest, ErrorFallsWithRate) {
  const TestMatrix m = GaussianMatrix(8, 128, 256);
  const InputMoments moments = CorrelatedMoments(9, 256, 1.2, 0.5);
  double before = 1;
  for (double bpw = 1.5; bpw <= 4; bpw += 0.25) {
    const double error = RelativeError(m, moments, Quantize(m, moments, {.bpw = bpw}));
    EXPECT_LT(error, before) << bpw;
    before = error;
  }
}

TEST(SuccessiveWindowTest, ThreadsChangeNothing) {
  const TestMatrix m = GaussianMatrix(10, 200, 160, 0.5);
  const InputMoments moments = CorrelatedMoments(11, 160, 0.7, 0.5);
  const QuantizedTensor one = Quantize(m, moments, {.bpw = 3}, 1);
  ExpectConsistent(one);
  for (const size_t threads : {2, 3}) {
    const QuantizedTensor other = Quantize(m, moments, {.bpw = 3}, threads);
    EXPECT_EQ(one.window->bytes, other.window->bytes);
    EXPECT_EQ(one.window->raw, other.window->raw);
    EXPECT_EQ(one.levels, other.levels);
    EXPECT_EQ(one.col_scales, other.col_scales);
    EXPECT_EQ(one.scales, other.scales);
    EXPECT_EQ(one.fixes, other.fixes);
  }
}

TEST(SuccessiveWindowTest, OutliersCostLittle) {
  TestMatrix m = GaussianMatrix(12, 256, 192);
  const InputMoments moments = CorrelatedMoments(13, 192, 0.7, 0.5);
  const double without = ErrorOf(m, moments, Quantize(m, moments, {.bpw = 3}));
  for (uint32_t i = 0; i < 12; ++i) m.w[i * 3989] = i % 2 == 0 ? 30.0f : -300.0f;
  const QuantizedTensor q = Quantize(m, moments, {.bpw = 3});
  EXPECT_LT(ErrorOf(m, moments, q), 1.15 * without);
  EXPECT_GE(q.fixes.size(), 12u);
  EXPECT_TRUE(std::is_sorted(q.fixes.begin(), q.fixes.end(), [](const Fix& a, const Fix& b) {
    return std::pair(a.row, a.col) < std::pair(b.row, b.col);
  }));
  const QuantizedTensor unfixed = Quantize(m, moments, {.bpw = 3, .use_fixes = false});
  EXPECT_TRUE(unfixed.fixes.empty());
  EXPECT_GT(ErrorOf(m, moments, unfixed), 2 * ErrorOf(m, moments, q));
}

// A column of large weights, and inputs that are large in one channel, only change the scales.
TEST(SuccessiveWindowTest, OutlierColumnsCostLittle) {
  TestMatrix m = GaussianMatrix(14, 256, 192);
  InputMoments moments = CorrelatedMoments(15, 192, 0.7, 0.5);
  const double without = RelativeError(m, moments, Quantize(m, moments, {.bpw = 3.5}));
  for (uint32_t r = 0; r < m.rows; ++r) m.w[r * 192 + 77] *= 1000;
  for (uint32_t k = 0; k < 192; ++k) {
    moments.sums[k * 192 + 5] *= 100;
    moments.sums[5 * 192 + k] *= 100;
  }
  const QuantizedTensor q = Quantize(m, moments, {.bpw = 3.5});
  ExpectConsistent(q);
  EXPECT_LT(RelativeError(m, moments, q), without);
  const auto place = std::find(q.col_order.begin(), q.col_order.end(), 77u) - q.col_order.begin();
  EXPECT_LT(place, q.span_ends[0]);
}

TEST(SuccessiveWindowTest, OddShapes) {
  for (const auto& [rows, cols] : std::vector<std::pair<uint32_t, uint32_t>>{
           {1, 64}, {31, 33}, {33, 61}, {70, 130}, {64, 4}, {100, 3}, {40, 1}}) {
    const TestMatrix m = GaussianMatrix(rows, rows, cols);
    const InputMoments moments = CorrelatedMoments(cols, cols, 0.7, 0.3);
    for (const bool has_memory : {false, true}) {
      // Codes fill groups of 32 columns, and small matrices have many scales.
      const double bpw = 4.0 * 32 * std::ceil(cols / 32.0) / cols + 16.0 / cols + 24.0 / rows + 10;
      const QuantizedTensor q = Quantize(m, moments, {.bpw = bpw, .has_memory = has_memory});
      ExpectConsistent(q);
      EXPECT_LT(RelativeError(m, moments, q), 0.02) << rows << " x " << cols;
    }
  }
}

TEST(SuccessiveWindowTest, ZeroRowsAndColumnsStayZero) {
  TestMatrix m = GaussianMatrix(20, 64, 96);
  for (uint32_t c = 0; c < 96; ++c) m.w[7 * 96 + c] = m.w[8 * 96 + c] = 0;
  m.w[8 * 96 + 20] = 2;  // alone
  for (uint32_t r = 0; r < 64; ++r) m.w[r * 96 + 40] = 0;
  // Without correlation a zero column has no errors to correct.
  const QuantizedTensor q = Quantize(m, IdentityMoments(96), {.bpw = 4});
  const std::vector<float> weights = Dequantized(q);
  for (uint32_t c = 0; c < 96; ++c) EXPECT_EQ(weights[7 * 96 + c], 0);
  EXPECT_NEAR(weights[8 * 96 + 20], 2, 0.1);
  for (uint32_t r = 0; r < 64; ++r) EXPECT_EQ(weights[r * 96 + 40], 0);
  TestMatrix zeros = GaussianMatrix(1, 40, 64);
  std::fill(zeros.w.begin(), zeros.w.end(), 0.0f);
  const std::vector<float> nothing = Dequantized(Quantize(zeros, IdentityMoments(64), {.bpw = 4}));
  EXPECT_EQ(nothing, zeros.w);
}

TEST(SuccessiveWindowTest, RefusesWhatItCannotDo) {
  TestMatrix m = GaussianMatrix(1, 64, 64);
  const InputMoments moments = IdentityMoments(64);
  ThreadPool pool(1);
  const auto low = QuantizeWindowSuccessive(m.view(), moments, {.bpw = 1.2}, "w", pool);
  ASSERT_FALSE(low.ok());
  EXPECT_EQ(low.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(low.error().message.rfind("w: the window code takes at least 1.", 0), 0u)
      << low.error().message;
  InputMoments damaged = IdentityMoments(64);
  damaged.sums[65] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(QuantizeWindowSuccessive(m.view(), damaged, {.bpw = 4}, "w", pool).ok());
  m.w[17] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(QuantizeWindowSuccessive(m.view(), moments, {.bpw = 4}, "w", pool).ok());
}

}  // namespace
}  // namespace ecq

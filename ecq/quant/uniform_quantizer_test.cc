// The uniform quantizer: nearest integers, best scales, distortion from both sides, rate control.
#include "ecq/quant/uniform_quantizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "ecq/base/half.h"
#include "ecq/base/rng.h"

namespace ecq {
namespace {

struct Matrix {
  uint32_t rows;
  uint32_t cols;
  std::vector<float> w;

  WeightView view() const { return {w.data(), rows, cols}; }
};

Matrix Filled(uint32_t rows, uint32_t cols, const std::function<double(size_t)>& value) {
  Matrix m{rows, cols, std::vector<float>(size_t{rows} * cols)};
  for (size_t i = 0; i < m.w.size(); ++i) m.w[i] = static_cast<float>(value(i));
  return m;
}

Matrix Gaussian(uint64_t seed, uint32_t rows, uint32_t cols, double sigma = 1) {
  Rng rng(seed);
  return Filled(rows, cols, [&](size_t) { return sigma * rng.Gaussian(); });
}

// Row r is larger than row 0 by factor^(r mod 4).
Matrix UnequalRows(uint64_t seed, uint32_t rows, uint32_t cols, double factor) {
  Rng rng(seed);
  return Filled(rows, cols,
                [&](size_t i) { return std::pow(factor, i / cols % 4) * rng.Gaussian(); });
}

UniformQuantizer MustCreate(const Matrix& m) {
  ThreadPool pool(1);
  auto quantizer = UniformQuantizer::Create(m.view(), pool);
  EXPECT_TRUE(quantizer.ok()) << quantizer.error().message;
  return std::move(quantizer).value();
}

QuantizedTensor MustQuantize(const Matrix& m, double relative_step, size_t threads = 1) {
  ThreadPool pool(threads);
  auto tensor = MustCreate(m).Quantize(relative_step, pool);
  EXPECT_TRUE(tensor.ok()) << tensor.error().message;
  return std::move(tensor).value();
}

float RowRms(const Matrix& m, uint32_t row) {
  double sum = 0;
  for (uint32_t c = 0; c < m.cols; ++c) sum += std::pow(double{m.w[size_t{row} * m.cols + c]}, 2);
  return static_cast<float>(std::sqrt(sum / m.cols));
}

// The step of a row: relative to its own rms or to that of the matrix.
float StepOf(const Matrix& m, const QuantizedTensor& t, uint32_t row, double relative_step) {
  if (t.scale_kind == ScaleKind::kRow) return static_cast<float>(relative_step * RowRms(m, row));
  double sum = 0;
  for (uint32_t r = 0; r < m.rows; ++r) sum += std::pow(double{RowRms(m, r)}, 2);
  return static_cast<float>(relative_step * static_cast<float>(std::sqrt(sum / m.rows)));
}

std::vector<int32_t> Integers(const QuantizedTensor& t) {
  std::vector<int32_t> integers(t.levels.begin(), t.levels.end());
  for (const Fix& fix : t.fixes) integers[size_t{fix.row} * t.cols + fix.col] += fix.delta;
  return integers;
}

double SquaredError(const Matrix& m, const QuantizedTensor& t, double gain = 1) {
  std::vector<float> row(m.cols);
  double sum = 0;
  for (uint32_t r = 0; r < m.rows; ++r) {
    t.DequantizeRow(r, row.data());
    for (uint32_t c = 0; c < m.cols; ++c) {
      sum += std::pow(gain * row[c] - m.w[size_t{r} * m.cols + c], 2);
    }
  }
  return sum;
}

double EntropyBits(const LevelCounts& counts) {
  double total = 0;
  for (const uint64_t c : counts) total += static_cast<double>(c);
  double bits = 0;
  for (const uint64_t c : counts) {
    if (c > 0) bits -= static_cast<double>(c) * std::log2(static_cast<double>(c) / total);
  }
  return bits;
}

TEST(UniformQuantizerTest, IntegersAreTheNearest) {
  for (const Matrix& m : {Gaussian(81, 70, 130), UnequalRows(82, 70, 130, 5)}) {
    for (const double relative_step : {0.05, 0.3, 1.0, 3.0}) {
      const QuantizedTensor t = MustQuantize(m, relative_step);
      const std::vector<int32_t> integers = Integers(t);
      for (uint32_t r = 0; r < m.rows; ++r) {
        const double step = StepOf(m, t, r, relative_step);
        for (uint32_t c = 0; c < m.cols; ++c) {
          const size_t i = size_t{r} * m.cols + c;
          // w / step is rounded to f32 before it is rounded to an integer.
          ASSERT_LE(std::abs(m.w[i] / step - integers[i]), 0.5 + 1e-4) << r << ' ' << c;
        }
      }
    }
  }
}

TEST(UniformQuantizerTest, QuantizingTheResultChangesNothing) {
  const Matrix m = Gaussian(83, 64, 256);
  const QuantizedTensor t = MustQuantize(m, 0.3);
  Matrix again{m.rows, m.cols, std::vector<float>(m.w.size())};
  for (uint32_t r = 0; r < m.rows; ++r) t.DequantizeRow(r, again.w.data() + size_t{r} * m.cols);
  // The same step in absolute terms.
  const double relative = t.ScaleAt(0, 0) / StepOf(again, t, 0, 1.0);
  EXPECT_EQ(MustQuantize(again, relative).levels, t.levels);
}

TEST(UniformQuantizerTest, ScalesMinimiseTheSquaredError) {
  for (const Matrix& m : {Gaussian(84, 32, 512), UnequalRows(85, 32, 512, 10)}) {
    for (const double relative_step : {0.2, 1.0, 2.0}) {
      const QuantizedTensor t = MustQuantize(m, relative_step);
      const double error = SquaredError(m, t);
      // Half scales are within 2^-11 of the best one; 1 % away it must be worse.
      EXPECT_GT(SquaredError(m, t, 1.01), error) << relative_step;
      EXPECT_GT(SquaredError(m, t, 0.99), error) << relative_step;
    }
  }
}

TEST(UniformQuantizerTest, ChoosesRowScalesWhereTheyPay) {
  EXPECT_EQ(MustCreate(Gaussian(86, 100, 576)).scale_kind(), ScaleKind::kTensor);
  EXPECT_EQ(MustCreate(UnequalRows(87, 100, 576, 3)).scale_kind(), ScaleKind::kRow);
  EXPECT_EQ(MustCreate(UnequalRows(88, 100, 8, 1.2)).scale_kind(), ScaleKind::kTensor);
  EXPECT_EQ(MustCreate(Gaussian(89, 1, 576)).scale_kind(), ScaleKind::kTensor);
  EXPECT_EQ(MustCreate(UnequalRows(87, 100, 576, 3)).scale_bytes(), 200u);
  EXPECT_EQ(MustCreate(Gaussian(86, 100, 576)).scale_bytes(), 2u);
}

TEST(UniformQuantizerTest, ZeroRowsAndMatricesStayZero) {
  Matrix m = UnequalRows(90, 20, 300, 4);
  std::fill_n(m.w.begin() + 300 * 7, 300, 0.0f);
  const QuantizedTensor t = MustQuantize(m, 0.5);
  std::vector<float> row(300);
  t.DequantizeRow(7, row.data());
  EXPECT_EQ(row, std::vector<float>(300, 0.0f));
  EXPECT_TRUE(t.fixes.empty());

  const Matrix zero = Filled(5, 40, [](size_t) { return 0; });
  const QuantizedTensor z = MustQuantize(zero, 0.5);
  EXPECT_EQ(z.levels, std::vector<int8_t>(200, 0));
  EXPECT_EQ(SquaredError(zero, z), 0);
}

// Rows that are almost dead have steps whose reciprocal is infinite.
TEST(UniformQuantizerTest, VanishingRowsBecomeZero) {
  for (const double tiny : {1e-35, 1e-39, 1e-44}) {
    Matrix m = Gaussian(91, 20, 300);
    for (size_t i = 0; i < 300; ++i) m.w[300 * 3 + i] = static_cast<float>(i % 3 == 0 ? 0 : tiny);
    const QuantizedTensor t = MustQuantize(m, 0.3);
    EXPECT_TRUE(t.fixes.empty()) << tiny;
    std::vector<float> row(300);
    t.DequantizeRow(3, row.data());
    EXPECT_EQ(row, std::vector<float>(300, 0.0f)) << tiny;
  }
}

TEST(UniformQuantizerTest, RefusesWhatIsNoNumber) {
  ThreadPool pool(2);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), 3e38f, std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    Matrix m = Gaussian(92, 100, 50);
    m.w[77 * 50 + 49] = bad;
    const auto quantizer = UniformQuantizer::Create(m.view(), pool);
    ASSERT_FALSE(quantizer.ok()) << bad;
    EXPECT_EQ(quantizer.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(quantizer.error().message.find("row 77"), std::string::npos);
  }
}

TEST(UniformQuantizerTest, LargeAndSmallModelsKeepTheirPrecision) {
  for (const double sigma : {1e-20, 1e-6, 1e6, 1e15}) {
    const Matrix m = Gaussian(93, 40, 200, sigma);
    const double error = SquaredError(m, MustQuantize(m, 0.2)) / (sigma * sigma * m.w.size());
    EXPECT_NEAR(error, 0.04 / 12, 0.0005) << sigma;
  }
}

// Weights thousands of steps away from zero keep their integers.
TEST(UniformQuantizerTest, HugeOutliersAreListedExactly) {
  Matrix m = Gaussian(94, 512, 512);
  const std::pair<size_t, float> outliers[] = {
      {5, 4000}, {512 * 100 + 3, -3500.5f}, {512 * 511 + 511, 900}};
  for (const auto& [at, value] : outliers) m.w[at] = value;
  const double relative_step = 0.05;
  const QuantizedTensor t = MustQuantize(m, relative_step);
  const std::vector<int32_t> integers = Integers(t);
  for (const auto& [at, value] : outliers) {
    const double step = StepOf(m, t, static_cast<uint32_t>(at / 512), relative_step);
    EXPECT_EQ(integers[at], std::nearbyint(value / step));
    EXPECT_GT(std::abs(integers[at]), 127);
  }
  EXPECT_TRUE(std::is_sorted(t.fixes.begin(), t.fixes.end(), [](const Fix& a, const Fix& b) {
    return std::pair(a.row, a.col) < std::pair(b.row, b.col);
  }));
}

TEST(UniformQuantizerTest, RefusesRatesBeyondTheLevels) {
  ThreadPool pool(1);
  const Matrix m = Gaussian(95, 64, 64);
  const auto tensor = MustCreate(m).Quantize(0.005, pool);
  ASSERT_FALSE(tensor.ok());
  EXPECT_EQ(tensor.error().code, ErrorCode::kInvalidArgument);
}

double Laplacian(Rng& rng) {
  const double magnitude = -std::log(1 - rng.Uniform()) / std::sqrt(2.0);
  return rng.Below(2) == 0 ? magnitude : -magnitude;
}

// A fine uniform quantizer of any smooth density has step^2 / 12, not less and not more.
TEST(UniformQuantizerTest, DistortionAtHighRateIsAStepSquaredOverTwelve) {
  Rng rng(96);
  const std::pair<const char*, Matrix> kMatrices[] = {
      {"gaussian", Gaussian(97, 256, 512)},
      {"laplacian", Filled(256, 512, [&](size_t) { return Laplacian(rng); })},
      {"flat", Filled(256, 512, [&](size_t) { return 2 * rng.Uniform() - 1; })},
      {"ramp", Filled(256, 512, [](size_t i) { return static_cast<double>(i % 512) / 512 - 0.5; })},
  };
  for (const auto& [name, m] : kMatrices) {
    for (const double relative_step : {0.06, 0.12, 0.25}) {
      const QuantizedTensor t = MustQuantize(m, relative_step);
      double expected = 0;
      for (uint32_t r = 0; r < m.rows; ++r) {
        expected += m.cols * std::pow(StepOf(m, t, r, relative_step), 2) / 12;
      }
      const double ratio = SquaredError(m, t) / expected;
      EXPECT_GT(ratio, 0.97) << name << ", step " << relative_step;
      EXPECT_LT(ratio, 1.03) << name << ", step " << relative_step;
    }
  }
}

// Entropy-coded scalar quantization stays log2(2 pi e / 12) / 2 = 0.2546 bit from the bound
// D = 2^-2R at high rate, and no further at low rate.
TEST(UniformQuantizerTest, RateGapOfAGaussian) {
  ThreadPool pool(1);
  const Matrix m = Gaussian(98, 512, 512);
  const UniformQuantizer quantizer = MustCreate(m);
  const double weights = static_cast<double>(m.w.size());
  double variance = 0;
  for (const float w : m.w) variance += double{w} * w / weights;
  const auto gap = [&](double relative_step) {
    const double rate =
        EntropyBits(quantizer.CountLevels(relative_step, m.w.size(), pool)) / weights;
    const double distortion = SquaredError(m, MustQuantize(m, relative_step)) / weights;
    return rate - 0.5 * std::log2(variance / distortion);
  };
  EXPECT_NEAR(gap(0.26), 0.2546, 0.006);  // 4 bits
  EXPECT_NEAR(gap(0.52), 0.2500, 0.010);  // 3 bits
  const double at_one_bit = gap(1.8);
  EXPECT_GT(at_one_bit, 0.10);
  EXPECT_LT(at_one_bit, 0.26);
}

TEST(UniformQuantizerTest, CountsAreThoseOfTheLevels) {
  ThreadPool pool(3);
  const Matrix m = UnequalRows(99, 300, 100, 2);
  LevelCounts expected{};
  for (const int8_t level : MustQuantize(m, 0.4).levels)
    ++expected[static_cast<size_t>(level + 128)];
  EXPECT_EQ(MustCreate(m).CountLevels(0.4, m.w.size(), pool), expected);
  // A sample is scaled up to the whole matrix.
  const LevelCounts sample = MustCreate(m).CountLevels(0.4, m.w.size() / 3, pool);
  uint64_t total = 0;
  for (const uint64_t c : sample) total += c;
  EXPECT_NEAR(static_cast<double>(total), static_cast<double>(m.w.size()), 128);
}

TEST(UniformQuantizerTest, DoesNotDependOnTheNumberOfThreads) {
  for (const Matrix& m : {Gaussian(100, 333, 77), UnequalRows(101, 333, 77, 6)}) {
    const QuantizedTensor one = MustQuantize(m, 0.1, 1);
    const QuantizedTensor three = MustQuantize(m, 0.1, 3);
    EXPECT_EQ(one.levels, three.levels);
    EXPECT_EQ(one.scales, three.scales);
    EXPECT_EQ(one.fixes, three.fixes);
    EXPECT_EQ(one.scale_exponent, three.scale_exponent);
  }
}

TEST(FindRelativeStepTest, MeetsItsTarget) {
  ThreadPool pool(2);
  const Matrix matrices[] = {Gaussian(102, 256, 512), UnequalRows(103, 256, 512, 3)};
  for (const Matrix& m : matrices) {
    const UniformQuantizer quantizer = MustCreate(m);
    const ByteEstimate estimate = [&](const LevelCounts& counts) {
      return EntropyBits(counts) / 8 + static_cast<double>(quantizer.scale_bytes());
    };
    for (double bits = 2; bits <= 6; bits += 0.5) {
      const double target = bits / 8 * static_cast<double>(m.w.size());
      const double step = FindRelativeStep(quantizer, m.w.size(), target, estimate, pool);
      const double got = estimate(quantizer.CountLevels(step, m.w.size(), pool));
      EXPECT_NEAR(got, target, 0.001 * target) << bits << " bits";
    }
  }
}

TEST(FindRelativeStepTest, IsDeterministicAndSurvivesImpossibleTargets) {
  const Matrix m = Gaussian(104, 100, 100);
  const UniformQuantizer quantizer = MustCreate(m);
  const ByteEstimate estimate = [&](const LevelCounts& counts) {
    return EntropyBits(counts) / 8 + 500;
  };
  ThreadPool one(1);
  ThreadPool three(3);
  EXPECT_EQ(FindRelativeStep(quantizer, m.w.size(), 4000, estimate, one),
            FindRelativeStep(quantizer, m.w.size(), 4000, estimate, three));
  for (const double target : {0.0, 100.0, 1e9}) {
    const double step = FindRelativeStep(quantizer, m.w.size(), target, estimate, one);
    EXPECT_TRUE(std::isfinite(step) && step > 0) << target;
  }
}

}  // namespace
}  // namespace ecq

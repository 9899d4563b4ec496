// The calibrated quantizer: what the integers decode to, its error, its classes, its rate.
#include "ecq/quant/zsic_quantizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <string>

#include "ecq/base/half.h"
#include "ecq/quant/column_classes.h"
#include "ecq/quant/moments_for_test.h"
#include "ecq/quant/uniform_quantizer.h"

namespace ecq {
namespace {

InputFactor MustFactor(const InputMoments& moments, const FactorOptions& options = {}) {
  auto factor = InputFactor::Create(moments, options, "w");
  EXPECT_TRUE(factor.ok()) << factor.error().message;
  return std::move(factor).value();
}

ZsicQuantizer MustCreate(const TestMatrix& m, const InputFactor& factor,
                         const ZsicOptions& options = {}) {
  ThreadPool pool(1);
  auto quantizer = ZsicQuantizer::Create(m.view(), factor, options, pool);
  EXPECT_TRUE(quantizer.ok()) << quantizer.error().message;
  return std::move(quantizer).value();
}

ZsicQuantizer::Output MustQuantize(const TestMatrix& m, const InputFactor& factor, double step,
                                   const ZsicOptions& options = {}, size_t threads = 1) {
  ThreadPool pool(threads);
  auto output = MustCreate(m, factor, options).Quantize(step, pool);
  EXPECT_TRUE(output.ok()) << output.error().message;
  return std::move(output).value();
}

std::vector<float> Decode(const QuantizedTensor& t) {
  std::vector<float> out(size_t{t.rows} * t.cols);
  for (uint32_t r = 0; r < t.rows; ++r) t.DequantizeRow(r, out.data() + size_t{r} * t.cols);
  return out;
}

// Bits per weight of the levels, each span with a table of its own.
double Entropy(const QuantizedTensor& t) {
  std::vector<uint32_t> ends = t.span_ends;
  if (ends.empty()) ends = {t.cols};
  double bits = 0;
  uint32_t begin = 0;
  for (const uint32_t end : ends) {
    LevelCounts counts{};
    for (uint32_t r = 0; r < t.rows; ++r) {
      for (uint32_t c = begin; c < end; ++c) {
        ++counts[static_cast<size_t>(t.levels[size_t{r} * t.cols + c] + 128)];
      }
    }
    const double total = static_cast<double>(t.rows) * (end - begin);
    for (const uint64_t count : counts) {
      if (count > 0) bits += static_cast<double>(count) * std::log2(total / count);
    }
    begin = end;
  }
  return bits / static_cast<double>(t.levels.size());
}

void ExpectConsistent(const QuantizedTensor& t) {
  EXPECT_EQ(t.levels.size(), size_t{t.rows} * t.cols);
  EXPECT_EQ(t.scales.size(), t.rows);
  EXPECT_EQ(t.col_scales.size(), t.cols);
  if (!t.col_order.empty()) {
    EXPECT_EQ(std::set<uint32_t>(t.col_order.begin(), t.col_order.end()).size(), t.cols);
    EXPECT_GT(t.span_ends.size(), 1u);
    EXPECT_EQ(t.span_ends.back(), t.cols);
    uint32_t begin = 0;
    for (const uint32_t end : t.span_ends) {  // within a class, columns stand as in W
      EXPECT_TRUE(std::is_sorted(t.col_order.begin() + begin, t.col_order.begin() + end));
      EXPECT_LT(begin, end);
      begin = end;
    }
  }
  for (size_t i = 1; i < t.fixes.size(); ++i) {
    EXPECT_LT(std::pair(t.fixes[i - 1].row, t.fixes[i - 1].col),
              std::pair(t.fixes[i].row, t.fixes[i].col));
  }
}

TEST(ZsicQuantizerTest, IdentityMomentsRoundToNearest) {
  const TestMatrix m = GaussianMatrix(1, 50, 70, 0.4);
  ZsicOptions options;
  options.gain = false;
  const double step = 0.375;
  const InputFactor factor = MustFactor(IdentityMoments(70));
  const QuantizedTensor t = MustQuantize(m, factor, step, options).tensor;
  ExpectConsistent(t);
  const std::vector<float> decoded = Decode(t);
  for (uint32_t r = 0; r < m.rows; ++r) {
    double square = 0;
    for (uint32_t c = 0; c < m.cols; ++c) square += std::pow(m.w[r * 70 + c], 2) / 70;
    // The unit of a row is a binary16 number.
    const double grid = step * std::sqrt(square);
    for (uint32_t c = 0; c < m.cols; ++c) {
      const double quotient = m.w[r * 70 + c] / grid;
      if (std::abs(quotient - std::floor(quotient) - 0.5) < 0.01) continue;
      EXPECT_NEAR(decoded[r * 70 + c] / grid, std::nearbyint(quotient), 0.01);
    }
  }
  const QuantizedTensor u = MustQuantize(m, InputFactor::Identity(70), step, options).tensor;
  EXPECT_EQ(u.levels, t.levels);
}

TEST(ZsicQuantizerTest, BeatsRoundToNearestOnCorrelatedInputs) {
  const TestMatrix m = GaussianMatrix(2, 256, 160, 0.3);
  const InputMoments moments = CorrelatedMoments(3, 160, 0.9, 0.5);
  const InputFactor factor = MustFactor(moments);
  FactorOptions diagonal_options;
  diagonal_options.diagonal_only = true;
  const InputFactor diagonal = MustFactor(moments, diagonal_options);
  double last = std::numeric_limits<double>::infinity();
  double last_bits = 0;
  for (const double step : {1.2, 0.6, 0.3, 0.15}) {
    const auto plain = MustQuantize(m, InputFactor::Identity(160), step);
    const auto scaled = MustQuantize(m, diagonal, step);
    const auto zsic = MustQuantize(m, factor, step);
    const double plain_error = WeightedError(moments, m.w, Decode(plain.tensor));
    const double scaled_error = WeightedError(moments, m.w, Decode(scaled.tensor));
    const double zsic_error = WeightedError(moments, m.w, Decode(zsic.tensor));
    EXPECT_LT(scaled_error, 0.9 * plain_error) << step;
    EXPECT_LT(zsic_error, 0.8 * scaled_error) << step;
    // The bits that ZSIC saves at equal error.
    const double saved =
        std::log2(plain_error / zsic_error) / 2 - Entropy(zsic.tensor) + Entropy(plain.tensor);
    EXPECT_GT(saved, 0.5) << step;
    EXPECT_LT(zsic_error, 0.45 * last) << step;
    EXPECT_GT(Entropy(zsic.tensor), last_bits + 0.5) << step;
    if (step < 0.5) {
      EXPECT_NEAR(zsic.error / (step * step / 12), 1, 0.05) << step;
    }
    last = zsic_error;
    last_bits = Entropy(zsic.tensor);
  }
}

TEST(ZsicQuantizerTest, GainHelpsAtLowRates) {
  const TestMatrix m = GaussianMatrix(12, 512, 96);
  const InputMoments moments = CorrelatedMoments(13, 96, 0.7, 0.3);
  const InputFactor factor = MustFactor(moments);
  ZsicOptions without;
  without.gain = false;
  const auto with_gain = MustQuantize(m, factor, 1.4);
  const auto no_gain = MustQuantize(m, factor, 1.4, without);
  EXPECT_LT(WeightedError(moments, m.w, Decode(with_gain.tensor)),
            0.97 * WeightedError(moments, m.w, Decode(no_gain.tensor)));
}

TEST(ZsicQuantizerTest, DoesNotDependOnThreads) {
  const TestMatrix m = GaussianMatrix(4, 600, 150, 0.2);
  const InputFactor factor = MustFactor(CorrelatedMoments(5, 150, 0.8, 0.8));
  const auto first = MustQuantize(m, factor, 0.5);
  EXPECT_FALSE(first.tensor.col_order.empty());
  for (const size_t threads : {2, 3}) {
    const auto other = MustQuantize(m, factor, 0.5, {}, threads);
    EXPECT_EQ(other.tensor.levels, first.tensor.levels);
    EXPECT_EQ(other.tensor.col_order, first.tensor.col_order);
    EXPECT_EQ(other.tensor.col_scales, first.tensor.col_scales);
    EXPECT_EQ(other.error, first.error);
    ThreadPool one(1);
    ThreadPool many(threads);
    const ZsicQuantizer quantizer = MustCreate(m, factor);
    EXPECT_EQ(quantizer.EstimateBits(0.5, one), quantizer.EstimateBits(0.5, many));
  }
}

TEST(ZsicQuantizerTest, OddSizesAndOrders) {
  for (const uint32_t rows : {1u, 2u, 65u}) {
    for (const uint32_t cols : {1u, 2u, 3u, 63u, 129u, 131u}) {
      const TestMatrix m = GaussianMatrix(rows + cols, rows, cols);
      const InputMoments moments = CorrelatedMoments(cols, cols, 0.5, 0.5);
      FactorOptions options;
      for (uint32_t i = 0; i < cols; ++i) options.order.push_back(cols - 1 - i);
      for (const auto& factor : {MustFactor(moments), MustFactor(moments, options)}) {
        const auto output = MustQuantize(m, factor, 0.1);
        ExpectConsistent(output.tensor);
        const double error = WeightedError(moments, m.w, Decode(output.tensor));
        const double zero = WeightedError(moments, m.w, std::vector<float>(m.w.size()));
        EXPECT_LT(error, 0.02 * zero) << rows << " x " << cols;
      }
    }
  }
}

TEST(ZsicQuantizerTest, DeadColumnsDecodeToZero) {
  const TestMatrix m = GaussianMatrix(6, 128, 64);
  InputMoments moments = CorrelatedMoments(6, 64, 0.5, 0.2);
  for (uint32_t dead = 0; dead < 64; dead += 9) {
    for (uint32_t k = 0; k < 64; ++k) moments.sums[dead * 64 + k] = moments.sums[k * 64 + dead] = 0;
  }
  const InputFactor factor = MustFactor(moments);
  EXPECT_EQ(factor.num_dead(), 8u);
  const auto output = MustQuantize(m, factor, 0.2);
  const std::vector<float> decoded = Decode(output.tensor);
  for (uint32_t i = 0; i < m.w.size(); ++i) {
    if (i % 64 % 9 == 0) {
      EXPECT_EQ(decoded[i], 0);
    }
  }
  EXPECT_LT(WeightedError(moments, m.w, decoded),
            0.02 * WeightedError(moments, m.w, std::vector<float>(m.w.size())));
}

TEST(ZsicQuantizerTest, RowsOfZerosStayZero) {
  TestMatrix m = GaussianMatrix(6, 20, 64);
  std::fill_n(m.w.begin() + 3 * 64, 64, 0.0f);
  const InputFactor factor = MustFactor(CorrelatedMoments(6, 64, 0.5, 0.2));
  const std::vector<float> decoded = Decode(MustQuantize(m, factor, 0.2).tensor);
  for (uint32_t c = 0; c < 64; ++c) EXPECT_EQ(decoded[3 * 64 + c], 0);
  std::fill(m.w.begin(), m.w.end(), 0.0f);
  EXPECT_EQ(Decode(MustQuantize(m, factor, 0.2).tensor), m.w);
}

// An input thousands of times as large as the others: its column needs integers in the thousands.
TEST(ZsicQuantizerTest, OutlierColumnsComeBackThroughFixes) {
  TestMatrix m = GaussianMatrix(7, 128, 300);
  InputMoments moments = CorrelatedMoments(8, 300, 0.3, 0.2);
  for (uint32_t k = 0; k < 300; ++k) moments.sums[77 * 300 + k] = moments.sums[k * 300 + 77] = 0;
  moments.sums[77 * 301] = 1e7f * moments.sums[0];
  FactorOptions options;
  options.damping = 1e-9;
  const InputFactor factor = MustFactor(moments, options);
  const auto output = MustQuantize(m, factor, 0.4);
  ExpectConsistent(output.tensor);
  int32_t largest = 0;
  for (const Fix& fix : output.tensor.fixes) {
    const std::vector<uint32_t>& order = output.tensor.col_order;
    EXPECT_EQ(order.empty() ? fix.col : order[fix.col], 77u);
    largest = std::max(largest, std::abs(fix.delta));
  }
  EXPECT_GT(largest, 3000);
  const std::vector<float> decoded = Decode(output.tensor);
  for (uint32_t r = 0; r < 128; ++r) EXPECT_NEAR(decoded[r * 300 + 77], m.w[r * 300 + 77], 1e-3);
  EXPECT_NEAR(output.error, 0.4 * 0.4 / 12, 0.002);
}

TEST(ZsicQuantizerTest, RefusesWhatItCannotHold) {
  TestMatrix m = GaussianMatrix(9, 64, 64);
  const InputFactor factor = InputFactor::Identity(64);
  ThreadPool pool(1);
  const auto fine = MustCreate(m, factor).Quantize(1e-3, pool);
  ASSERT_FALSE(fine.ok());
  EXPECT_NE(fine.error().message.find("fewer bits"), std::string::npos);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    m.w[5] = bad;
    EXPECT_FALSE(ZsicQuantizer::Create(m.view(), factor, {}, pool).ok());
  }
}

TEST(ZsicQuantizerTest, FindsTheStepThatMeetsARate) {
  const TestMatrix m = GaussianMatrix(10, 400, 256, 0.3);
  const InputFactor factor = MustFactor(CorrelatedMoments(11, 256, 0.8, 0.6));
  const ZsicQuantizer quantizer = MustCreate(m, factor);
  ThreadPool pool(1);
  for (const double bits : {1.0, 2.0, 3.0, 4.5}) {
    uint32_t calls = 0;
    // An overhead that the estimate does not know.
    const auto bytes_of = [&](const QuantizedTensor& t) -> Result<double> {
      ++calls;
      return (Entropy(t) + 0.07) * static_cast<double>(m.w.size()) / 8;
    };
    const double target = bits * static_cast<double>(m.w.size()) / 8;
    const auto found = quantizer.FindStep(target, bytes_of, pool);
    ASSERT_TRUE(found.ok()) << found.error().message;
    EXPECT_NEAR(found->bytes / target, 1, 0.005 / bits);
    EXPECT_EQ(bytes_of(found->output.tensor).value(), found->bytes);
    EXPECT_LE(calls, 5u) << bits;
  }
  // What cannot be met: the nearest there is, or an error.
  const auto entropy_bytes = [&](const QuantizedTensor& t) -> Result<double> {
    return Entropy(t) * static_cast<double>(m.w.size()) / 8;
  };
  const auto nothing = quantizer.FindStep(0, entropy_bytes, pool);
  ASSERT_TRUE(nothing.ok()) << nothing.error().message;
  EXPECT_LT(nothing->bytes, 0.02 * static_cast<double>(m.w.size()) / 8);
  EXPECT_EQ(quantizer.FindStep(1e7, entropy_bytes, pool).error().code, ErrorCode::kInvalidArgument);
  const auto failing = [](const QuantizedTensor&) -> Result<double> {
    return Error{ErrorCode::kIo, "no"};
  };
  EXPECT_EQ(quantizer.FindStep(1e4, failing, pool).error().code, ErrorCode::kIo);
}

TEST(ColumnClassesTest, SplitsWhatDiffersAndKeepsTogetherWhatDoesNot) {
  constexpr uint32_t kRows = 4096;
  constexpr uint32_t kCols = 64;
  Rng rng(1);
  std::vector<int8_t> levels(kRows * kCols);
  ThreadPool pool(1);
  const auto fill = [&](double even, double odd) {
    for (uint32_t i = 0; i < levels.size(); ++i) {
      const double sigma = i / kRows % 2 == 0 ? even : odd;
      levels[i] = static_cast<int8_t>(std::lround(sigma * rng.Gaussian()));
    }
  };
  fill(2, 2);
  const ColumnClasses same = ClassifyColumns(levels, kRows, 1, 16, pool);
  EXPECT_TRUE(same.order.empty());
  EXPECT_TRUE(same.span_ends.empty());
  fill(8, 1);
  const ColumnClasses two = ClassifyColumns(levels, kRows, 1, 16, pool);
  ASSERT_EQ(two.span_ends, (std::vector<uint32_t>{32, 64}));
  for (uint32_t i = 0; i < 32; ++i) {
    EXPECT_EQ(two.order[i], 2 * i + 1);
    EXPECT_EQ(two.order[32 + i], 2 * i);
  }
  EXPECT_TRUE(ClassifyColumns(levels, kRows, 1, 1, pool).order.empty());
  // With few rows, the order of the columns costs more than it saves.
  EXPECT_TRUE(ClassifyColumns(levels, kRows, 1e-3, 16, pool).order.empty());
  EXPECT_NEAR(ClassifyColumns(levels, kRows, 2, 16, pool).bits / two.bits, 2, 0.01);

  fill(0, 100);
  const ColumnClasses zeros = ClassifyColumns(levels, kRows, 1, 16, pool);
  ASSERT_FALSE(zeros.span_ends.empty());
  EXPECT_EQ(zeros.span_ends[0], 32u);
  EXPECT_EQ(zeros.span_ends.back(), 64u);
}

TEST(ColumnClassesTest, SpansAreMultiplesOf32ButForTheLast) {
  constexpr uint32_t kRows = 1024;
  for (const uint32_t cols : {33u, 100u, 2049u, 2500u}) {
    Rng rng(cols);
    std::vector<int8_t> levels(size_t{kRows} * cols);
    ThreadPool pool(2);
    for (size_t i = 0; i < levels.size(); ++i) {
      const double sigma = std::exp2(static_cast<double>(i / kRows * 7919 % cols) / cols * 6);
      levels[i] = static_cast<int8_t>(std::clamp(std::lround(sigma * rng.Gaussian()), -127l, 127l));
    }
    const ColumnClasses classes = ClassifyColumns(levels, kRows, 1, 16, pool);
    ASSERT_GT(classes.span_ends.size(), 1u) << cols;
    EXPECT_EQ(classes.span_ends.back(), cols);
    for (size_t s = 0; s + 1 < classes.span_ends.size(); ++s) {
      EXPECT_EQ(classes.span_ends[s] % 32, 0u);
    }
    std::vector<uint32_t> sorted = classes.order;
    std::sort(sorted.begin(), sorted.end());
    for (uint32_t c = 0; c < cols; ++c) EXPECT_EQ(sorted[c], c);
  }
}

}  // namespace
}  // namespace ecq

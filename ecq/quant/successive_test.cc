// The factor of the moments and the blocked loop over columns, against a plain one in double.
#include "ecq/quant/successive.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "ecq/quant/moments_for_test.h"

namespace ecq {
namespace {

constexpr float kStep = 0.25f;

InputFactor MustFactor(const InputMoments& moments, const FactorOptions& options = {}) {
  auto factor = InputFactor::Create(moments, options, "w");
  EXPECT_TRUE(factor.ok()) << factor.error().message;
  return std::move(factor).value();
}

// Rounds to multiples of a step that suits the position; within a group, with the feedback of the
// positions after it.
class RoundingCoder : public ColumnCoder {
 public:
  RoundingCoder(const TestMatrix& m, const InputFactor& factor) : m_(m), factor_(factor) {
    coded_.resize(m.w.size());
    calls_.reserve(m.cols);
  }

  void Code(uint32_t begin, uint32_t end, const float* targets, float* coded) override {
    calls_.push_back(begin);
    for (uint32_t i = end; i-- > begin;) {
      for (uint32_t r = 0; r < m_.rows; ++r) {
        float target = targets[size_t{i - begin} * m_.rows + r];
        for (uint32_t k = i + 1; k < end && factor_.has_feedback(); ++k) {
          target += factor_.Feedback(i)[k] * (Weight(r, k) - Coded(r, k));
        }
        const float step = kStep / static_cast<float>(factor_.Diagonal(i));
        Coded(r, i) = step * std::nearbyint(target / step);
        coded[size_t{i - begin} * m_.rows + r] = Coded(r, i);
      }
    }
  }

  float Weight(uint32_t r, uint32_t position) const {
    return m_.w[size_t{r} * m_.cols + factor_.ColumnAt(position)];
  }
  float& Coded(uint32_t r, uint32_t position) {
    return coded_[size_t{r} * m_.cols + factor_.ColumnAt(position)];
  }
  const std::vector<float>& coded() const { return coded_; }
  const std::vector<uint32_t>& calls() const { return calls_; }

 private:
  const TestMatrix& m_;
  const InputFactor& factor_;
  std::vector<float> coded_;  // (N, K), as W
  std::vector<uint32_t> calls_;
};

// The definition, in double precision, with a Cholesky factor of its own.
std::vector<float> PlainLoop(const TestMatrix& m, const InputMoments& moments,
                             const InputFactor& factor) {
  const size_t n = m.cols;
  double mean = 0;
  for (size_t i = 0; i < n; ++i) mean += moments.sums[i * (n + 1)] / static_cast<double>(n);
  std::vector<double> l(n * n, 0.0);
  for (size_t k = 0; k < n; ++k) {
    for (size_t i = 0; i <= k; ++i) {
      const size_t at =
          factor.ColumnAt(static_cast<uint32_t>(k)) * n + factor.ColumnAt(static_cast<uint32_t>(i));
      double sum = moments.sums[at] + (i == k ? factor.damping() * mean : 0.0);
      for (size_t j = 0; j < i; ++j) sum -= l[k * n + j] * l[i * n + j];
      l[k * n + i] = i == k ? std::sqrt(sum) : sum / l[i * n + i];
    }
  }
  std::vector<float> out(m.w.size());
  std::vector<double> errors(n);
  for (uint32_t r = 0; r < m.rows; ++r) {
    for (size_t i = n; i-- > 0;) {
      const size_t at = size_t{r} * n + factor.ColumnAt(static_cast<uint32_t>(i));
      double target = m.w[at];
      for (size_t k = i + 1; k < n; ++k) target += errors[k] * l[k * n + i] / l[i * n + i];
      const double step = kStep / factor.Diagonal(static_cast<uint32_t>(i));
      out[at] = static_cast<float>(step * std::nearbyint(target / step));
      errors[i] = double{m.w[at]} - out[at];
    }
  }
  return out;
}

TEST(SuccessiveTest, BlockedLoopEqualsThePlainOne) {
  for (const uint32_t cols : {1u, 3u, 16u, 17u, 64u, 127u, 128u, 129u, 200u, 300u}) {
    for (const uint32_t group : {1u, 4u, 16u}) {
      const TestMatrix m = GaussianMatrix(cols, cols % 2 == 0 ? 41 : 300, cols);
      const InputMoments moments = CorrelatedMoments(7, cols, 0.7, 0.5);
      FactorOptions options;
      options.dead_share = 0;
      if (cols % 3 == 0) {
        for (uint32_t i = 0; i < cols; ++i) options.order.push_back(cols - 1 - i);
      }
      const InputFactor factor = MustFactor(moments, options);
      RoundingCoder coder(m, factor);
      ThreadPool pool(1);
      CodeSuccessively(m.view(), {}, factor, group, coder, pool);
      const std::vector<float> plain = PlainLoop(m, moments, factor);
      size_t different = 0;
      for (size_t i = 0; i < plain.size(); ++i) {
        different += std::abs(coder.coded()[i] - plain[i]) > 1e-5f;
      }
      // A target within float rounding of a tie goes either way, and its row from there on.
      EXPECT_LE(different, plain.size() / 100) << cols << " columns, group " << group;
      const double error = WeightedError(moments, m.w, coder.coded());
      EXPECT_NEAR(error / WeightedError(moments, m.w, plain), 1, 3e-4) << cols;
    }
  }
}

TEST(SuccessiveTest, GroupsStartAtMultiplesFromTheRight) {
  const TestMatrix m = GaussianMatrix(1, 5, 135);
  const InputFactor factor = InputFactor::Identity(135);
  RoundingCoder coder(m, factor);
  ThreadPool pool(1);
  CodeSuccessively(m.view(), {}, factor, 4, coder, pool);
  ASSERT_EQ(coder.calls().size(), 34u);
  for (uint32_t i = 0; i < 34; ++i) EXPECT_EQ(coder.calls()[i], 4 * (33 - i));
}

TEST(SuccessiveTest, ReturnsTheErrorThatTheMomentsGive) {
  const TestMatrix m = GaussianMatrix(3, 60, 150);
  const InputMoments moments = CorrelatedMoments(8, 150, 0.7, 0.5);
  FactorOptions options;
  options.damping = 0;
  options.dead_share = 0;
  const InputFactor factor = MustFactor(moments, options);
  double log_sum = 0;  // of the factor of the moments as they are
  for (uint32_t i = 0; i < 150; ++i) log_sum += std::log(factor.Diagonal(i)) / 150;
  EXPECT_NEAR(log_sum, 0, 1e-12);
  for (const uint32_t group : {1u, 4u}) {
    RoundingCoder coder(m, factor);
    ThreadPool pool(1);
    const double error = CodeSuccessively(m.view(), {}, factor, group, coder, pool);
    // What the factor was scaled by: without damping, L[0][0]^2 is the moment of input 0.
    const double scale = moments.sums[0] / (factor.Diagonal(0) * factor.Diagonal(0));
    EXPECT_NEAR(error * scale / WeightedError(moments, m.w, coder.coded()), 1, 1e-4) << group;
  }
}

TEST(SuccessiveTest, DoesNotDependOnThreads) {
  const TestMatrix m = GaussianMatrix(5, 4500, 90);
  const InputFactor factor = MustFactor(CorrelatedMoments(9, 90, 0.7, 0.5));
  std::vector<float> first;
  double first_error = 0;
  for (const size_t threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    RoundingCoder coder(m, factor);
    const double error = CodeSuccessively(m.view(), {}, factor, 4, coder, pool);
    if (threads == 1) {
      first = coder.coded();
      first_error = error;
    }
    EXPECT_EQ(coder.coded(), first);
    EXPECT_EQ(error, first_error);
  }
}

TEST(SuccessiveTest, RowUnitsScaleTheRows) {
  TestMatrix m = GaussianMatrix(6, 20, 40);
  const InputFactor factor = MustFactor(CorrelatedMoments(9, 40, 0.7, 0.5));
  ThreadPool pool(1);
  RoundingCoder plain(m, factor);
  const double error = CodeSuccessively(m.view(), {}, factor, 1, plain, pool);
  TestMatrix scaled = m;
  std::vector<float> units(20);
  for (uint32_t r = 0; r < 20; ++r) {
    units[r] = std::exp2(static_cast<float>(r) - 10.0f);
    for (uint32_t c = 0; c < 40; ++c) scaled.w[r * 40 + c] *= units[r];
  }
  RoundingCoder coder(m, factor);
  EXPECT_EQ(CodeSuccessively(scaled.view(), units, factor, 1, coder, pool), error);
  EXPECT_EQ(coder.coded(), plain.coded());
}

TEST(InputFactorTest, DiagonalOnlyHasNoFeedback) {
  InputMoments moments = CorrelatedMoments(2, 50, 0.7, 0.5);
  FactorOptions options;
  options.diagonal_only = true;
  options.damping = 0;
  const InputFactor factor = MustFactor(moments, options);
  EXPECT_FALSE(factor.has_feedback());
  const double scale = std::sqrt(moments.sums[0]) / factor.Diagonal(0);
  for (uint32_t i = 0; i < 50; ++i) {
    EXPECT_NEAR(factor.Diagonal(i) * scale / std::sqrt(moments.sums[i * 51]), 1, 1e-6);
  }
}

TEST(InputFactorTest, DeadColumnsFeedNothing) {
  InputMoments moments = CorrelatedMoments(3, 30, 0.5, 0.1);
  for (const uint32_t dead : {0u, 7u, 29u}) {
    for (uint32_t k = 0; k < 30; ++k) {
      moments.sums[dead * 30 + k] *= 1e-4f;
      moments.sums[k * 30 + dead] *= 1e-4f;
    }
  }
  FactorOptions options;
  for (uint32_t i = 0; i < 30; ++i) options.order.push_back((i + 5) % 30);
  const InputFactor factor = MustFactor(moments, options);
  EXPECT_EQ(factor.num_dead(), 3u);
  for (uint32_t i = 0; i < 30; ++i) {
    const uint32_t column = factor.ColumnAt(i);
    EXPECT_EQ(factor.IsDead(i), column == 0 || column == 7 || column == 29);
    for (uint32_t k = i + 1; k < 30; ++k) {
      if (factor.IsDead(i) || factor.IsDead(k)) {
        EXPECT_EQ(factor.Feedback(i)[k], 0);
      }
    }
  }
  const TestMatrix m = GaussianMatrix(4, 9, 30);
  RoundingCoder coder(m, factor);
  ThreadPool pool(1);
  CodeSuccessively(m.view(), {}, factor, 1, coder, pool);
  for (uint32_t r = 0; r < 9; ++r) {
    for (const uint32_t dead : {0u, 7u, 29u}) EXPECT_EQ(coder.coded()[r * 30 + dead], 0);
  }
}

void ExpectRefused(const InputMoments& moments, const std::string& text,
                   const FactorOptions& options = {}) {
  const auto factor = InputFactor::Create(moments, options, "w");
  ASSERT_FALSE(factor.ok()) << text;
  EXPECT_EQ(factor.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(factor.error().message.find(text), std::string::npos) << factor.error().message;
}

TEST(InputFactorTest, RefusesDamagedMoments) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {kNaN, kInfinity, -1.0f}) {
    InputMoments moments = IdentityMoments(6);
    moments.sums[2 * 7] = bad;
    ExpectRefused(moments, "input 2");
    FactorOptions diagonal;
    diagonal.diagonal_only = true;
    ExpectRefused(moments, "input 2", diagonal);
  }
  for (const float bad : {kNaN, kInfinity, -kInfinity}) {
    InputMoments moments = IdentityMoments(6);
    moments.sums[3 * 6 + 1] = bad;
    ExpectRefused(moments, "input 3");
  }
  InputMoments zero = IdentityMoments(6);
  zero.sums.Fill(0);
  ExpectRefused(zero, "more text");
  ExpectRefused(InputMoments{}, "0 inputs");
  ExpectRefused(InputMoments{4, 1, AlignedBuffer<float>(15)}, "15 sums");
  InputMoments indefinite = IdentityMoments(2);
  indefinite.sums[1] = indefinite.sums[2] = 3;
  ExpectRefused(indefinite, "positive semidefinite");
  for (const std::vector<uint32_t>& order : {std::vector<uint32_t>{0}, {0, 0}, {0, 2}, {0, 1, 2}}) {
    FactorOptions options;
    options.order = order;
    ExpectRefused(IdentityMoments(2), "permutation", options);
  }
}

// One token, or several that are alike: rank 1.
TEST(InputFactorTest, SingularMomentsGetMoreDamping) {
  InputMoments moments{64, 1, AlignedBuffer<float>(64 * 64)};
  moments.sums.Fill(1);
  FactorOptions options;
  options.damping = 0;
  const InputFactor factor = MustFactor(moments, options);
  EXPECT_GT(factor.damping(), 0);
  EXPECT_LE(factor.damping(), 1e-3);
  EXPECT_EQ(MustFactor(moments).damping(), 1e-4);
}

}  // namespace
}  // namespace ecq

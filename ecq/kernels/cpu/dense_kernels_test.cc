// Every dense kernel of every target this machine supports against the scalar reference.
#include "ecq/kernels/cpu/dense_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ecq/base/hadamard.h"
#include "ecq/base/rng.h"
#include "ecq/blas/gemm.h"
#include "ecq/kernels/reference/dense.h"

namespace ecq {
namespace {

constexpr float kGuard = 12345.0f;

std::vector<float> RandomVector(Rng& rng, size_t n, double deviation = 1) {
  std::vector<float> v(n);
  for (float& x : v) x = static_cast<float>(rng.Gaussian() * deviation);
  return v;
}

class DenseKernelsTest : public testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override {
    if (!CpuTargetSupported(GetParam())) GTEST_SKIP() << "not supported by this machine";
    kernels_ = &DenseKernelsFor(GetParam());
  }
  const DenseKernels* kernels_ = nullptr;
  Rng rng_{7};
};

// |computed - exact| <= 2 (n + 1) 2^-24 sum |a_i b_i| holds for any order of summation.
double DotBound(const float* a, const float* b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += std::abs(static_cast<double>(a[i]) * b[i]);
  return 2 * static_cast<double>(n + 1) * 0x1p-24 * sum + 1e-30;
}

TEST_P(DenseKernelsTest, GemvMatchesReferenceForEveryLength) {
  for (size_t cols = 1; cols <= 200; ++cols) {
    const size_t rows = 1 + cols % 5;
    const auto w = RandomVector(rng_, rows * cols);
    const auto x = RandomVector(rng_, cols);
    std::vector<float> expected(rows), actual(rows + 1, kGuard);
    reference::Gemv(w.data(), rows, cols, x.data(), expected.data());
    kernels_->gemv(w.data(), rows, cols, x.data(), actual.data());
    for (size_t r = 0; r < rows; ++r) {
      EXPECT_NEAR(actual[r], expected[r], DotBound(&w[r * cols], x.data(), cols)) << cols;
    }
    EXPECT_EQ(actual[rows], kGuard);
  }
}

TEST_P(DenseKernelsTest, SiluMulMatchesReference) {
  for (const size_t n : {1, 7, 8, 9, 15, 16, 17, 31, 1000}) {
    auto actual = RandomVector(rng_, n, 10);
    const auto up = RandomVector(rng_, n);
    auto expected = actual;
    actual.push_back(kGuard);
    reference::SiluMul(expected.data(), up.data(), n);
    kernels_->silu_mul(actual.data(), up.data(), n);
    for (size_t i = 0; i < n; ++i) {
      EXPECT_NEAR(actual[i], expected[i], 1e-6 * std::abs(expected[i]) + 1e-30);
    }
    EXPECT_EQ(actual[n], kGuard);
  }
  float gates[] = {-200, -88, 0, 88, 200, std::numeric_limits<float>::quiet_NaN()};
  const float ones[] = {1, 1, 1, 1, 1, 1};
  kernels_->silu_mul(gates, ones, 6);
  EXPECT_NEAR(gates[0], 0, 1e-30);
  EXPECT_NEAR(gates[1], 0, 1e-30);
  EXPECT_EQ(gates[2], 0);
  EXPECT_EQ(gates[3], 88);
  EXPECT_EQ(gates[4], 200);
  EXPECT_TRUE(std::isnan(gates[5]));
}

TEST_P(DenseKernelsTest, GeluTanhMatchesReference) {
  for (const size_t n : {1, 7, 8, 9, 15, 16, 17, 31, 1000}) {
    auto actual = RandomVector(rng_, n, 3);
    auto expected = actual;
    actual.push_back(kGuard);
    reference::GeluTanh(expected.data(), n);
    kernels_->gelu_tanh(actual.data(), n);
    for (size_t i = 0; i < n; ++i) EXPECT_NEAR(actual[i], expected[i], 2e-6);
    EXPECT_EQ(actual[n], kGuard);
  }
  float x[] = {-200, -20, 0, 20, 3e38f, std::numeric_limits<float>::quiet_NaN()};
  kernels_->gelu_tanh(x, 6);
  EXPECT_NEAR(x[0], 0, 1e-30);
  EXPECT_NEAR(x[1], 0, 1e-30);
  EXPECT_EQ(x[2], 0);
  EXPECT_EQ(x[3], 20);
  EXPECT_EQ(x[4], 3e38f);
  EXPECT_TRUE(std::isnan(x[5]));
}

TEST_P(DenseKernelsTest, AddToAddsEveryElement) {
  for (const size_t n : {1, 7, 8, 9, 15, 16, 17, 100}) {
    auto actual = RandomVector(rng_, n);
    const auto delta = RandomVector(rng_, n);
    auto expected = actual;
    reference::AddTo(expected.data(), delta.data(), n);
    actual.push_back(kGuard);
    expected.push_back(kGuard);
    kernels_->add_to(actual.data(), delta.data(), n);
    EXPECT_EQ(actual, expected);
  }
}

TEST_P(DenseKernelsTest, RmsNormMatchesReferenceAlsoInPlace) {
  for (const size_t n : {1, 7, 8, 9, 15, 16, 17, 64, 100, 1000}) {
    auto x = RandomVector(rng_, n, 3);
    const auto weight = RandomVector(rng_, n);
    std::vector<float> expected(n), actual(n + 1, kGuard);
    reference::RmsNorm(x.data(), weight.data(), n, 1e-5f, expected.data());
    kernels_->rms_norm(x.data(), weight.data(), n, 1e-5f, actual.data());
    // Half the relative error of the sum of squares, and five roundings.
    const double error = (static_cast<double>(n + 1) + 5) * 0x1p-24;
    for (size_t i = 0; i < n; ++i)
      EXPECT_NEAR(actual[i], expected[i], error * std::abs(expected[i]));
    EXPECT_EQ(actual[n], kGuard);
    kernels_->rms_norm(x.data(), weight.data(), n, 1e-5f, x.data());
    EXPECT_TRUE(std::equal(x.begin(), x.end(), actual.begin()));
  }
}

TEST_P(DenseKernelsTest, RotatePairsGivesTheBitsOfTheReference) {
  for (const size_t n : {0, 1, 7, 8, 9, 16, 17, 64}) {
    auto actual = RandomVector(rng_, 2 * n + 1);
    auto expected = actual;
    const auto cos = RandomVector(rng_, n);
    const auto sin = RandomVector(rng_, n);
    reference::RotatePairs(expected.data(), expected.data() + n, cos.data(), sin.data(), n);
    kernels_->rotate_pairs(actual.data(), actual.data() + n, cos.data(), sin.data(), n);
    EXPECT_EQ(actual, expected);
  }
}

TEST_P(DenseKernelsTest, RotateGivesTheBitsOfTheReferenceForEveryBlock) {
  for (uint32_t block = 2; block <= kMaxHadamardBlock; block *= 2) {
    for (const size_t blocks : {1, 3}) {
      const size_t size = blocks * block;
      auto x = RandomVector(rng_, size);
      std::vector<float> expected(size), actual(size + 1, kGuard);
      reference::Rotate(x.data(), size, block, expected.data());
      kernels_->rotate(x.data(), size, block, actual.data());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), actual.begin())) << block;
      EXPECT_EQ(actual[size], kGuard);
      kernels_->rotate(x.data(), size, block, x.data());
      EXPECT_EQ(x, expected) << block;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, DenseKernelsTest, testing::ValuesIn(kAllCpuTargets),
                         [](const auto& test) { return std::string(CpuTargetName(test.param)); });

TEST(CpuTarget, NamesRoundTrip) {
  for (const CpuTarget target : kAllCpuTargets) {
    EXPECT_EQ(CpuTargetFromName(CpuTargetName(target)), target);
  }
  EXPECT_EQ(CpuTargetFromName("AVX2"), std::nullopt);
  EXPECT_EQ(CpuTargetFromName(""), std::nullopt);
}

TEST(CpuTarget, OnlySupportedTargetsCanBeForced) {
  const CpuTarget before = ActiveCpuTarget();
  EXPECT_TRUE(CpuTargetSupported(before));
  for (const CpuTarget target : kAllCpuTargets) {
    const Status status = SetActiveCpuTarget(target);
    EXPECT_EQ(status.ok(), CpuTargetSupported(target));
    if (status.ok()) {
      EXPECT_EQ(ActiveCpuTarget(), target);
    }
  }
  EXPECT_TRUE(SetActiveCpuTarget(before).ok());
}

TEST(DenseGemm, BothProductsMatchNaiveSumsWithStrides) {
  Rng rng(3);
  const size_t m = 5, n = 7, k = 9, stride = 11;
  const auto a = RandomVector(rng, m * stride);
  const auto b = RandomVector(rng, 16 * stride);
  std::vector<float> c(m * stride, kGuard), d(m * stride, kGuard);
  GemmTransposed(m, n, k, 0.5f, {a.data(), stride}, {b.data(), stride}, {c.data(), stride});
  Gemm(m, n, k, {a.data(), stride}, {b.data(), stride}, {d.data(), stride});
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      double transposed = 0, plain = 0;
      for (size_t l = 0; l < k; ++l) {
        transposed += 0.5 * a[i * stride + l] * b[j * stride + l];
        plain += static_cast<double>(a[i * stride + l]) * b[l * stride + j];
      }
      EXPECT_NEAR(c[i * stride + j], transposed, 1e-5);
      EXPECT_NEAR(d[i * stride + j], plain, 1e-5);
    }
    EXPECT_EQ(c[i * stride + n], kGuard);
    EXPECT_EQ(d[i * stride + n], kGuard);
  }
}

}  // namespace
}  // namespace ecq

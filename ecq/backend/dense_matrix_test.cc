// Tests of dense products through the Matrix interface.
#include "ecq/backend/dense_matrix.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "ecq/backend/target_override.h"
#include "ecq/base/cpu_target.h"
#include "ecq/base/rng.h"
#include "ecq/kernels/activations.h"

namespace ecq {
namespace {

AlignedBuffer<float> RandomBuffer(Rng& rng, size_t n) {
  AlignedBuffer<float> buffer(n);
  for (float& x : buffer) x = static_cast<float>(rng.Gaussian());
  return buffer;
}

void CheckProduct(ThreadPool& pool, ActivationMode mode, size_t rows, size_t cols, size_t m) {
  Rng rng(rows * 1000 + cols + m);
  const AlignedBuffer<float> x = RandomBuffer(rng, m * cols);
  std::vector<float> seen(x.begin(), x.end());
  if (mode == ActivationMode::kI8) {
    for (size_t i = 0; i < m; ++i) RoundActivations(&x[i * cols], cols, &seen[i * cols]);
  }
  AlignedBuffer<float> w = RandomBuffer(rng, rows * cols);
  const std::vector<float> kept(w.begin(), w.end());
  auto matrix = DenseMatrix::Create(rows, cols, std::move(w));
  ASSERT_TRUE(matrix.ok());
  std::vector<float> y(m * rows);
  ASSERT_TRUE(matrix->Multiply(pool, mode, m, x.data(), y.data()).ok());
  for (size_t i = 0; i < m; ++i) {
    for (size_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (size_t k = 0; k < cols; ++k) {
        sum += static_cast<double>(kept[r * cols + k]) * seen[i * cols + k];
      }
      ASSERT_NEAR(y[i * rows + r], sum, 2e-3) << rows << "x" << cols << " m=" << m;
    }
  }
}

TEST(DenseMatrix, ProductsMatchNaiveSums) {
  for (const size_t threads : {1, 3}) {
    ThreadPool pool(threads);
    for (const ActivationMode mode : {ActivationMode::kF32, ActivationMode::kI8}) {
      for (const size_t m : {1, 2, 3, 4, 5, 33}) {
        CheckProduct(pool, mode, 1, 1, m);
        CheckProduct(pool, mode, 3, 70, m);
        CheckProduct(pool, mode, 130, 65, m);
        CheckProduct(pool, mode, 1000, 300, m);
      }
    }
  }
}

TEST(DenseMatrix, GathersRows) {
  ThreadPool pool(1);
  AlignedBuffer<float> w(6);
  for (size_t i = 0; i < 6; ++i) w[i] = static_cast<float>(i);
  auto matrix = DenseMatrix::Create(3, 2, std::move(w));
  ASSERT_TRUE(matrix.ok());
  EXPECT_EQ(matrix->resident_bytes(), 24u);
  const std::vector<uint32_t> ids{2, 0, 2};
  std::vector<float> out(6);
  ASSERT_TRUE(matrix->GatherRows(pool, ids, out.data()).ok());
  EXPECT_EQ(out, (std::vector<float>{4, 5, 0, 1, 4, 5}));
}

TEST(DenseMatrix, RefusesSizesThatDoNotMatch) {
  EXPECT_EQ(DenseMatrix::Create(2, 3, AlignedBuffer<float>(5)).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_FALSE(DenseMatrix::Create(0, 3, AlignedBuffer<float>()).ok());
  EXPECT_FALSE(DenseMatrix::Create(uint64_t{1} << 33, uint64_t{1} << 31, {}).ok());
}

TEST(TargetOverride, FollowsTheEnvironment) {
  const CpuTarget before = ActiveCpuTarget();
  ASSERT_EQ(setenv("ECQ_TARGET", "scalar", 1), 0);
  EXPECT_TRUE(ApplyTargetOverride().ok());
  EXPECT_EQ(ActiveCpuTarget(), CpuTarget::kScalar);
  ASSERT_EQ(setenv("ECQ_TARGET", "sse9", 1), 0);
  const Status unknown = ApplyTargetOverride();
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message.find("scalar, avx2, avx512"), std::string::npos);
  EXPECT_EQ(ActiveCpuTarget(), CpuTarget::kScalar);
  ASSERT_EQ(unsetenv("ECQ_TARGET"), 0);
  EXPECT_TRUE(ApplyTargetOverride().ok());
  EXPECT_EQ(ActiveCpuTarget(), CpuTarget::kScalar);
  EXPECT_TRUE(SetActiveCpuTarget(before).ok());
}

}  // namespace
}  // namespace ecq

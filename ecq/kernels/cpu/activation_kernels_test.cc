// Rounding of activations: the same bits on every target.
#include "ecq/kernels/cpu/activation_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "ecq/base/rng.h"
#include "ecq/kernels/activations.h"

namespace ecq {
namespace {

class ActivationKernelsTest : public testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override {
    if (!CpuTargetSupported(GetParam())) GTEST_SKIP() << "not supported by this machine";
  }
  const ActivationKernels& kernels() const { return ActivationKernelsFor(GetParam()); }
};

std::vector<float> RandomValues(Rng& rng, size_t n) {
  std::vector<float> values(n);
  for (float& v : values) v = rng.Below(9) == 0 ? 0.0f : static_cast<float>(rng.Gaussian());
  return values;
}

void CheckQuantize(const ActivationKernels& kernels, const std::vector<float>& x) {
  constexpr int8_t kCanary = 0x5a;
  const size_t blocks = NumActivationBlocks(x.size());
  std::vector<int8_t> expected(PaddedActivations(x.size()) + 1, kCanary), actual(expected);
  std::vector<float> expected_scales(blocks), scales(blocks);
  std::vector<int32_t> sums(blocks, -1);
  QuantizeActivations(x.data(), x.size(), expected.data(), expected_scales.data());
  kernels.quantize(x.data(), x.size(), actual.data(), scales.data(), sums.data());
  ASSERT_EQ(actual, expected);
  std::vector<int8_t> expected_tuples(expected), tuples(expected);
  TransposeTuples(expected.data(), x.size(), expected_tuples.data());
  kernels.transpose_tuples(expected.data(), x.size(), tuples.data());
  ASSERT_EQ(tuples, expected_tuples);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(tuples[TupleIndex(i)], expected[i]);
  for (size_t block = 0; block < blocks; ++block) {
    int32_t sum = 0;
    for (size_t i = 0; i < kActivationBlock; ++i) sum += actual[block * kActivationBlock + i];
    ASSERT_EQ(sums[block], sum);
    if (std::isnan(expected_scales[block])) {
      ASSERT_TRUE(std::isnan(scales[block]));
    } else {
      ASSERT_EQ(scales[block], expected_scales[block]);
    }
  }
}

TEST_P(ActivationKernelsTest, QuantizesAsTheReference) {
  Rng rng(2);
  for (const size_t k : {1, 31, 32, 33, 64, 70, 576, 1000}) {
    CheckQuantize(kernels(), RandomValues(rng, k));
    CheckQuantize(kernels(), std::vector<float>(k, 0.0f));
    // Quotients that end in one half, which go to the even neighbour.
    std::vector<float> halves(k);
    for (float& v : halves) v = static_cast<float>(rng.Below(255)) / 2 - 63.5f;
    halves[k / 2] = 127;
    CheckQuantize(kernels(), halves);
  }
}

TEST_P(ActivationKernelsTest, QuantizesExtremesAsTheReference) {
  Rng rng(3);
  using Limits = std::numeric_limits<float>;
  for (const float value :
       {Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN(), -Limits::quiet_NaN(),
        Limits::max(), Limits::min(), Limits::denorm_min(), 0x1p-118f,
        std::nextafter(0x1p-118f, 0.0f), -0.0f}) {
    for (const bool alone : {false, true}) {
      std::vector<float> x = alone ? std::vector<float>(96, 0.0f) : RandomValues(rng, 96);
      x[40] = value;
      CheckQuantize(kernels(), x);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, ActivationKernelsTest, testing::ValuesIn(kAllCpuTargets),
                         [](const auto& row) { return std::string(CpuTargetName(row.param)); });

}  // namespace
}  // namespace ecq

// Tests of the int8 activation blocks.
#include "ecq/kernels/activations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ecq/base/rng.h"

namespace ecq {
namespace {

struct Quantized {
  std::vector<int8_t> q;
  std::vector<float> scales;
};

Quantized Quantize(const std::vector<float>& x) {
  // One guard element behind each output.
  Quantized out{std::vector<int8_t>(PaddedActivations(x.size()) + 1, 77),
                std::vector<float>(NumActivationBlocks(x.size()) + 1, 77)};
  QuantizeActivations(x.data(), x.size(), out.q.data(), out.scales.data());
  EXPECT_EQ(out.q.back(), 77);
  EXPECT_EQ(out.scales.back(), 77);
  out.q.pop_back();
  out.scales.pop_back();
  return out;
}

TEST(Activations, RoundsToNearestWithTiesToEven) {
  // The maximum 127 makes the scale exactly 1.
  const std::vector<float> x{127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 3.49f, 3.51f, -127, 0};
  const Quantized out = Quantize(x);
  EXPECT_EQ(out.scales, std::vector<float>{1.0f});
  std::vector<int8_t> expected{127, 0, 2, 2, 0, -2, -2, 3, 4, -127};
  expected.resize(32, 0);
  EXPECT_EQ(out.q, expected);
}

TEST(Activations, ErrorIsAtMostHalfAStepForEveryLength) {
  Rng rng(1);
  for (size_t k = 1; k <= 100; ++k) {
    std::vector<float> x(k);
    for (float& v : x) v = static_cast<float>(rng.Gaussian() * std::exp(4 * rng.Gaussian()));
    const Quantized out = Quantize(x);
    std::vector<float> rounded(k);
    RoundActivations(x.data(), k, rounded.data());
    for (size_t i = 0; i < k; ++i) {
      const float scale = out.scales[i / 32];
      EXPECT_LE(std::abs(x[i] - out.q[i] * scale), scale * 0.50001f);
      EXPECT_EQ(rounded[i], out.q[i] * scale);
    }
    for (size_t b = 0; b < out.scales.size(); ++b) {
      float max = 0;
      for (size_t i = b * 32; i < std::min(k, b * 32 + 32); ++i)
        max = std::max(max, std::abs(x[i]));
      EXPECT_EQ(out.scales[b], max / 127.0f);
    }
    EXPECT_TRUE(std::all_of(out.q.begin() + static_cast<ptrdiff_t>(k), out.q.end(),
                            [](int8_t q) { return q == 0; }));
  }
}

TEST(Activations, ZeroBlockHasScaleZero) {
  const Quantized out = Quantize(std::vector<float>(40, -0.0f));
  EXPECT_EQ(out.scales, (std::vector<float>{0, 0}));
  EXPECT_EQ(out.q, std::vector<int8_t>(64, 0));
}

TEST(Activations, TinyAndHugeValuesStayDefined) {
  const Quantized tiny = Quantize({std::numeric_limits<float>::denorm_min()});
  EXPECT_EQ(tiny.scales[0], 0);
  const Quantized huge = Quantize({std::numeric_limits<float>::max(), -1});
  EXPECT_EQ(huge.q[0], 127);
  EXPECT_EQ(huge.q[1], 0);
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    const Quantized out = Quantize({1, bad, 2});
    EXPECT_TRUE(std::isnan(out.scales[0]));
    EXPECT_EQ(out.q, std::vector<int8_t>(32, 0));
  }
}

TEST(Activations, TuplesAreTransposedWithinSixteen) {
  std::vector<int8_t> q(64);
  for (size_t i = 0; i < q.size(); ++i) q[i] = static_cast<int8_t>(i);
  std::vector<int8_t> tuples(q.size() + 1, 77);
  TransposeTuples(q.data(), 33, tuples.data());  // 33 values are padded to 64
  for (size_t i = 0; i < q.size(); ++i) {
    const size_t tuple = i % 16 / 4;
    EXPECT_EQ(tuples[i / 16 * 16 + i % 4 * 4 + tuple], q[i]) << i;
  }
  EXPECT_EQ(tuples.back(), 77);
}

}  // namespace
}  // namespace ecq

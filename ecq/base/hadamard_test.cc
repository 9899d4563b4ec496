// The rotation against its definition, its inverse, and what it is for.
#include "ecq/base/hadamard.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "ecq/base/rng.h"

namespace ecq {
namespace {

TEST(HadamardTest, IsTheDefinition) {
  constexpr uint32_t kBlock = 8;
  Rng rng(1);
  std::vector<float> x(3 * kBlock);
  for (float& v : x) v = static_cast<float>(rng.Gaussian());
  std::vector<float> rotated = x;
  RotateHadamard(rotated.data(), rotated.size(), kBlock);
  for (uint32_t j = 0; j < x.size(); ++j) {
    double sum = 0;
    for (uint32_t i = 0; i < kBlock; ++i) {
      const uint32_t col = j / kBlock * kBlock + i;
      const bool negative = (col * 0x9e3779b1u >> 31) != 0;
      const int sign = std::popcount(j % kBlock & i) % 2 == 0 ? 1 : -1;
      sum += sign * (negative ? -x[col] : x[col]);
    }
    EXPECT_NEAR(rotated[j], sum / std::sqrt(8.0), 1e-6);
  }
}

TEST(HadamardTest, InverseAndProducts) {
  for (const uint32_t block : {2u, 64u, 4096u}) {
    Rng rng(block);
    std::vector<float> x(2 * block);
    std::vector<float> w(2 * block);
    for (float& v : x) v = static_cast<float>(rng.Gaussian());
    for (float& v : w) v = static_cast<float>(rng.Gaussian());
    std::vector<float> rx = x;
    std::vector<float> rw = w;
    RotateHadamard(rx.data(), rx.size(), block);
    RotateHadamard(rw.data(), rw.size(), block);
    double plain = 0;
    double rotated = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      plain += double{x[i]} * w[i];
      rotated += double{rx[i]} * rw[i];
    }
    EXPECT_NEAR(plain, rotated, 1e-4 * std::sqrt(static_cast<double>(x.size())));
    UnrotateHadamard(rx.data(), rx.size(), block);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(rx[i], x[i], 1e-5);
  }
}

TEST(HadamardTest, SpreadsAnOutlier) {
  std::vector<float> x(64);
  x[17] = 8;
  RotateHadamard(x.data(), x.size(), 64);
  for (const float v : x) EXPECT_EQ(std::abs(v), 1.0f);
}

TEST(HadamardTest, Blocks) {
  EXPECT_EQ(LargestHadamardBlock(576, 256), 64u);
  EXPECT_EQ(LargestHadamardBlock(1536, 256), 256u);
  EXPECT_EQ(LargestHadamardBlock(7, 256), 0u);
  EXPECT_FALSE(IsHadamardBlock(64, 0));
  EXPECT_FALSE(IsHadamardBlock(64, 1));
  EXPECT_FALSE(IsHadamardBlock(64, 24));
  EXPECT_FALSE(IsHadamardBlock(8192, 8192));
  EXPECT_FALSE(IsHadamardBlock(96, 64));
}

}  // namespace
}  // namespace ecq

// Weights and moments of inputs as tests and benchmarks of the calibrated quantizers want them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "ecq/base/rng.h"
#include "ecq/quant/input_moments.h"
#include "ecq/quant/weight_view.h"

namespace ecq {

struct TestMatrix {
  uint32_t rows = 0;
  uint32_t cols = 0;
  std::vector<float> w;

  WeightView view() const { return {w.data(), rows, cols}; }
};

// Gaussian weights; the scale of a row is lognormal(row_spread).
inline TestMatrix GaussianMatrix(uint64_t seed, uint32_t rows, uint32_t cols,
                                 double row_spread = 0) {
  Rng rng(seed);
  TestMatrix m{rows, cols, std::vector<float>(size_t{rows} * cols)};
  for (uint32_t r = 0; r < rows; ++r) {
    const double scale = std::exp(row_spread * rng.Gaussian());
    for (uint32_t c = 0; c < cols; ++c) {
      m.w[size_t{r} * cols + c] = static_cast<float>(scale * rng.Gaussian());
    }
  }
  return m;
}

// Moments with the spectrum k^-power in random directions, then channel scales
// lognormal(channel_spread).
inline InputMoments CorrelatedMoments(uint64_t seed, uint32_t cols, double power,
                                      double channel_spread, uint32_t reflections = 12) {
  Rng rng(seed);
  const size_t n = cols;
  // Random reflections turn a diagonal matrix in every direction, the more the more evenly.
  std::vector<double> sigma(n * n, 0.0);
  for (size_t k = 0; k < n; ++k) sigma[k * (n + 1)] = std::pow(k + 1.0, -power);
  std::vector<double> v(n);
  std::vector<double> sv(n);
  for (uint32_t reflection = 0; reflection < reflections; ++reflection) {
    double norm = 0;
    for (double& x : v) {
      x = rng.Gaussian();
      norm += x * x;
    }
    for (double& x : v) x *= std::sqrt(2 / norm);  // H = 1 - v v^T
    double vsv = 0;
    for (size_t i = 0; i < n; ++i) {
      sv[i] = std::inner_product(v.begin(), v.end(), sigma.begin() + static_cast<ptrdiff_t>(i * n),
                                 0.0);
      vsv += v[i] * sv[i];
    }
    for (size_t i = 0; i < n; ++i) {
      for (size_t k = 0; k < n; ++k) {
        sigma[i * n + k] += v[i] * v[k] * vsv - v[i] * sv[k] - sv[i] * v[k];
      }
    }
  }
  std::vector<double> scales(n);
  for (double& scale : scales) scale = std::exp(channel_spread * rng.Gaussian());
  InputMoments moments{cols, 1000, AlignedBuffer<float>(n * n)};
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < n; ++k) {
      const size_t at = i < k ? i * n + k : k * n + i;
      moments.sums[i * n + k] = static_cast<float>(1000 * scales[i] * scales[k] * sigma[at]);
    }
  }
  return moments;
}

inline InputMoments IdentityMoments(uint32_t cols) {
  InputMoments moments{cols, 1, AlignedBuffer<float>(size_t{cols} * cols)};
  moments.sums.Fill(0);
  for (size_t i = 0; i < cols; ++i) moments.sums[i * (cols + 1)] = 1;
  return moments;
}

// trace(E sums E^T) with E = a - b, (rows, cols).
inline double WeightedError(const InputMoments& moments, const std::vector<float>& a,
                            const std::vector<float>& b) {
  const size_t n = moments.cols;
  std::vector<double> e(n);
  double total = 0;
  for (size_t begin = 0; begin < a.size(); begin += n) {
    for (size_t k = 0; k < n; ++k) e[k] = double{a[begin + k]} - b[begin + k];
    for (size_t i = 0; i < n; ++i) {
      double product = 0;
      for (size_t k = 0; k < n; ++k) product += e[k] * moments.sums[i * n + k];
      total += e[i] * product;
    }
  }
  return total;
}

}  // namespace ecq

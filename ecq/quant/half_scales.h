// Stores scales as binary16 numbers times one power of two.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "ecq/base/half.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

// Sets out->scale_exponent so that the largest scale lies in [2^14, 2^15), which leaves 28 binary
// orders of normal numbers below it, and out->scales to the rounded scales.
inline void StoreHalfScales(const std::vector<double>& scales, QuantizedTensor* out) {
  double largest = 0;
  for (const double scale : scales) largest = std::max(largest, std::abs(scale));
  constexpr double kTopOrder = 14;
  out->scale_exponent = largest > 0 ? static_cast<int32_t>(std::clamp(
                                          std::floor(std::log2(largest)) - kTopOrder, -64.0, 64.0))
                                    : 0;
  out->scales.clear();
  out->scales.reserve(scales.size());
  for (const double scale : scales) {
    out->scales.push_back(FloatToHalf(static_cast<float>(std::ldexp(scale, -out->scale_exponent))));
  }
}

}  // namespace ecq

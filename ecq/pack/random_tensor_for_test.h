// Random quantized matrices of any shape and kind, for tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "ecq/base/half.h"
#include "ecq/base/rng.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

struct RandomTensorOptions {
  uint32_t rows = 64;
  uint32_t cols = 64;
  int32_t level_min = -128;
  int32_t level_max = 127;
  double sigma = 3;  // of the levels; 0: uniform over the range
  ScaleKind scale_kind = ScaleKind::kRow;
  uint32_t group_size = 32;
  bool biases = false;
  std::vector<uint32_t> span_ends;  // levels of odd spans are four times as wide
  uint32_t num_fixes = 0;
  int32_t max_delta = 4000;
  bool col_scales = false;
  bool col_order = false;
};

// Binary16 numbers around 1, of both signs.
inline uint16_t RandomHalf(Rng& rng) {
  const double magnitude = std::exp2(rng.Uniform() * 4 - 2);
  return FloatToHalf(static_cast<float>(rng.Below(4) == 0 ? -magnitude : magnitude));
}

inline int8_t RandomLevel(Rng& rng, const RandomTensorOptions& options, double sigma) {
  const int32_t range = options.level_max - options.level_min + 1;
  if (sigma == 0)
    return static_cast<int8_t>(options.level_min + static_cast<int32_t>(rng.Below(range)));
  return static_cast<int8_t>(std::clamp(std::nearbyint(rng.Gaussian() * sigma),
                                        double(options.level_min), double(options.level_max)));
}

inline void AddRandomFixes(Rng& rng, const RandomTensorOptions& options, QuantizedTensor& t) {
  std::set<std::pair<uint32_t, uint32_t>> places;
  const uint64_t wanted = std::min<uint64_t>(options.num_fixes, uint64_t{t.rows} * t.cols);
  while (places.size() < wanted) {
    places.emplace(static_cast<uint32_t>(rng.Below(t.rows)),
                   static_cast<uint32_t>(rng.Below(t.cols)));
  }
  for (const auto& [row, col] : places) {
    const int32_t delta = 1 + static_cast<int32_t>(rng.Below(options.max_delta));
    t.fixes.push_back({row, col, rng.Below(2) == 0 ? delta : -delta});
  }
}

inline QuantizedTensor RandomTensor(Rng& rng, const RandomTensorOptions& options) {
  QuantizedTensor t;
  t.rows = options.rows;
  t.cols = options.cols;
  t.grid = "random";
  t.scale_kind = options.scale_kind;
  t.group_size = options.scale_kind == ScaleKind::kGroup ? options.group_size : 0;
  t.scale_exponent = -static_cast<int32_t>(rng.Below(8));
  t.span_ends = options.span_ends;
  t.levels.resize(uint64_t{t.rows} * t.cols);
  for (uint32_t r = 0; r < t.rows; ++r) {
    size_t span = 0;
    for (uint32_t c = 0; c < t.cols; ++c) {
      while (span < t.span_ends.size() && c >= t.span_ends[span]) ++span;
      t.levels[uint64_t{r} * t.cols + c] =
          RandomLevel(rng, options, span % 2 == 0 ? options.sigma : 4 * options.sigma);
    }
  }
  for (uint64_t i = 0; i < t.NumScales(); ++i) {
    t.scales.push_back(RandomHalf(rng));
    if (options.biases) t.biases.push_back(RandomHalf(rng));
  }
  AddRandomFixes(rng, options, t);
  for (uint32_t c = 0; c < t.cols; ++c) {
    if (options.col_scales) t.col_scales.push_back(RandomHalf(rng));
    if (options.col_order) t.col_order.push_back(c);
  }
  for (size_t i = t.col_order.size(); i > 1; --i)
    std::swap(t.col_order[i - 1], t.col_order[rng.Below(i)]);
  return t;
}

}  // namespace ecq

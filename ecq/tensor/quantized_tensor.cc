#include "ecq/tensor/quantized_tensor.h"

#include <algorithm>
#include <cmath>

#include "ecq/base/hadamard.h"
#include "ecq/base/half.h"

namespace ecq {
namespace {

size_t ScaleIndex(const QuantizedTensor& t, uint32_t row, uint32_t col) {
  switch (t.scale_kind) {
    case ScaleKind::kTensor:
      return 0;
    case ScaleKind::kRow:
      return row;
    case ScaleKind::kGroup:
      return size_t{col / t.group_size} * t.rows + row;
  }
  return 0;
}

}  // namespace

float QuantizedTensor::ScaleAt(uint32_t row, uint32_t col) const {
  return std::ldexp(HalfToFloat(scales[ScaleIndex(*this, row, col)]), scale_exponent);
}

float QuantizedTensor::BiasAt(uint32_t row, uint32_t col) const {
  if (biases.empty()) return 0.0f;
  return std::ldexp(HalfToFloat(biases[ScaleIndex(*this, row, col)]), scale_exponent);
}

void QuantizedTensor::DequantizeRow(uint32_t row, float* out) const {
  const int8_t* const row_levels = levels.data() + size_t{row} * cols;
  const auto place = [&](uint32_t c) { return col_order.empty() ? c : col_order[c]; };
  const uint32_t group = scale_kind == ScaleKind::kGroup ? group_size : cols;
  for (uint32_t begin = 0; begin < cols; begin += group) {
    const float scale = ScaleAt(row, begin);
    const float bias = BiasAt(row, begin);
    const uint32_t end = std::min(cols, begin + group);
    for (uint32_t c = begin; c < end; ++c) {
      out[place(c)] = scale * static_cast<float>(row_levels[c]) + bias;
    }
  }
  const auto [first, last] = FixesOfRows(fixes, row, row + 1);
  for (const Fix* fix = first; fix != last; ++fix) {
    const int32_t integer = row_levels[fix->col] + fix->delta;
    out[place(fix->col)] =
        ScaleAt(row, fix->col) * static_cast<float>(integer) + BiasAt(row, fix->col);
  }
  for (uint32_t c = 0; c < cols && !col_scales.empty(); ++c) {
    out[place(c)] *= HalfToFloat(col_scales[c]);
  }
  if (rotation != 0) UnrotateHadamard(out, cols, rotation);
}

std::pair<const Fix*, const Fix*> FixesOfRows(const std::vector<Fix>& fixes, uint32_t row_begin,
                                              uint32_t row_end) {
  const auto by_row = [](const Fix& fix, uint32_t row) { return fix.row < row; };
  const auto first = std::lower_bound(fixes.begin(), fixes.end(), row_begin, by_row);
  const auto last = std::lower_bound(first, fixes.end(), row_end, by_row);
  return {fixes.data() + (first - fixes.begin()), fixes.data() + (last - fixes.begin())};
}

}  // namespace ecq

#include "ecq/tensor/quantized_tensor.h"

#include <algorithm>
#include <cmath>

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
  auto fix = FixesOfRows(fixes, row, row + 1).first;
  const Fix* const fixes_end = fixes.data() + fixes.size();
  for (uint32_t c = 0; c < cols; ++c) {
    int32_t integer = row_levels[c];
    if (fix != fixes_end && fix->row == row && fix->col == c) integer += (fix++)->delta;
    float weight = ScaleAt(row, c) * static_cast<float>(integer) + BiasAt(row, c);
    if (!col_scales.empty()) weight *= HalfToFloat(col_scales[c]);
    out[col_order.empty() ? c : col_order[c]] = weight;
  }
}

std::pair<const Fix*, const Fix*> FixesOfRows(const std::vector<Fix>& fixes, uint32_t row_begin,
                                              uint32_t row_end) {
  const auto by_row = [](const Fix& fix, uint32_t row) { return fix.row < row; };
  const auto first = std::lower_bound(fixes.begin(), fixes.end(), row_begin, by_row);
  const auto last = std::lower_bound(first, fixes.end(), row_end, by_row);
  return {fixes.data() + (first - fixes.begin()), fixes.data() + (last - fixes.begin())};
}

}  // namespace ecq

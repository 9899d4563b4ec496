#include "ecq/quant/row_rms.h"

#include <cmath>
#include <string>

namespace ecq {
namespace {

// Rows with a larger rms have no half scale (scale_exponent ends at 64).
constexpr float kLargestRms = 0x1p72f;

}  // namespace

Result<std::vector<float>> RowRms(WeightView weights, ThreadPool& pool) {
  std::vector<float> row_rms(weights.rows);
  pool.Run(weights.rows, [&](size_t row, size_t) {
    const float* const w = weights.Row(static_cast<uint32_t>(row));
    double sum = 0;
    for (uint32_t c = 0; c < weights.cols; ++c) sum += double{w[c]} * w[c];
    row_rms[row] = static_cast<float>(std::sqrt(sum / weights.cols));
  });
  for (uint32_t r = 0; r < weights.rows; ++r) {
    if (row_rms[r] <= kLargestRms) continue;
    return Error{ErrorCode::kInvalidArgument,
                 "row " + std::to_string(r) +
                     " holds a weight that is infinite, not a number or beyond 2^72; such a model "
                     "cannot be quantized"};
  }
  return row_rms;
}

float TrimmedRms(const float* values, uint32_t count, float rms) {
  constexpr int kRounds = 2;
  for (int round = 0; round < kRounds; ++round) {
    const double limit = kTrimRms * rms;
    double sum = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; ++i) {
      if (std::abs(values[i]) > limit) continue;
      sum += double{values[i]} * values[i];
      ++kept;
    }
    if (sum > 0) rms = static_cast<float>(std::sqrt(sum / kept));
  }
  return rms;
}

}  // namespace ecq

// The rms of rows of a matrix, with and without outliers, and the check that weights are finite.
#pragma once

#include <cstdint>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/quant/weight_view.h"

namespace ecq {

// sqrt(mean of squares) of each row, N values.
// Errors: kInvalidArgument for weights that are not finite or so large that no scale holds them.
Result<std::vector<float>> RowRms(WeightView weights, ThreadPool& pool);

// Values beyond as many rms are outliers: they do not count for a scale.
inline constexpr double kTrimRms = 4.5;
// Of a row that does not count as zero.
inline constexpr float kSmallestRms = 0x1p-100f;

// The rms of `values` without outliers, unless nothing but zeros would be left. rms: that of all.
float TrimmedRms(const float* values, uint32_t count, float rms);

}  // namespace ecq

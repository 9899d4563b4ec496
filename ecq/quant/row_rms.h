// The rms of every row of a matrix, and the check that its weights are finite.
#pragma once

#include <vector>

#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/quant/weight_view.h"

namespace ecq {

// sqrt(mean of squares) of each row, N values.
// Errors: kInvalidArgument for weights that are not finite or so large that no scale holds them.
Result<std::vector<float>> RowRms(WeightView weights, ThreadPool& pool);

}  // namespace ecq

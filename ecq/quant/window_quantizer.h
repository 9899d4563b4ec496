// Data-free quantization into the window code.
#pragma once

#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/quant/weight_view.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

// Bits per weight that the window code can have, row scales not counted.
inline constexpr double kMinWindowRate = 1;
inline constexpr double kMaxWindowRate = 4;

struct WindowOptions {
  double bpw = 3;          // of codes and row scales together; not exceeded but by fixes
  bool has_memory = true;  // 12 bits of window rather than 8
  bool rotate = true;      // spread outliers over blocks of columns first, where K allows it
};

// Quantizes W (N, K). Every row is scaled by its rms, entries beyond 4.5 rms left out, so that a
// table for a unit Gaussian fits it; the codes come from WindowSearch; the scale of a row is then
// the gain that minimises its squared error; weights that the table does not reach become fixes
// where that lowers the error by more than the same bits would elsewhere. Rates between those of
// the tables mix two of them, by columns.
//
// Errors: kInvalidArgument for weights that are not finite, or if bpw is below what the code needs.
Result<QuantizedTensor> QuantizeWindow(WeightView weights, const WindowOptions& options,
                                       ThreadPool& pool);

}  // namespace ecq

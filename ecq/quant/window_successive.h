// Successive quantization into the window code: calibrated, to a number of bits.
#pragma once

#include <string>

#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/quant/input_moments.h"
#include "ecq/quant/successive.h"
#include "ecq/quant/weight_view.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

struct SuccessiveWindowOptions {
  // Of everything that the matrix takes in a file: codes, scales, classes of columns, fixes, index.
  double bpw = 3;
  bool has_memory = true;       // 12 bits of window rather than 8
  bool use_fixes = true;        // weights that the tables miss get their value apart
  bool pays_for_tables = true;  // false if the file has them for other matrices
  FactorOptions factor = {};    // its order is not used: columns are ordered here
};

// Quantizes W (N, K) so that trace(E moments E^T) of the error E is small. Columns are sorted into
// classes with a rate and a table each, those first whose error would cost most; classes keep the
// columns in their natural order and are multiples of 32 but for the last. Rows have the rms of
// their weights as a scale, after columns are divided by theirs; for columns see
// WindowColumnCoder.
//
// The bits are those asked for or up to 16 / K fewer, which is what a step of one group of 32
// columns takes, and what is reserved for fixes and not needed. Where bpw is beyond the highest
// rate, the rest is unused.
//
// Errors: kInvalidArgument for weights that are not finite, moments that InputFactor refuses, after
// `where`, or if bpw is below what the code needs.
Result<QuantizedTensor> QuantizeWindowSuccessive(WeightView weights, const InputMoments& moments,
                                                 const SuccessiveWindowOptions& options,
                                                 const std::string& where, ThreadPool& pool);

}  // namespace ecq

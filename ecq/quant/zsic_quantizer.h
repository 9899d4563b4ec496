// ECQ's calibrated quantizer for the entropy coder: successive quantization of the columns with
// integers that are not bounded (ZSIC; successive.h, docs/quantization.md).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/quant/successive.h"
#include "ecq/quant/weight_view.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

struct ZsicOptions {
  // Whether a column is scaled by its least-squares gain: what it loses by rounding towards zero at
  // low rates. Helps most models, harms some a little; to be chosen by what the model then does.
  bool gain = true;
  uint32_t max_classes = 16;  // of columns, each with a table of its own; 1: natural order
};

// What a matrix takes in a file.
using TensorBytes = std::function<Result<double>(const QuantizedTensor&)>;

// A matrix with all that every step shares.
class ZsicQuantizer {
 public:
  // Integers beyond +-kMaxLevel become that level and a fix; beyond kMaxInteger, that integer.
  static constexpr int32_t kMaxLevel = 127;
  static constexpr int32_t kMaxInteger = 1 << 22;

  // `weights` and `factor` must outlive the quantizer. Pre: factor.cols() == weights.cols.
  // Errors: kInvalidArgument for weights that are not finite.
  static Result<ZsicQuantizer> Create(WeightView weights, const InputFactor& factor,
                                      const ZsicOptions& options, ThreadPool& pool);

  struct Output {
    QuantizedTensor tensor;
    // The mean over weights of (E L)^2, each row in units of its rms and L scaled as `factor` has
    // it: about step^2 / 12, at any rate where most integers are not 0.
    double error = 0;
  };

  // The integers nearest to w / (step * rms of the row / L[i][i]), each column corrected by the
  // errors of those after it. The scale of a row is its rms; that of a column step / L[i][i], times
  // its gain. Columns are sorted into classes (column_classes.h).
  // Errors: kInvalidArgument if more than 1 % of the integers exceed kMaxLevel: the rate is too
  // high for this grid.
  Result<Output> Quantize(double step, ThreadPool& pool) const;

  // Bits per weight that Quantize(step) takes, by the entropy of some of its rows, evenly spaced.
  double EstimateBits(double step, ThreadPool& pool) const;

  struct Found {
    double step = 0;
    double bytes = 0;  // as bytes_of() counts them
    Output output;
  };
  // The step at which bytes_of() is nearest to target_bytes, to 0.005 bits per weight where the
  // matrix can take so many: first by EstimateBits(), then by bytes_of() the whole matrix.
  // Errors: those of Quantize() and of bytes_of().
  Result<Found> FindStep(double target_bytes, const TensorBytes& bytes_of, ThreadPool& pool) const;

 private:
  ZsicQuantizer(WeightView weights, const InputFactor& factor, const ZsicOptions& options);

  void SetRowScales(const std::vector<float>& row_rms);
  void TakeSample();

  WeightView weights_;
  const InputFactor* factor_;
  ZsicOptions options_;
  int32_t scale_exponent_ = 0;
  std::vector<uint16_t> row_scales_;  // binary16, times 2^scale_exponent_
  std::vector<float> row_units_;      // the same as numbers
  // Some of the rows, for estimates.
  uint32_t sample_rows_ = 0;
  std::vector<float> sample_;
  std::vector<float> sample_units_;
};

}  // namespace ecq

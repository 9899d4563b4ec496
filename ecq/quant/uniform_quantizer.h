// ECQ's data-free quantizer: uniform, mid-tread, unbounded, with a step proportional to the rms of
// the row. The entropy coder, not the grid, decides how many bits a weight takes.
//
// Why: with entropy coding one uniform step is within 0.255 bit of the rate-distortion bound at any
// rate and any scale of groups only costs side bits; rows with their own rms get the same relative
// error, which is what the output of a network sees (docs/quantization.md, with measurements).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/quant/weight_view.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

// How often each level from -128 to 127 occurs; [0] belongs to -128.
using LevelCounts = std::array<uint64_t, 256>;

// A matrix with the statistics that every step size shares.
class UniformQuantizer {
 public:
  // Integers beyond +-kMaxLevel become that level and a fix.
  static constexpr int32_t kMaxLevel = 127;

  // Errors: kInvalidArgument for weights that are not finite.
  static Result<UniformQuantizer> Create(WeightView weights, ThreadPool& pool);

  // Row scales when what they save is more than their 16 bits per row, else one scale for the
  // matrix. A common step for rows of unequal rms s_r needs, for the same mean relative error,
  // log2(mean(s^-2) * geomean(s^2)) / 2 bits per weight more (docs/quantization.md).
  ScaleKind scale_kind() const { return scale_kind_; }
  uint64_t scale_bytes() const;

  // Counts the levels that a step of relative_step * rms gives, over at most max_weights weights
  // (whole rows, evenly spaced); counts are scaled up to the whole matrix.
  LevelCounts CountLevels(double relative_step, uint64_t max_weights, ThreadPool& pool) const;

  // The integers and least-squares scales for that step: integer = round(w / step), and the scale
  // of a row (or of the matrix) is sum(w * integer) / sum(integer^2), the gain that minimises the
  // squared error.
  // Errors: kInvalidArgument if more than 1 % of the integers exceed kMaxLevel: the rate is too
  // high for this grid.
  Result<QuantizedTensor> Quantize(double relative_step, ThreadPool& pool) const;

 private:
  UniformQuantizer(WeightView weights, std::vector<float> row_rms);

  float StepOfRow(uint32_t row, double relative_step) const;

  WeightView weights_;
  std::vector<float> row_rms_;
  float rms_;  // of the whole matrix
  ScaleKind scale_kind_;
};

// Bytes that levels with these counts will take in the file, everything included.
using ByteEstimate = std::function<double(const LevelCounts&)>;

// The relative step whose estimated bytes meet target_bytes, by the secant method in (log2 step,
// bytes): the rate of a fine uniform quantizer falls by one bit per doubling of the step. Stops at
// a relative difference of 0.05 %, or after a dozen steps with the best one found.
double FindRelativeStep(const UniformQuantizer& quantizer, uint64_t num_weights,
                        double target_bytes, const ByteEstimate& estimate, ThreadPool& pool);

}  // namespace ecq

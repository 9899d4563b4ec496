// A weight matrix kept as dense f32: the uncompressed reference.
#pragma once

#include <cstdint>

#include "ecq/backend/matrix.h"
#include "ecq/base/aligned_buffer.h"

namespace ecq {

class DenseMatrix final : public Matrix {
 public:
  // Takes `weights` (rows, cols), row-major.
  // Errors: kInvalidArgument for an empty matrix or one whose size differs from weights.size().
  static Result<DenseMatrix> Create(uint64_t rows, uint64_t cols, AlignedBuffer<float> weights);

  uint64_t rows() const override { return rows_; }
  uint64_t cols() const override { return cols_; }
  uint64_t resident_bytes() const override { return weights_.size() * sizeof(float); }

  // With kI8 the rounding of the activations is simulated in f32: x is replaced by what
  // RoundActivations() makes of it. Never fails.
  using Matrix::Multiply;
  Status Multiply(ThreadPool& pool, ActivationMode mode, Activations& x, float* y) const override;
  Status GatherRows(ThreadPool& pool, std::span<const uint32_t> ids, float* out) const override;

 private:
  DenseMatrix(uint64_t rows, uint64_t cols, AlignedBuffer<float> weights)
      : rows_(rows), cols_(cols), weights_(std::move(weights)) {}

  uint64_t rows_;
  uint64_t cols_;
  AlignedBuffer<float> weights_;
};

}  // namespace ecq

// A weight matrix that stays coded: products decode it on the way.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ecq/backend/matrix.h"
#include "ecq/base/aligned_buffer.h"
#include "ecq/kernels/packed_view.h"
#include "ecq/pack/packed_tensor.h"

namespace ecq {

class PackedMatrix final : public Matrix {
 public:
  // Expands tables and scales of a validated tensor; the codestreams stay where they are, and
  // what backs tensor.payload must outlive the matrix.
  explicit PackedMatrix(PackedTensor tensor);

  uint64_t rows() const override { return tensor_.desc.rows; }
  uint64_t cols() const override { return tensor_.desc.cols; }
  uint64_t resident_bytes() const override { return tensor_.total_bytes(); }

  // One row of x runs the fused GEMV. Several decode a block of W at a time for all of them: to
  // int8 for int8 activations where there is vector code for it, whose rows are then those of the
  // GEMV; otherwise to f32, for BLAS.
  using Matrix::Multiply;
  Status Multiply(ThreadPool& pool, ActivationMode mode, Activations& x, float* y) const override;
  Status GatherRows(ThreadPool& pool, std::span<const uint32_t> ids, float* out) const override;

  // The integers (level + fixes) of rows [row_begin, row_end), row-major in stored column order.
  // Pre: row_begin is the first row of a tile, row_end the end of one.
  Status DecodeIntegers(uint32_t row_begin, uint32_t row_end, int32_t* out) const;

  const PackedTensor& tensor() const { return tensor_; }
  const PackedView& view() const { return view_; }

 private:
  // All of them return whether every tile ended as it must.
  bool Gemv(ThreadPool& pool, ActivationMode mode, Activations& x, float* y) const;
  bool GemmI8(ThreadPool& pool, Activations& x, float* y) const;
  bool GemmTiles(uint32_t begin, uint32_t end, const PackedBatch& x, float* y) const;
  bool GemmF32(ThreadPool& pool, size_t m, const float* x, float* y) const;
  // Adds scale * delta of every fix to columns of dequantized weights of rows from row_begin on.
  void FixColumns(uint32_t row_begin, uint32_t row_end, float* columns, size_t stride) const;
  float FixWeight(const Fix& fix) const;
  ColumnLayout Layout() const;
  std::span<const Fix> FixesOfRows(uint32_t begin, uint32_t end) const;
  Status Verdict(bool ok) const;

  PackedTensor tensor_;
  std::vector<std::vector<uint32_t>> fused_slots_;
  std::vector<std::vector<uint64_t>> wide_slots_;
  std::vector<Rans16Lookup> lookups_;
  std::vector<SlotTable> slot_tables_;
  std::vector<WindowPlanes> window_planes_;
  AlignedBuffer<float> scales_;
  AlignedBuffer<float> biases_;
  std::vector<float> col_scales_;
  PackedView view_;
};

}  // namespace ecq

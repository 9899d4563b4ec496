// The input of a product, prepared once for all matrices that it meets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/thread_pool.h"
#include "ecq/kernels/packed_view.h"

namespace ecq {

// How a matrix stores its columns, and so what becomes of x before it meets them. Two layouts are
// equal if they refer to the same arrays.
struct ColumnLayout {
  uint32_t rotation = 0;                  // as in PackedDesc
  std::span<const uint32_t> col_order{};  // stored column -> column; empty: as they are
  std::span<const float> col_scales{};    // in stored order; empty: none

  bool IsPlain() const { return rotation == 0 && col_order.empty() && col_scales.empty(); }
  friend bool operator==(const ColumnLayout& a, const ColumnLayout& b) {
    return a.rotation == b.rotation && a.col_order.data() == b.col_order.data() &&
           a.col_scales.data() == b.col_scales.data();
  }
};

// x (m, cols) in the forms that products ask for. A form is made when it is first asked for and
// kept for the next matrices of the same layout; memory is kept from one x to the next, so in the
// long run nothing is allocated. Results are valid until another layout or x comes. Not to be used
// by two threads at once.
class Activations {
 public:
  // Takes another x, which has to stay as it is until the next call, as do the arrays of all
  // layouts.
  void Reset(size_t m, size_t cols, const float* x);

  size_t m() const { return m_; }
  size_t cols() const { return cols_; }

  // x as it is, (m, cols).
  const float* x() const { return x_; }
  // x rotated, its columns in stored order and scaled, (m, cols).
  const float* Stored(ThreadPool& pool, const ColumnLayout& layout);
  // The same as int8 blocks represent it (RoundActivations()).
  const float* Rounded(ThreadPool& pool, const ColumnLayout& layout);

  // The first row for the GEMV kernels of a matrix `desc`.
  PackedActivations VectorF32(ThreadPool& pool, const ColumnLayout& layout, const PackedDesc& desc);
  PackedActivations VectorI8(const ColumnLayout& layout, const PackedDesc& desc);
  // All rows for its int8 GEMM kernel.
  PackedBatch BatchI8(ThreadPool& pool, const ColumnLayout& layout, const PackedDesc& desc);

 private:
  // What a form was made for.
  struct Key {
    ColumnLayout layout;
    uint32_t group_size = 0;  // of the sums over groups of columns; 0: none are needed
    bool tuples = false;      // with q in the order of TransposeTuples()
    bool operator==(const Key&) const = default;
  };
  static Key KeyFor(const ColumnLayout& layout, const PackedDesc& desc);

  // One row in int8, as a PackedActivations has it.
  struct Int8Row {
    AlignedBuffer<int8_t> q;
    AlignedBuffer<float> q_scales;
    AlignedBuffer<int32_t> q_sums;
    AlignedBuffer<int8_t> q_tuples;
  };

  // Row `row` in stored order: in `out` (cols), or x itself.
  const float* StoredRow(size_t row, const ColumnLayout& layout, float* out) const;
  // `group_sums` as in PackedActivations, if the key asks for them.
  void QuantizeRow(size_t row, const Key& key, Int8Row& to, float* group_sums) const;
  void StoreInPanels(size_t row, const Key& key, const Int8Row& from);

  size_t m_ = 0;
  size_t cols_ = 0;
  const float* x_ = nullptr;

  std::optional<ColumnLayout> stored_for_;
  AlignedBuffer<float> stored_;
  std::optional<ColumnLayout> rounded_for_;
  AlignedBuffer<float> rounded_;

  std::optional<Key> vector_for_;
  Int8Row vector_;
  std::optional<Key> panels_for_;
  AlignedBuffer<int8_t> q_panels_;
  AlignedBuffer<float> scale_panels_;
  AlignedBuffer<int32_t> sum_panels_;
  AlignedBuffer<float> group_sums_;
};

}  // namespace ecq

// A last block that lacks rows, as a matrix of one whole block.
#pragma once

#include <cstdint>
#include <vector>

#include "ecq/base/aligned_buffer.h"
#include "ecq/kernels/packed_view.h"

namespace ecq {

// Vector code owns whole blocks of rows. The last few rows of a matrix are decoded and multiplied
// as kMaxLanes rows in memory of their own, so that nothing beyond the matrix is read or written.
class PaddedBlock {
 public:
  // For the rows [row, w.desc.rows), at most kMaxLanes.
  PaddedBlock(const PackedView& w, uint32_t row);
  PaddedBlock(const PaddedBlock&) = delete;
  PaddedBlock& operator=(const PaddedBlock&) = delete;

  uint32_t num_rows() const { return num_rows_; }
  // (cols, kMaxLanes): the levels, to be filled.
  int8_t* levels() { return levels_.data(); }
  // The filled levels as a raw matrix of kMaxLanes rows; rows that are none have scale 0.
  const PackedView& View();

 private:
  uint32_t num_rows_;
  std::vector<int8_t> levels_;
  AlignedBuffer<uint8_t> payload_;
  std::vector<float> scales_;
  std::vector<float> biases_;
  uint32_t index_[2];
  ColumnSpan span_;
  PackedView view_;
};

}  // namespace ecq

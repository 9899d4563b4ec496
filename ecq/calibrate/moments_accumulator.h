// The running sum of x x^T over tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/thread_pool.h"
#include "ecq/quant/input_moments.h"

namespace ecq {

// Blocks of tokens are summed on their own before they join the total, which keeps the error of f32
// sums small; the total is cut into tiles of a fixed size, so that no sum depends on the number of
// threads.
class MomentsAccumulator {
 public:
  // `pool` must outlive it. Throws std::bad_alloc.
  MomentsAccumulator(ThreadPool& pool, uint32_t cols);
  // Starts from the sum of another one.
  MomentsAccumulator(const MomentsAccumulator& other);
  MomentsAccumulator& operator=(const MomentsAccumulator&) = delete;

  // Adds weight * x x^T for each row of x (t, cols).
  void Add(size_t t, const float* x, double weight);

  // Whether all sums of squares are finite; one input that is not shows in its own.
  bool IsFinite() const;

  // Hands the sum over, both triangles filled; nothing may be added after that.
  InputMoments Take();

 private:
  // One tile of the lower triangle: rows from `row` and columns from `col` on, col <= row.
  struct Tile {
    size_t row, rows, col, cols;
  };
  Tile TileAt(size_t index) const;
  void AddBlock(size_t t, const float* x, float weight);
  void AddTile(const Tile& tile, size_t t, const float* x, float weight, float* scratch);

  ThreadPool* pool_;
  size_t num_tiles_;
  InputMoments moments_;          // lower triangle
  AlignedBuffer<float> scratch_;  // (num_threads, kTile, kTile)
};

}  // namespace ecq

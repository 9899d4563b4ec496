// Sums of outer products, tile by tile.
#include "ecq/calibrate/moments_accumulator.h"

#include <algorithm>
#include <cmath>

#include "ecq/base/bytes.h"
#include "ecq/blas/gemm.h"

namespace ecq {
namespace {

// Three of them make the 576 inputs of the smallest models; the tile and both its operands stay in
// the second-level cache.
constexpr size_t kTile = 192;
// Tokens that are summed before they join the total.
constexpr size_t kBlockTokens = 512;

}  // namespace

MomentsAccumulator::MomentsAccumulator(ThreadPool& pool, uint32_t cols)
    : pool_(&pool), scratch_(pool.num_threads() * kTile * kTile) {
  const size_t per_side = DivideRoundUp(cols, kTile);
  num_tiles_ = per_side * (per_side + 1) / 2;
  moments_.cols = cols;
  moments_.sums = AlignedBuffer<float>(size_t{cols} * cols);
  moments_.sums.Fill(0);
}

MomentsAccumulator::MomentsAccumulator(const MomentsAccumulator& other)
    : pool_(other.pool_),
      num_tiles_(other.num_tiles_),
      moments_{other.moments_.cols, other.moments_.weight,
               AlignedBuffer<float>(other.moments_.sums.size())},
      scratch_(other.scratch_.size()) {
  std::copy(other.moments_.sums.begin(), other.moments_.sums.end(), moments_.sums.begin());
}

MomentsAccumulator::Tile MomentsAccumulator::TileAt(size_t index) const {
  size_t row = 0;
  while ((row + 1) * (row + 2) / 2 <= index) ++row;
  const size_t col = index - row * (row + 1) / 2;
  const auto size = [&](size_t at) { return std::min(kTile, moments_.cols - at * kTile); };
  return {row * kTile, size(row), col * kTile, size(col)};
}

void MomentsAccumulator::Add(size_t t, const float* x, double weight) {
  for (size_t done = 0; done < t; done += kBlockTokens) {
    AddBlock(std::min(kBlockTokens, t - done), x + done * moments_.cols,
             static_cast<float>(weight));
  }
  moments_.weight += weight * static_cast<double>(t);
}

void MomentsAccumulator::AddBlock(size_t t, const float* x, float weight) {
  pool_->Run(num_tiles_, [&](size_t index, size_t worker) {
    AddTile(TileAt(index), t, x, weight, &scratch_[worker * kTile * kTile]);
  });
}

void MomentsAccumulator::AddTile(const Tile& tile, size_t t, const float* x, float weight,
                                 float* scratch) {
  const size_t stride = moments_.cols;
  const bool is_diagonal = tile.row == tile.col;
  if (is_diagonal) {
    LowerGram(tile.rows, t, {x + tile.row, stride}, {scratch, kTile});
  } else {
    GemmOfColumns(tile.rows, tile.cols, t, {x + tile.row, stride}, {x + tile.col, stride},
                  {scratch, kTile});
  }
  for (size_t i = 0; i < tile.rows; ++i) {
    float* const to = &moments_.sums[(tile.row + i) * stride + tile.col];
    const float* const from = scratch + i * kTile;
    const size_t n = is_diagonal ? i + 1 : tile.cols;
    for (size_t j = 0; j < n; ++j) to[j] += weight * from[j];
  }
}

bool MomentsAccumulator::IsFinite() const {
  for (size_t i = 0; i < moments_.cols; ++i) {
    if (!std::isfinite(moments_.sums[i * moments_.cols + i])) return false;
  }
  return true;
}

InputMoments MomentsAccumulator::Take() {
  const size_t stride = moments_.cols;
  pool_->Run(num_tiles_, [&](size_t index, size_t /*worker*/) {
    const Tile tile = TileAt(index);
    for (size_t i = tile.row; i < tile.row + tile.rows; ++i) {
      const size_t end = std::min(i, tile.col + tile.cols);
      for (size_t j = tile.col; j < end; ++j) {
        moments_.sums[j * stride + i] = moments_.sums[i * stride + j];
      }
    }
  });
  return std::move(moments_);
}

}  // namespace ecq

#include "ecq/kernels/reference/packed.h"

#include <array>

#include "ecq/kernels/activations.h"
#include "ecq/kernels/reference/tile_reader.h"

namespace ecq::reference {
namespace {

// Weight (row, col) of a level.
float Dequantize(const PackedView& w, uint32_t row, uint32_t col, int32_t level) {
  const size_t i = size_t{col / w.desc.group_size} * w.desc.rows + row;
  // Adding zero where there is no bias turns -0 into 0, as every other implementation does.
  const float bias = w.biases == nullptr ? 0.0f : w.biases[i];
  return w.scales[i] * static_cast<float>(level) + bias;
}

// y[r] = sum_k W(r, k) * x(k) with the sums of one tile's rows in double.
template <typename Activation>
bool Gemv(const PackedView& w, uint32_t tile_begin, uint32_t tile_end, Activation&& activation,
          float* y) {
  bool ok = true;
  for (uint32_t tile = tile_begin; tile < tile_end; ++tile) {
    std::array<double, kMaxLanes> sums{};
    ok &= ReadTile(w, tile, [&](uint32_t row, uint32_t col, int32_t level) {
      double& sum = sums[row % w.desc.lanes];
      if (col == 0) sum = 0;
      sum += static_cast<double>(Dequantize(w, row, col, level)) * activation(col);
      if (col + 1 == w.desc.cols) y[row] = static_cast<float>(sum);
    });
  }
  return ok;
}

// Rows of x for which a tile is decoded once.
constexpr size_t kBatchRows = 32;

// Activations of column `col` for the rows [first, first + m) of x.
void LoadActivations(const PackedView& w, uint32_t col, const PackedBatch& x, size_t first,
                     size_t m, std::array<double, kBatchRows>& activations) {
  const size_t i = w.desc.codec == CodecId::kWindow ? TupleIndex(col) : col;
  for (size_t t = 0; t < m; ++t) {
    activations[t] =
        double{x.q_scales[PanelBlockIndex(w.desc.cols, first + t, col / kActivationBlock)]} *
        x.q[PanelIndex(w.desc.cols, first + t, i)];
  }
}

// The tile's columns of y (m, N), each sum as in Gemv().
bool MultiplyTile(const PackedView& w, uint32_t tile, const PackedBatch& x, size_t first, size_t m,
                  float* y) {
  std::array<std::array<double, kBatchRows>, kMaxLanes> sums{};
  std::array<double, kBatchRows> activations{};
  return ReadTile(w, tile, [&](uint32_t row, uint32_t col, int32_t level) {
    const uint32_t lane = row % w.desc.lanes;
    if (lane == 0) LoadActivations(w, col, x, first, m, activations);
    if (col == 0) sums[lane].fill(0);
    const double weight = Dequantize(w, row, col, level);
    for (size_t t = 0; t < m; ++t) sums[lane][t] += weight * activations[t];
    if (col + 1 < w.desc.cols) return;
    for (size_t t = 0; t < m; ++t) {
      y[t * w.desc.rows + row] = static_cast<float>(sums[lane][t]);
    }
  });
}

template <typename Store>
bool ForEachLevel(const PackedView& w, uint32_t tile_begin, uint32_t tile_end, Store&& store) {
  bool ok = true;
  for (uint32_t tile = tile_begin; tile < tile_end; ++tile) ok &= ReadTile(w, tile, store);
  return ok;
}

}  // namespace

bool GemvPackedF32(const PackedView& w, uint32_t tile_begin, uint32_t tile_end,
                   const PackedActivations& x, float* y) {
  return Gemv(
      w, tile_begin, tile_end, [&](uint32_t col) { return double{x.x[col]}; }, y);
}

bool GemvPackedI8(const PackedView& w, uint32_t tile_begin, uint32_t tile_end,
                  const PackedActivations& x, float* y) {
  const auto activation = [&](uint32_t col) {
    return double{x.q_scales[col / kActivationBlock]} * x.q[col];
  };
  return Gemv(w, tile_begin, tile_end, activation, y);
}

bool GemmPackedI8(const PackedView& w, uint32_t tile_begin, uint32_t tile_end, const PackedBatch& x,
                  uint8_t* /*operand*/, float* y) {
  bool ok = true;
  for (size_t first = 0; first < x.m; first += kBatchRows) {
    const size_t m = std::min(kBatchRows, x.m - first);
    for (uint32_t tile = tile_begin; tile < tile_end; ++tile) {
      ok &= MultiplyTile(w, tile, x, first, m, y + first * w.desc.rows);
    }
  }
  return ok;
}

bool DequantizePacked(const PackedView& w, uint32_t tile_begin, uint32_t tile_end, float* out,
                      size_t stride) {
  const uint32_t first_row = TileRowBegin(w.desc, tile_begin);
  return ForEachLevel(w, tile_begin, tile_end, [&](uint32_t row, uint32_t col, int32_t level) {
    out[col * stride + row - first_row] = Dequantize(w, row, col, level);
  });
}

bool DecodePacked(const PackedView& w, uint32_t tile_begin, uint32_t tile_end, int8_t* out,
                  size_t stride) {
  const uint32_t first_row = TileRowBegin(w.desc, tile_begin);
  return ForEachLevel(w, tile_begin, tile_end, [&](uint32_t row, uint32_t col, int32_t level) {
    out[col * stride + row - first_row] = static_cast<int8_t>(level);
  });
}

}  // namespace ecq::reference

#include "ecq/quant/baseline_grids.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ecq/base/bytes.h"
#include "ecq/base/half.h"

namespace ecq {
namespace {

// Scale, bias and the range of levels of one group of weights.
struct GroupGrid {
  float scale = 0;
  float bias = 0;
  int32_t level_min = 0;
  int32_t level_max = 15;
};

struct Range {
  float min = std::numeric_limits<float>::infinity();
  float max = -std::numeric_limits<float>::infinity();
};

Range RangeOf(std::span<const float> w) {
  Range range;
  for (const float v : w) {
    range.min = std::min(range.min, v);
    range.max = std::max(range.max, v);
  }
  return range;
}

float RoundToHalf(float v) { return HalfToFloat(FloatToHalf(v)); }

// (w - min) / ((max - min) / 15): the usual asymmetric 4-bit code.
GroupGrid MinMax4(std::span<const float> w) {
  const Range range = RangeOf(w);
  return {RoundToHalf((range.max - range.min) / 15), RoundToHalf(range.min), 0, 15};
}

// w / (max|w| / 8), codes -8 .. 7.
GroupGrid AbsMax4(std::span<const float> w) {
  const Range range = RangeOf(w);
  return {RoundToHalf(std::max(-range.min, range.max) / 8), 0, -8, 7};
}

// MLX `quantize`, mode affine: the end of the range that is larger in magnitude is hit exactly.
// Source: mlx/ops.cpp, affine_quantize.
template <int kBits>
GroupGrid MlxAffine(std::span<const float> w) {
  constexpr float kBins = (1 << kBits) - 1;
  constexpr float kEps = 1e-7f;
  const Range range = RangeOf(w);
  const bool low_end = std::abs(range.min) > std::abs(range.max);
  float scale = std::max((range.max - range.min) / kBins, kEps);
  if (!low_end) scale = -scale;
  const float edge = low_end ? range.min : range.max;
  const float q0 = std::nearbyint(edge / scale);
  if (q0 != 0) scale = edge / q0;
  return {RoundToHalf(scale), RoundToHalf(q0 == 0 ? 0.0f : edge), 0, (1 << kBits) - 1};
}

// Level of each weight: nearest, clamped.
void RoundToGrid(std::span<const float> w, const GroupGrid& grid, int8_t* levels) {
  for (size_t i = 0; i < w.size(); ++i) {
    const float level = grid.scale != 0 ? std::nearbyint((w[i] - grid.bias) / grid.scale) : 0.0f;
    levels[i] = static_cast<int8_t>(
        std::clamp(level, static_cast<float>(grid.level_min), static_cast<float>(grid.level_max)));
  }
}

// ggml's Q4_0: d = (the weight of largest magnitude) / -8, code = trunc(w / d + 8.5) with the
// unrounded d. Source: ggml/src/ggml-quants.c, quantize_row_q4_0_ref.
GroupGrid QuantizeQ40(std::span<const float> w, int8_t* levels) {
  float largest = 0;
  for (const float v : w) {
    if (std::abs(v) > std::abs(largest)) largest = v;
  }
  const float d = largest / -8;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  for (size_t i = 0; i < w.size(); ++i) {
    levels[i] = static_cast<int8_t>(std::min(15, static_cast<int>(w[i] * inverse + 8.5f)) - 8);
  }
  return {RoundToHalf(d), 0, -8, 7};
}

QuantizedTensor Allocate(WeightView weights, std::string_view grid, ScaleKind kind,
                         uint32_t group_size, bool biases) {
  QuantizedTensor out;
  out.rows = weights.rows;
  out.cols = weights.cols;
  out.grid = grid;
  out.levels.resize(weights.size());
  out.scale_kind = kind;
  out.group_size = kind == ScaleKind::kGroup ? group_size : 0;
  out.scales.resize(out.NumScales());
  if (biases) out.biases.resize(out.NumScales());
  return out;
}

// fn(weights, levels) -> GroupGrid quantizes one group and returns its scale and bias.
template <typename F>
QuantizedTensor QuantizeGroups(WeightView weights, std::string_view grid, ScaleKind kind,
                               uint32_t group_size, bool biases, ThreadPool& pool, F&& fn) {
  QuantizedTensor out = Allocate(weights, grid, kind, group_size, biases);
  pool.Run(weights.rows, [&](size_t row, size_t) {
    for (uint32_t g = 0; g < out.ScaleGroups(); ++g) {
      const uint32_t begin = g * group_size;
      const uint32_t end = std::min(weights.cols, begin + group_size);
      const size_t at = row * weights.cols + begin;
      const GroupGrid chosen =
          fn(std::span(weights.data + at, end - begin), out.levels.data() + at);
      const size_t scale_at = size_t{g} * weights.rows + row;
      out.scales[scale_at] = FloatToHalf(chosen.scale);
      if (biases) out.biases[scale_at] = FloatToHalf(chosen.bias);
    }
  });
  return out;
}

using GridOfGroup = GroupGrid (*)(std::span<const float>);

QuantizedTensor QuantizeTensorWise(WeightView weights, std::string_view name, GridOfGroup choose,
                                   bool biases, ThreadPool& pool) {
  QuantizedTensor out = Allocate(weights, name, ScaleKind::kTensor, 0, biases);
  const GroupGrid grid = choose({weights.data, weights.size()});
  out.scales[0] = FloatToHalf(grid.scale);
  if (biases) out.biases[0] = FloatToHalf(grid.bias);
  pool.Run(weights.rows, [&](size_t row, size_t) {
    const size_t at = row * weights.cols;
    RoundToGrid({weights.data + at, weights.cols}, grid, out.levels.data() + at);
  });
  return out;
}

template <GridOfGroup kChoose>
GroupGrid ChooseAndRound(std::span<const float> w, int8_t* levels) {
  const GroupGrid grid = kChoose(w);
  RoundToGrid(w, grid, levels);
  return grid;
}

constexpr BaselineGrid kGrids[] = {
    {"tensor-minmax4", "one 4-bit min-max code for the whole matrix", 4,
     [](WeightView w, ThreadPool& pool) {
       return QuantizeTensorWise(w, "tensor-minmax4", MinMax4, true, pool);
     }},
    {"tensor-absmax4", "one symmetric 4-bit code for the whole matrix", 4,
     [](WeightView w, ThreadPool& pool) {
       return QuantizeTensorWise(w, "tensor-absmax4", AbsMax4, false, pool);
     }},
    {"row4", "a 4-bit min-max code for each row", 4,
     [](WeightView w, ThreadPool& pool) {
       return QuantizeGroups(w, "row4", ScaleKind::kRow, w.cols, true, pool,
                             ChooseAndRound<MinMax4>);
     }},
    {"q4_0", "ggml's Q4_0: 4 bits, a scale per 32 weights", 4,
     [](WeightView w, ThreadPool& pool) {
       return QuantizeGroups(w, "q4_0", ScaleKind::kGroup, 32, false, pool, QuantizeQ40);
     }},
    {"mlx4-g64", "MLX affine: 4 bits, scale and bias per 64 weights", 4,
     [](WeightView w, ThreadPool& pool) {
       return QuantizeGroups(w, "mlx4-g64", ScaleKind::kGroup, 64, true, pool,
                             ChooseAndRound<MlxAffine<4>>);
     }},
    {"mlx3-g64", "MLX affine: 3 bits, scale and bias per 64 weights", 3,
     [](WeightView w, ThreadPool& pool) {
       return QuantizeGroups(w, "mlx3-g64", ScaleKind::kGroup, 64, true, pool,
                             ChooseAndRound<MlxAffine<3>>);
     }},
};

}  // namespace

std::span<const BaselineGrid> BaselineGrids() { return kGrids; }

const BaselineGrid* FindBaselineGrid(std::string_view name) {
  for (const BaselineGrid& grid : kGrids) {
    if (grid.name == name) return &grid;
  }
  return nullptr;
}

}  // namespace ecq

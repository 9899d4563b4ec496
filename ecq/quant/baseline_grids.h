// The fixed-width grids that ECQ is compared with, as their own projects define them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/quant/weight_view.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

struct BaselineGrid {
  std::string_view name;
  std::string_view description;
  uint32_t bits;  // of a stored level
  QuantizedTensor (*quantize)(WeightView weights, ThreadPool& pool);
};

// tensor-minmax4, tensor-absmax4, row4, q4_0, mlx4-g64, mlx3-g64.
std::span<const BaselineGrid> BaselineGrids();
// Null if there is no such grid.
const BaselineGrid* FindBaselineGrid(std::string_view name);

}  // namespace ecq

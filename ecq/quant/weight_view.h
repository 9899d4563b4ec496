// A dense f32 weight matrix, as quantizers take it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ecq {

// W (N, K), row-major.
struct WeightView {
  const float* data;
  uint32_t rows;
  uint32_t cols;

  const float* Row(uint32_t r) const { return data + size_t{r} * cols; }
  uint64_t size() const { return uint64_t{rows} * cols; }
};

}  // namespace ecq

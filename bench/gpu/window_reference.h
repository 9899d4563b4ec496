// The window code in its two geometries, weight by weight: what every kernel is checked against.
#pragma once

#include <cstdint>

#include "ecq/portable/window.h"

namespace ecq::gpu {

constexpr uint32_t kBlockRows = 32;
constexpr uint32_t kHalfBytes = 128;  // 32 rows x 4 tuples, one byte each

// How the bytes of a group (32 rows x 32 columns) are dealt to weights. Both use the same planes:
// two halves of 128 bytes, then for raw_bits 4 one word for each row whose bit c is the sign of
// column c.
struct WindowGeometry {
  bool tuple_is_column;  // 4 rows x 1 column: half h holds [8 row groups][columns 16h to 16h + 15]
  bool has_memory;       // false: the byte above counts as 0
  uint32_t raw_bits;     // 0 or 4

  __host__ __device__ constexpr uint32_t GroupBytes() const {
    return 2 * kHalfBytes + (raw_bits == 4 ? 128 : 0);
  }
};

// The level at (row, column) of a group. `group` points to its bytes.
__host__ __device__ inline int32_t LevelAt(const WindowGeometry& geometry,
                                           const int8_t (*entries)[kTupleCols],
                                           const uint8_t* group, uint32_t row, uint32_t column) {
  const uint32_t tuple_row = geometry.tuple_is_column ? row / kTupleCols : row;
  const uint32_t half = column / 16;
  const uint32_t stride = geometry.tuple_is_column ? 16 : 4;
  const uint32_t at = geometry.tuple_is_column ? column % 16 : column % 16 / kTupleCols;
  const uint8_t* bytes = group + half * kHalfBytes + at;
  const uint32_t n = bytes[tuple_row * stride];
  const uint32_t p =
      geometry.has_memory && tuple_row != 0 ? bytes[(tuple_row - 1) * stride] & 15u : 0;
  WindowTuple tuple{0};
  for (uint32_t j = 0; j < kTupleCols; ++j) {
    tuple.bytes |= static_cast<uint32_t>(static_cast<uint8_t>(entries[n & 127u][j])) << 8 * j;
  }
  tuple = TurnEntry(tuple, n, p, geometry.raw_bits);
  const uint32_t j = (geometry.tuple_is_column ? row : column) % kTupleCols;
  if (geometry.raw_bits == 0) return WeightOf(tuple, j);
  const uint8_t* raw = group + 2 * kHalfBytes + row * 4;
  const uint32_t sign = raw[column / 8] >> column % 8 & 1u;
  return WeightOf(ApplyRawBits(tuple, sign << j, geometry.raw_bits, 0), j);
}

}  // namespace ecq::gpu

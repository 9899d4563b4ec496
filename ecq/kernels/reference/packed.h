// Coded products in plain scalar code: the definition of right.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ecq/kernels/packed_view.h"

// The signatures and contracts are those of PackedKernels. Sums are accumulated in double.
namespace ecq::reference {

bool GemvPackedF32(const PackedView& w, uint32_t tile_begin, uint32_t tile_end,
                   const PackedActivations& x, float* y);
bool GemvPackedI8(const PackedView& w, uint32_t tile_begin, uint32_t tile_end,
                  const PackedActivations& x, float* y);
bool GemmPackedI8(const PackedView& w, uint32_t tile_begin, uint32_t tile_end, const PackedBatch& x,
                  uint8_t* operand, float* y);
bool DequantizePacked(const PackedView& w, uint32_t tile_begin, uint32_t tile_end, float* out,
                      size_t stride);
bool DecodePacked(const PackedView& w, uint32_t tile_begin, uint32_t tile_end, int8_t* out,
                  size_t stride);

}  // namespace ecq::reference

// Fused kernels over coded matrices: one table of functions per instruction set level.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ecq/base/cpu_target.h"
#include "ecq/kernels/packed_view.h"

namespace ecq {

// All functions work on the tiles [tile_begin, tile_end) of W (N, K). They neither allocate nor
// throw, and never touch memory outside the view, whatever the payload holds. They return whether
// every tile ended as its codestream must; if not, the payload is damaged and the output, though
// written completely, means nothing.
struct PackedKernels {
  // y[r] = sum_k W(r, k) * x[k] for the rows of the tiles; y is indexed by row of W. Decoding,
  // dequantization and sum in one pass; f32 accumulation in an order that depends on the target but
  // not on the codec (docs/numerics.md).
  bool (*gemv_f32)(const PackedView& w, uint32_t tile_begin, uint32_t tile_end,
                   const PackedActivations& x, float* y);
  // The same over int8 activations: exact integer sums within each 32 columns, f32 beyond.
  bool (*gemv_i8)(const PackedView& w, uint32_t tile_begin, uint32_t tile_end,
                  const PackedActivations& x, float* y);
  // Row i of y (m, N) = what gemv_i8 makes of row i of x, bit for bit; every tile is decoded once
  // for all rows. `operand` holds GemmOperandBytes(w.desc) bytes at a 64-byte boundary.
  bool (*gemm_i8)(const PackedView& w, uint32_t tile_begin, uint32_t tile_end, const PackedBatch& x,
                  uint8_t* operand, float* y);
  // Dequantizes to columns: out[k * stride + r - first_row] = W(r, k), first_row the first row of
  // tile_begin. Pre: stride >= number of rows.
  bool (*dequantize)(const PackedView& w, uint32_t tile_begin, uint32_t tile_end, float* out,
                     size_t stride);
  // Decodes to columns of levels, laid out as dequantize() does.
  bool (*decode)(const PackedView& w, uint32_t tile_begin, uint32_t tile_end, int8_t* out,
                 size_t stride);
};

// Tiles that a kernel decodes side by side, other than in gemv_i8, at the most.
inline constexpr size_t kMaxTilesInFlight = 4;

// Scratch memory of gemm_i8.
size_t GemmOperandBytes(const PackedDesc& desc);

// The kernels of `target`. Matrices that a target's vector code does not cover (fewer than 32
// lanes, prob_bits > 12, column spans or scale groups not in multiples of 32) run its scalar code.
const PackedKernels& PackedKernelsFor(CpuTarget target);

// Why vector code cannot run this matrix; null if it can.
const char* WhyNotVectorized(const PackedView& w);

}  // namespace ecq

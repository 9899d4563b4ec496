// The rival, 4-bit weights in groups of 64 with fp16 scales, and a kernel that only reads.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace ecq::gpu {

// A weight is (nibble - 8) * scale. Word w of a row: weights 8w to 8w + 3 in the low nibbles of its
// bytes, 8w + 4 to 8w + 7 in the high ones.
struct NibbleArgs {
  const uint4* payload;   // [row][cols / 32]
  const __half* scales;   // [row][cols / 64]
  const uint4* x;         // cols int8
  const float* x_scales;  // cols / 32
  float* y;               // rows, added to
  uint32_t rows;
  uint32_t cols;  // a multiple of 2048
};

constexpr uint32_t kNibbleSlice = 2048;  // columns of a warp: two blocks of 32 for each lane

struct NibbleBlock {
  uint32_t x[8];
  float scale;
  float offset;  // -8 * scale * sum of x

  __device__ __forceinline__ void Load(const NibbleArgs& a, uint32_t block) {
    const uint4 low = a.x[2 * block], high = a.x[2 * block + 1];
    x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
    x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
    int sum = 0;
#pragma unroll
    for (uint32_t k = 0; k < 8; ++k) {
      sum = __dp4a(static_cast<int>(x[k]), 0x01010101, sum);
    }
    scale = a.x_scales[block];
    offset = -8.0f * scale * static_cast<float>(sum);
  }

  __device__ __forceinline__ float Dot(uint4 w) const {
    const uint32_t words[4] = {w.x, w.y, w.z, w.w};
    int sum = 0;
#pragma unroll
    for (uint32_t k = 0; k < 4; ++k) {
      sum = __dp4a(static_cast<int>(words[k] & 0x0f0f0f0fu), static_cast<int>(x[2 * k]), sum);
      sum = __dp4a(static_cast<int>(words[k] >> 4 & 0x0f0f0f0fu), static_cast<int>(x[2 * k + 1]),
                   sum);
    }
    return fmaf(static_cast<float>(sum), scale, offset);
  }
};

template <uint32_t kRows>
struct NibbleRows {
  uint4 w[kRows][2];
  __half scale[kRows][2];

  __device__ __forceinline__ void Load(const NibbleArgs& a, uint32_t row, uint32_t block) {
#pragma unroll
    for (uint32_t r = 0; r < kRows; ++r) {
      const uint4* words = a.payload + size_t{row + r} * (a.cols / 32) + block;
      const __half* scales = a.scales + size_t{row + r} * (a.cols / 64) + block / 2;
      w[r][0] = __ldcs(words);
      w[r][1] = __ldcs(words + 32);
      scale[r][0] = __ldcs(scales);
      scale[r][1] = __ldcs(scales + 16);
    }
  }
};

// A warp keeps the activations of its slice in registers and streams rows, kRows in flight.
// Launch with grid * kThreads / 32 a multiple of cols / kNibbleSlice or more warps than that.
template <uint32_t kRows, uint32_t kThreads, uint32_t kCtas>
__global__ void __launch_bounds__(kThreads, kCtas) NibbleProduct(const NibbleArgs a) {
  cudaTriggerProgrammaticLaunchCompletion();
  const uint32_t lane = threadIdx.x % 32;
  const uint32_t slices = a.cols / kNibbleSlice;
  const uint32_t warp = blockIdx.x + gridDim.x * (threadIdx.x / 32);
  const uint32_t streams = gridDim.x * (kThreads / 32) / slices;  // warps of one slice
  const uint32_t slice = warp % slices, stream = warp / slices;
  if (stream >= streams) return;
  const uint32_t block = slice * (kNibbleSlice / 32) + lane;
  uint32_t row = stream * kRows;
  NibbleRows<kRows> next;
  if (row < a.rows) next.Load(a, row, block);
  cudaGridDependencySynchronize();
  NibbleBlock blocks[2];
  blocks[0].Load(a, block);
  blocks[1].Load(a, block + 32);
  for (; row < a.rows; row += streams * kRows) {
    const NibbleRows<kRows> now = next;
    if (row + streams * kRows < a.rows) next.Load(a, row + streams * kRows, block);
    float sums[kRows];
#pragma unroll
    for (uint32_t r = 0; r < kRows; ++r) {
      sums[r] = __half2float(now.scale[r][0]) * blocks[0].Dot(now.w[r][0]);
      sums[r] = fmaf(__half2float(now.scale[r][1]), blocks[1].Dot(now.w[r][1]), sums[r]);
    }
#pragma unroll
    for (uint32_t r = 0; r < kRows; ++r) {
#pragma unroll
      for (uint32_t d = 16; d > 0; d /= 2) sums[r] += __shfl_xor_sync(~0u, sums[r], d);
      if (lane == r) atomicAdd(a.y + row + r, sums[r]);
    }
  }
}

// Reads `count` 16-byte words; the result depends on all of them.
template <uint32_t kThreads>
__global__ void __launch_bounds__(kThreads) ReadAll(const uint4* data, size_t count, float* out) {
  constexpr uint32_t kUnroll = 8;
  uint32_t mixed = 0;
  const size_t stride = size_t{gridDim.x} * kThreads * kUnroll;
  for (size_t i = (size_t{blockIdx.x} * kUnroll) * kThreads + threadIdx.x; i < count; i += stride) {
    uint4 v[kUnroll] = {};
#pragma unroll
    for (uint32_t k = 0; k < kUnroll; ++k) {
      if (i + k * kThreads < count) v[k] = __ldcs(data + i + k * kThreads);
    }
#pragma unroll
    for (uint32_t k = 0; k < kUnroll; ++k) mixed ^= v[k].x ^ v[k].y ^ v[k].z ^ v[k].w;
  }
  if (mixed == 0x9e3779b9u) out[0] = 1.0f;
}

}  // namespace ecq::gpu

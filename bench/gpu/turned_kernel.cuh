// y += W x with 4 columns x 1 row at 2 bits, the activations turned instead of the entries.
//
// Every tuple of columns has its four activations in shared memory in all 16 turns, so that a tuple
// costs two look-ups, two address computations and one dot product. A warp takes 2 groups a step:
// lane l has rows 2q and 2q + 1 (q = l % 16) of group l / 16. Its look-ups of turned activations
// cannot conflict: 16 turns x 2 groups are the 32 banks.
#pragma once

#include "bench/gpu/window_kernel.cuh"

namespace ecq::gpu {

// Dot product of four tuples: their bytes `n`, the bytes above `p` (below 16). `turned` is the
// shared address of turn 0 of the first tuple; tuples are 128 bytes apart.
__device__ __forceinline__ int TurnedDot(uint32_t n, uint32_t p, uint32_t lane_entries,
                                         uint32_t turned, int sum) {
#pragma unroll
  for (uint32_t k = 0; k < 4; ++k) {
    const uint32_t entry = SharedWord(__dp4a(n, 0x80u << 8 * k, lane_entries));
    const uint32_t x = SharedWord(__dp4a(p, 4u << 8 * k, turned) + 128 * k);
    sum = __dp4a(static_cast<int>(entry), static_cast<int>(x), sum);
  }
  return sum;
}

// The two rows of a lane, 16 columns. `above`: see Decoder::Half.
__device__ __forceinline__ void TurnedHalf(uint2 half, uint32_t above, uint32_t lane_entries,
                                           uint32_t turned, int* sums) {
  const uint32_t p = __shfl_up_sync(~0u, half.y, 1, 16) & above;
  sums[0] = TurnedDot(half.x, p, lane_entries, turned, sums[0]);
  sums[1] = TurnedDot(half.y, half.x & 0x0f0f0f0fu, lane_entries, turned, sums[1]);
}

// Word i of the turned activations: [pair of groups][tuple][group of the pair][turn].
__device__ __forceinline__ uint32_t TurnedWord(const uint32_t* x, uint32_t i, uint32_t selector) {
  const uint32_t word = x[(i >> 8) * 16 + (i >> 4 & 1u) * 8 + (i >> 5 & 7u)];
  return Permute(word, NegateBytes(word), selector);
}

struct TurnedStep {
  uint2 half[2];

  __device__ __forceinline__ void Load(const uint2* group) {
    half[0] = __ldcs(group);
    half[1] = __ldcs(group + 16);
  }
};

// A block of threads has one slice of the columns; a task is kSteps x 64 columns of a row block.
template <uint32_t kSteps, uint32_t kDepth, uint32_t kThreads, uint32_t kCtas>
__global__ void __launch_bounds__(kThreads, kCtas) TurnedProduct(const WindowArgs a) {
  constexpr uint32_t kGroupLoads = 32;  // 8-byte words of a group
  constexpr uint32_t kStepLoads = 2 * kGroupLoads;
  cudaTriggerProgrammaticLaunchCompletion();
  const SharedPlan plan = PlanShared(a);
  const uint32_t lane = threadIdx.x % 32, q = lane % 16;
  const uint32_t slices = a.cols / a.slice_cols, streams = gridDim.x / slices;
  const uint32_t slice = blockIdx.x % slices, stream = blockIdx.x / slices;
  if (stream >= streams) return;
  const uint32_t warps = streams * (kThreads / 32);
  const uint2* lane_payload = reinterpret_cast<const uint2*>(a.payload) +
                              slice * (a.slice_cols / 32) * kGroupLoads + lane / 16 * kGroupLoads +
                              q;
  const size_t block_loads = size_t{a.cols / 32} * kGroupLoads;
  const auto address = [&](uint32_t task) {
    const uint32_t block = __umulhi(task, a.block_of_task);
    return lane_payload + block * block_loads +
           (task - block * a.tasks_per_block) * kSteps * kStepLoads;
  };
  uint32_t task = stream + streams * (threadIdx.x / 32);
  const uint2* here = address(task);
  TurnedStep ring[kDepth];
  if (task < a.tasks) {
#pragma unroll
    for (uint32_t s = 0; s < kDepth; ++s) ring[s].Load(here + s * kStepLoads);
  }

  uint32_t* words = reinterpret_cast<uint32_t*>(shared_memory);
  for (uint32_t i = threadIdx.x; i < a.entry_count * 32; i += kThreads) {
    words[i] = a.entries[i / 32];
  }
  cudaGridDependencySynchronize();
  const uint32_t selector = a.selectors[threadIdx.x % 16];
  const uint32_t* x = a.x + slice * (a.slice_cols / 4);
#pragma unroll 4
  for (uint32_t i = threadIdx.x; i < a.slice_cols * 4; i += kThreads) {
    words[plan.x / 4 + i] = TurnedWord(x, i, selector);
  }
  float* scales = reinterpret_cast<float*>(words + plan.scales / 4);
  for (uint32_t i = threadIdx.x; i < a.slice_cols / 32; i += kThreads) {
    scales[i] = a.x_scales[slice * (a.slice_cols / 32) + i];
  }
  __syncthreads();

  const uint32_t window = static_cast<uint32_t>(__cvta_generic_to_shared(shared_memory));
  const uint32_t lane_entries = window + lane * 4;
  const uint32_t above = q == 0 ? 0 : 0x0f0f0f0fu;
  for (; task < a.tasks; task += warps) {
    const bool has_next = task + warps < a.tasks;
    const uint2* next = address(task + warps);
    const uint32_t block = __umulhi(task, a.block_of_task);
    const uint32_t pair = (task - block * a.tasks_per_block) * kSteps;
    float totals[2] = {};
#pragma unroll
    for (uint32_t s = 0; s < kSteps; ++s) {
      const TurnedStep now = ring[s % kDepth];
      if constexpr (kDepth < kSteps) {
        if (s + kDepth < kSteps) ring[s % kDepth].Load(here + (s + kDepth) * kStepLoads);
      }
      if (s + kDepth >= kSteps && has_next) {
        ring[s % kDepth].Load(next + (s + kDepth - kSteps) * kStepLoads);
      }
      const uint32_t turned = window + plan.x + (pair + s) * 1024 + lane / 16 * 64;
      int sums[2] = {};
      TurnedHalf(now.half[0], above, lane_entries, turned, sums);
      TurnedHalf(now.half[1], above, lane_entries, turned + 512, sums);
      const float scale = scales[(pair + s) * 2 + lane / 16];
      totals[0] = fmaf(static_cast<float>(sums[0]), scale, totals[0]);
      totals[1] = fmaf(static_cast<float>(sums[1]), scale, totals[1]);
    }
    here = next;
    const bool upper = lane & 16;
    const float other = __shfl_xor_sync(~0u, upper ? totals[0] : totals[1], 16);
    atomicAdd(a.y + size_t{block} * 32 + 2 * q + upper, (upper ? totals[1] : totals[0]) + other);
  }
}

}  // namespace ecq::gpu

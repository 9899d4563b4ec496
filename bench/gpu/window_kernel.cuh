// y += W x with W in the window code: one kernel, eight ways to turn entries.
//
// A warp takes 4 groups (32 x 32 weights each) a step: lane l has rows 4q to 4q + 3 (q = l % 8) of
// group l / 8, that is 128 weights in two 16-byte loads, and one for the signs. The activations of
// a group come from shared memory, four bytes negated beside four bytes as they are, so that PRMT
// can turn and negate them exactly.
#pragma once

#include <cuda_runtime.h>

#include "bench/gpu/window_tables.h"

namespace ecq::gpu {

struct WindowArgs {
  const uint4* payload;
  const uint32_t* x;        // cols / 4 words of int8
  const float* x_scales;    // cols / 32
  const uint32_t* entries;  // entry_count words
  float* y;                 // rows, added to
  uint32_t cols;
  uint32_t tasks;  // a task is kSteps steps of one block of rows
  uint32_t tasks_per_block;
  uint32_t block_of_task;  // 2^32 / tasks_per_block, rounded up; so at least 2 tasks a block
  uint32_t entry_count;
  uint32_t slice_cols;  // kTurned: columns of a block of threads; else 0
  uint32_t replicas;    // copies of an entry, 1 to 32; lane l reads copy l % replicas
  uint32_t selectors[16];
  SelectorBytes bytes;
};

__device__ __forceinline__ uint32_t Permute(uint32_t a, uint32_t b, uint32_t selector) {
  uint32_t d;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(selector));
  return d;
}

extern __shared__ uint4 shared_memory[];

// `address` counts in the shared window. A pointer would add the window's base to every address
// that a dot product computed; here the base is in the dot product's addend. Volatile: never above
// the barrier that follows the filling.
__device__ __forceinline__ uint32_t SharedWord(uint32_t address) {
  uint32_t word;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(address));
  return word;
}

// Byte offsets in shared memory.
struct SharedPlan {
  uint32_t selectors, x, negated, scales, bytes;
};

__host__ __device__ inline SharedPlan PlanShared(const WindowArgs& a) {
  SharedPlan plan;
  plan.selectors = a.entry_count * a.replicas * 4;
  plan.x = plan.selectors + 64;
  plan.negated = plan.x + (a.slice_cols != 0 ? a.slice_cols * 16 : a.cols);
  plan.scales = plan.negated + (a.slice_cols != 0 ? 0 : a.cols);
  plan.bytes = plan.scales + a.cols / 8;
  return plan;
}

// Bytewise minus; no byte is -128.
__host__ __device__ inline uint32_t NegateBytes(uint32_t x) {
  const uint32_t flipped = ~x;
  return ((flipped & 0x7f7f7f7fu) + 0x01010101u) ^ (flipped & 0x80808080u);
}

// Raw bits of a row: those of weights 0 and 1 of every tuple in the low half of its nibble, those
// of weights 2 and 3 likewise. The 16 low bits count: four tuples.
struct Signs {
  uint32_t first, last;

  __device__ __forceinline__ static Signs Of(uint32_t raw) {
    return {raw & 0x33333333u, raw >> 2 & 0x33333333u};
  }
  __device__ __forceinline__ Signs Half(uint32_t h) const {
    return {first >> 16 * h, last >> 16 * h};
  }
};

template <Turning kTurning, uint32_t kRaw>
struct Decoder {
  uint32_t lane_entries;  // shared address of this lane's copy of entry 0
  uint32_t entry_stride;  // bytes
  uint32_t selectors;     // shared address
  SelectorBytes bytes;

  __device__ __forceinline__ uint32_t Entry8(uint32_t n, uint32_t k) const {
    return SharedWord(__dp4a(n, 0x80u << 8 * k, lane_entries));  // 32 copies: 128 bytes an entry
  }

  // Entries of four 16-bit indices, whose low bytes are those of `low`, high bytes those of `high`.
  __device__ __forceinline__ void Entries16(uint32_t low, uint32_t high, uint32_t* e) const {
    const uint32_t first = Permute(low, high, 0x5140), last = Permute(low, high, 0x7362);
    e[0] = SharedWord(__dp2a_lo(first, entry_stride, lane_entries));
    e[1] = SharedWord(__dp2a_lo(first, entry_stride << 8, lane_entries));
    e[2] = SharedWord(__dp2a_lo(last, entry_stride, lane_entries));
    e[3] = SharedWord(__dp2a_lo(last, entry_stride << 8, lane_entries));
  }

  // Activations of four tuples, negated where the signs say so.
  __device__ __forceinline__ void Sign(Signs signs, const uint32_t* x, const uint32_t* negated,
                                       uint32_t* out) const {
    const uint32_t low = Permute(0x54501410u, 0, signs.first);
    const uint32_t high = Permute(0x76723632u, 0, signs.last);
    for (uint32_t k = 0; k < 4; ++k) {
      out[k] = Permute(x[k], negated[k], Permute(low, high, k | (4 + k) << 4));
    }
  }

  // Four nibbles of p (bytes of `p`, below 16) in the low 16 bits, in the order 1, 0, 3, 2.
  __device__ __forceinline__ static uint32_t PackNibbles(uint32_t p) {
    return Permute(p * 0x1001u, 0, 0x31);
  }

  // Dot product of four tuples along a row: bytes `n`, bytes above `p` (below 16), signs.
  template <bool kUseLds>
  __device__ __forceinline__ int Row(uint32_t n, uint32_t p, Signs signs, const uint32_t* x,
                                     const uint32_t* negated, int sum) const {
    uint32_t e[4], t[4];
    if constexpr (kRaw == 4) Sign(signs, x, negated, t);
    const uint32_t* v = kRaw == 4 ? t : x;
    if constexpr (kTurning == Turning::kFree) {
      for (uint32_t k = 0; k < 4; ++k) e[k] = Entry8(n, k);
    } else if constexpr (kTurning == Turning::kExpanded) {
      Entries16(n, p, e);
    } else if constexpr (kTurning == Turning::kPartial) {
      Entries16((n & 0x7f7f7f7fu) | (p << 7 & 0x80808080u), p >> 1 & 0x03030303u, e);
      const uint32_t pair = n ^ p << 4;
      for (uint32_t k = 0; k < 4; ++k) {  // here `negated` is x ^ -x
        t[k] = x[k] ^ (negated[k] & Permute(n, pair, 0x88ccu + 0x1111u * k));
      }
      v = t;
    } else if constexpr (kUseLds) {
      for (uint32_t k = 0; k < 4; ++k) {
        e[k] = Entry8(n, k);
        const uint32_t selector = SharedWord(__dp4a(p, 4u << 8 * k, selectors));
        if constexpr (kRaw == 4) e[k] = Permute(e[k], 0, selector);
        if constexpr (kRaw == 0) t[k] = Permute(x[k], negated[k], selector);
      }
      v = t;
    } else {
      const uint32_t nibbles = PackNibbles(p);
      const uint32_t index = nibbles & 0x77777777u;
      const uint32_t low = Permute(bytes.low[0], bytes.low[1], index) ^
                           Permute(bytes.low_flip[0], bytes.low_flip[1], nibbles);
      const uint32_t high = Permute(bytes.high[0], bytes.high[1], index) ^
                            Permute(bytes.high_flip[0], bytes.high_flip[1], nibbles);
      for (uint32_t k = 0; k < 4; ++k) {
        e[k] = Entry8(n, k);
        const uint32_t selector = Permute(low, high, (k ^ 1) | (4 + (k ^ 1)) << 4);
        t[k] = Permute(x[k], negated[k], selector);
      }
      v = t;
    }
    for (uint32_t k = 0; k < 4; ++k) {
      sum = __dp4a(static_cast<int>(e[k]), static_cast<int>(v[k]), sum);
    }
    return sum;
  }

  // Four tuples of 4 rows x 1 column, as four words of 4 columns x 1 row.
  __device__ __forceinline__ void Columns(uint32_t n, uint32_t p, uint32_t* rows) const {
    uint32_t e[4], a, b, c, d;  // rows 0, 1 of columns 0, 1 and 2, 3; then rows 2, 3
    if constexpr (kTurning == Turning::kRowsExpanded) {
      Entries16(n, p, e);
      a = Permute(e[1], e[0], 0x5410);
      b = Permute(e[3], e[2], 0x5410);
      c = Permute(e[1], e[0], 0x7632);
      d = Permute(e[3], e[2], 0x7632);
    } else {
      Entries16(n, p >> 2 & 0x03030303u, e);
      const uint32_t index = PackNibbles(p & 0x07070707u);
      const uint32_t low = Permute(bytes.low[0], bytes.low[1], index) ^ 0x44004400u;
      const uint32_t high = Permute(bytes.high[0], bytes.high[1], index) ^ 0x44004400u;
      a = Permute(e[1], e[0], low);
      b = Permute(e[3], e[2], low >> 16);
      c = Permute(e[1], e[0], high);
      d = Permute(e[3], e[2], high >> 16);
    }
    rows[0] = Permute(a, b, 0x4602);
    rows[1] = Permute(a, b, 0x5713);
    rows[2] = Permute(c, d, 0x4602);
    rows[3] = Permute(c, d, 0x5713);
  }

  // Adds the dot products of four rows and the 16 columns of a half. `above` masks the bytes that
  // come from the lane before: 0 in the first rows of a block.
  __device__ __forceinline__ void Half(uint4 half, const Signs* signs, uint32_t above, uint4 x4,
                                       uint4 negated4, int* sums) const {
    const uint32_t words[4] = {half.x, half.y, half.z, half.w};
    const uint32_t x[4] = {x4.x, x4.y, x4.z, x4.w};
    const uint32_t negated[4] = {negated4.x, negated4.y, negated4.z, negated4.w};
    if constexpr (IsColumnTuple(kTurning)) {
      uint32_t rows[4][4];  // [row][column / 4]
      for (uint32_t k = 0; k < 4; ++k) {
        uint32_t turned[4];
        Columns(words[k], __shfl_up_sync(~0u, words[k], 1, 8) & above, turned);
        for (uint32_t i = 0; i < 4; ++i) rows[i][k] = turned[i];
      }
      for (uint32_t i = 0; i < 4; ++i) {
        uint32_t signed_x[4];
        if constexpr (kRaw == 4) Sign(signs[i], x, negated, signed_x);
        for (uint32_t k = 0; k < 4; ++k) {
          sums[i] = __dp4a(static_cast<int>(rows[i][k]),
                           static_cast<int>(kRaw == 4 ? signed_x[k] : x[k]), sums[i]);
        }
      }
    } else {
      uint32_t p[4] = {0, words[0] & 0x0f0f0f0fu, words[1] & 0x0f0f0f0fu, words[2] & 0x0f0f0f0fu};
      if constexpr (kTurning != Turning::kFree) p[0] = __shfl_up_sync(~0u, words[3], 1, 8) & above;
      constexpr bool kAllLds = kTurning == Turning::kSelectorLds;
      constexpr bool kSomeLds = kAllLds || kTurning == Turning::kSelectorMixed;
      sums[0] = Row<kSomeLds>(words[0], p[0], signs[0], x, negated, sums[0]);
      sums[1] = Row<kAllLds>(words[1], p[1], signs[1], x, negated, sums[1]);
      sums[2] = Row<kSomeLds>(words[2], p[2], signs[2], x, negated, sums[2]);
      sums[3] = Row<kAllLds>(words[3], p[3], signs[3], x, negated, sums[3]);
    }
  }
};

// Fills shared memory. The entries do not depend on the kernel before; the activations may.
template <Turning kTurning>
__device__ __forceinline__ void FillShared(const WindowArgs& a, const SharedPlan& plan) {
  char* base = reinterpret_cast<char*>(shared_memory);
  uint32_t* words = reinterpret_cast<uint32_t*>(base);
  const uint32_t shift = 31 - __clz(a.replicas);
  for (uint32_t i = threadIdx.x; i < a.entry_count * a.replicas; i += blockDim.x) {
    words[i] = a.entries[i >> shift];
  }
  if (threadIdx.x == 0) {
    for (uint32_t p = 0; p < 16; ++p) words[plan.selectors / 4 + p] = a.selectors[p];
  }
  cudaGridDependencySynchronize();
  for (uint32_t i = threadIdx.x; i < a.cols / 4; i += blockDim.x) {
    const uint32_t x = a.x[i], negated = NegateBytes(x);
    words[plan.x / 4 + i] = x;
    words[plan.negated / 4 + i] = kTurning == Turning::kPartial ? x ^ negated : negated;
  }
  for (uint32_t i = threadIdx.x; i < a.cols / 32; i += blockDim.x) {
    reinterpret_cast<float*>(base + plan.scales)[i] = a.x_scales[i];
  }
  __syncthreads();
}

template <uint32_t kRaw>
struct StepData {
  uint4 half[2];
  uint4 raw;

  __device__ __forceinline__ void Load(const uint4* group) {
    half[0] = __ldcs(group);
    half[1] = __ldcs(group + 8);
    if constexpr (kRaw == 4) raw = __ldcs(group + 16);
  }
};

// Sums the four groups of a step's lanes; afterwards each lane has one row of 32.
__device__ __forceinline__ void AddRows(const float* sums, float* y, uint32_t lane) {
  const bool upper = lane & 16, odd = lane & 8;
  float a = upper ? sums[2] : sums[0], b = upper ? sums[3] : sums[1];
  a += __shfl_xor_sync(~0u, upper ? sums[0] : sums[2], 16);
  b += __shfl_xor_sync(~0u, upper ? sums[1] : sums[3], 16);
  const float kept = (odd ? b : a) + __shfl_xor_sync(~0u, odd ? a : b, 8);
  atomicAdd(y + 4 * (lane & 7) + (upper ? 2 : 0) + (odd ? 1 : 0), kept);
}

// A task is kSteps steps, kDepth of them loaded ahead.
template <Turning kTurning, uint32_t kRaw, uint32_t kSteps, uint32_t kDepth, uint32_t kThreads,
          uint32_t kCtas>
__global__ void __launch_bounds__(kThreads, kCtas) WindowProduct(const WindowArgs a) {
  constexpr uint32_t kGroupLoads = kRaw == 4 ? 24 : 16;  // 16-byte words of a group
  cudaTriggerProgrammaticLaunchCompletion();
  const SharedPlan plan = PlanShared(a);
  const uint32_t lane = threadIdx.x % 32, q = lane % 8;
  const uint32_t warps = gridDim.x * (kThreads / 32);
  uint32_t task = blockIdx.x + gridDim.x * (threadIdx.x / 32);
  const uint4* lane_payload = a.payload + (lane / 8) * kGroupLoads + q;
  StepData<kRaw> ring[kDepth];
  if (task < a.tasks) {
    const uint4* from = lane_payload + size_t{task} * kSteps * 4 * kGroupLoads;
#pragma unroll
    for (uint32_t s = 0; s < kDepth; ++s) ring[s].Load(from + s * 4 * kGroupLoads);
  }
  FillShared<kTurning>(a, plan);
  const uint32_t window = static_cast<uint32_t>(__cvta_generic_to_shared(shared_memory));
  const Decoder<kTurning, kRaw> decoder{window + lane % a.replicas * 4, a.replicas * 4,
                                        window + plan.selectors, a.bytes};
  const uint32_t above = q == 0 ? 0 : 0x0f0f0f0fu;
  const char* base = reinterpret_cast<const char*>(shared_memory);
  for (; task < a.tasks; task += warps) {
    const bool has_next = task + warps < a.tasks;
    const uint4* here = lane_payload + size_t{task} * kSteps * 4 * kGroupLoads;
    const uint4* next = here + size_t{warps} * kSteps * 4 * kGroupLoads;
    const uint32_t block = __umulhi(task, a.block_of_task);
    uint32_t group = (task - block * a.tasks_per_block) * kSteps * 4 + lane / 8;
    float totals[4] = {};
#pragma unroll
    for (uint32_t s = 0; s < kSteps; ++s, group += 4) {
      const StepData<kRaw> now = ring[s % kDepth];
      if constexpr (kDepth < kSteps) {
        if (s + kDepth < kSteps) ring[s % kDepth].Load(here + (s + kDepth) * 4 * kGroupLoads);
      }
      if (s + kDepth >= kSteps && has_next) {
        ring[s % kDepth].Load(next + (s + kDepth - kSteps) * 4 * kGroupLoads);
      }
      int sums[4] = {};
      Signs signs[4] = {};
      if constexpr (kRaw == 4) {
        signs[0] = Signs::Of(now.raw.x), signs[1] = Signs::Of(now.raw.y);
        signs[2] = Signs::Of(now.raw.z), signs[3] = Signs::Of(now.raw.w);
      }
#pragma unroll
      for (uint32_t h = 0; h < 2; ++h) {
        const uint32_t at = group * 32 + h * 16;
        const uint4 x = *reinterpret_cast<const uint4*>(base + plan.x + at);
        uint4 negated = {};
        if constexpr (kRaw == 4 || (kTurning != Turning::kFree && kTurning != Turning::kExpanded &&
                                    !IsColumnTuple(kTurning))) {
          negated = *reinterpret_cast<const uint4*>(base + plan.negated + at);
        }
        const Signs half_signs[4] = {signs[0].Half(h), signs[1].Half(h), signs[2].Half(h),
                                     signs[3].Half(h)};
        decoder.Half(now.half[h], half_signs, above, x, negated, sums);
      }
      const float scale = *reinterpret_cast<const float*>(base + plan.scales + group * 4);
#pragma unroll
      for (uint32_t i = 0; i < 4; ++i)
        totals[i] = fmaf(static_cast<float>(sums[i]), scale, totals[i]);
    }
    AddRows(totals, a.y + size_t{block} * 32, lane);
  }
}

}  // namespace ecq::gpu

// Attention over one stretch of the KV cache, one table of functions per CPU target.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ecq/base/cpu_target.h"
#include "ecq/kernels/kv_view.h"

namespace ecq {

// Positions of one call of attend(): keys and values of 64 dimensions in binary16 are 64 KiB.
inline constexpr size_t kKvSegment = 256;
// Floats of scratch memory that attend() needs.
inline constexpr size_t kAttentionScratch = 8 * kKvSegment;

// Queries that meet the keys and values of one head. Row r sees the positions [begins[r], ends[r]).
struct AttentionRows {
  const float* q;  // (count, head_dim), the scale of the scores included
  const size_t* begins;
  const size_t* ends;
  size_t count;
};

// Softmax over a part of the positions, not yet divided by its denominator. With s_j = q . k_j:
struct AttentionPart {
  float* sums;    // (count, KvValueStride(head_dim)): sum_j exp(s_j - max) v_j
  float* maxima;  // (count): max = max_j s_j; kNoScore if the row sees none of the positions
  float* totals;  // (count): sum_j exp(s_j - max)
};
inline constexpr float kNoScore = -3.402823466e38f;

struct AttentionKernels {
  // The part of `rows` at the positions [begin, end). A row's result does not depend on the rows
  // computed with it.
  // Pre: begin is a multiple of kKvBlock, 0 < end - begin <= kKvSegment; the cache holds all
  // positions before `end`, and whole blocks of keys are readable.
  void (*attend)(const KvView& kv, const AttentionRows& rows, size_t begin, size_t end,
                 float* scratch, const AttentionPart& out);
  // out[i] = x[i] in binary16, to nearest, ties to even; beyond its range the largest number.
  void (*encode_f16)(const float* x, size_t n, uint16_t* out);
};

// Pre: CpuTargetSupported(target).
const AttentionKernels& AttentionKernelsFor(CpuTarget target);
inline const AttentionKernels& ActiveAttentionKernels() {
  return AttentionKernelsFor(ActiveCpuTarget());
}

}  // namespace ecq

// Attention in plain scalar code: what the fast variants are compared with.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ecq/kernels/cpu/attention_kernels.h"

namespace ecq::reference {

// Contracts as in AttentionKernels; sums are accumulated in f64.
void Attend(const KvView& kv, const AttentionRows& rows, size_t begin, size_t end, float* scratch,
            const AttentionPart& out);
void EncodeF16(const float* x, size_t n, uint16_t* out);

}  // namespace ecq::reference

// The AVX-512 build of the attention kernels.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/bytes.h"
#include "ecq/base/target_region.h"
#include "ecq/kernels/cpu/attention_targets.h"
#include "ecq/kernels/cpu/intrinsics.h"
#include "ecq/kernels/reference/attention.h"

#if defined(__x86_64__)
ECQ_TARGET_BEGIN_AVX512
#include "ecq/kernels/cpu/dense_simd_avx512.h"
#define ECQ_TARGET avx512
#include "ecq/kernels/cpu/attention_kernels-inl.h"
#undef ECQ_TARGET
ECQ_TARGET_END
#endif

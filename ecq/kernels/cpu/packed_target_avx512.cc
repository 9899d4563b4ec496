// The AVX-512 build of the kernels over coded matrices.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/base/target_region.h"
#include "ecq/kernels/activations.h"
#include "ecq/kernels/batch_row.h"
#include "ecq/kernels/cpu/intrinsics.h"
#include "ecq/kernels/cpu/packed_targets.h"
#include "ecq/kernels/cpu/padded_block.h"
#include "ecq/kernels/rans_coder.h"
#include "ecq/kernels/reference/packed.h"

#if defined(__x86_64__)
ECQ_TARGET_BEGIN_AVX512
#include "ecq/kernels/cpu/dense_simd_avx512.h"
#include "ecq/kernels/cpu/packed_simd_avx512.h"
#include "ecq/kernels/cpu/window_simd_avx512.h"
#define ECQ_TARGET avx512
#define ECQ_TARGET_RANS16 "ecq/kernels/cpu/rans16_avx512-inl.h"
#include "ecq/kernels/cpu/packed_kernels-inl.h"
#undef ECQ_TARGET_RANS16
#undef ECQ_TARGET
ECQ_TARGET_END
#endif

// The AVX-512 build of the activation kernels.
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "ecq/base/target_region.h"
#include "ecq/kernels/activations.h"
#include "ecq/kernels/cpu/activation_targets.h"
#include "ecq/kernels/cpu/intrinsics.h"

#if defined(__x86_64__)
ECQ_TARGET_BEGIN_AVX512
#include "ecq/kernels/cpu/dense_simd_avx512.h"
// After the vocabulary that it extends.
#include "ecq/kernels/cpu/activation_simd_avx512.h"
#define ECQ_TARGET avx512
#include "ecq/kernels/cpu/activation_kernels-inl.h"
#undef ECQ_TARGET
ECQ_TARGET_END
#endif

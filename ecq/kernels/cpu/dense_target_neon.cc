// The NEON build of the dense kernels.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "ecq/base/hadamard.h"
#include "ecq/base/target_region.h"
#include "ecq/kernels/cpu/dense_targets.h"
#include "ecq/kernels/cpu/intrinsics.h"
#include "ecq/kernels/reference/dense.h"

#if defined(__aarch64__)
ECQ_TARGET_BEGIN_NEON
#include "ecq/kernels/cpu/dense_simd_neon.h"
#define ECQ_TARGET neon
#include "ecq/kernels/cpu/dense_kernels-inl.h"
#undef ECQ_TARGET
ECQ_TARGET_END
#endif

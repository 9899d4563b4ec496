// The NEON build of the kernels over coded matrices.
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

#if defined(__aarch64__)
ECQ_TARGET_BEGIN_NEON
#include "ecq/kernels/cpu/dense_simd_neon.h"
#include "ecq/kernels/cpu/packed_simd_neon.h"
#include "ecq/kernels/cpu/window_simd_neon.h"
#define ECQ_TARGET neon
#include "ecq/kernels/cpu/packed_kernels-inl.h"
#undef ECQ_TARGET
ECQ_TARGET_END
#endif

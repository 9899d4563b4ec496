// The dense kernel tables that dense_target_<isa>.cc define.
#pragma once

#include "ecq/kernels/cpu/dense_kernels.h"

namespace ecq {

#if defined(__x86_64__)
namespace avx2 {
extern const DenseKernels kDenseKernels;
}
namespace avx512 {
extern const DenseKernels kDenseKernels;
}
#elif defined(__aarch64__)
namespace neon {
extern const DenseKernels kDenseKernels;
}
#endif

}  // namespace ecq

// The tables that activation_target_<isa>.cc define.
#pragma once

#include "ecq/kernels/cpu/activation_kernels.h"

namespace ecq {

#if defined(__x86_64__)
namespace avx2 {
extern const ActivationKernels kActivationKernels;
}
namespace avx512 {
extern const ActivationKernels kActivationKernels;
}
#endif

}  // namespace ecq

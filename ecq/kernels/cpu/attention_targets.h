// The attention kernel tables that attention_target_<isa>.cc define.
#pragma once

#include "ecq/kernels/cpu/attention_kernels.h"

namespace ecq {

#if defined(__x86_64__)
namespace avx2 {
extern const AttentionKernels kAttentionKernels;
}
namespace avx512 {
extern const AttentionKernels kAttentionKernels;
}
#endif

}  // namespace ecq

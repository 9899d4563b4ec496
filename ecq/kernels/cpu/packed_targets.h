// The kernel tables that the packed_target_<isa>.cc files define.
#pragma once

#include "ecq/kernels/packed_kernels.h"

namespace ecq {
namespace avx2 {
extern const PackedKernels kPackedKernels;
}
namespace avx512 {
extern const PackedKernels kPackedKernels;
}
namespace neon {
extern const PackedKernels kPackedKernels;
}
}  // namespace ecq

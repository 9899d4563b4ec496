// Chooses the table of attention kernels.
#include "ecq/kernels/cpu/attention_kernels.h"

#include "ecq/kernels/cpu/attention_targets.h"
#include "ecq/kernels/reference/attention.h"

namespace ecq {
namespace {

constexpr AttentionKernels kReference{reference::Attend, reference::EncodeF16};

}  // namespace

const AttentionKernels& AttentionKernelsFor(CpuTarget target) {
  switch (target) {
#if defined(__x86_64__)
    case CpuTarget::kAvx2:
      return avx2::kAttentionKernels;
    case CpuTarget::kAvx512:
      return avx512::kAttentionKernels;
#endif
    default:
      return kReference;
  }
}

}  // namespace ecq

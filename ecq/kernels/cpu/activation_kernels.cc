// Chooses the table of activation kernels.
#include "ecq/kernels/cpu/activation_kernels.h"

#include <numeric>

#include "ecq/kernels/activations.h"
#include "ecq/kernels/cpu/activation_targets.h"

namespace ecq {
namespace {

void Quantize(const float* x, size_t k, int8_t* q, float* scales, int32_t* sums) {
  QuantizeActivations(x, k, q, scales);
  for (size_t block = 0; block < NumActivationBlocks(k); ++block) {
    const int8_t* const values = q + block * kActivationBlock;
    sums[block] = std::accumulate(values, values + kActivationBlock, 0);
  }
}

constexpr ActivationKernels kReference{Quantize, TransposeTuples};

}  // namespace

const ActivationKernels& ActivationKernelsFor(CpuTarget target) {
  switch (target) {
#if defined(__x86_64__)
    case CpuTarget::kAvx2:
      return avx2::kActivationKernels;
    case CpuTarget::kAvx512:
      return avx512::kActivationKernels;
#endif
    default:
      return kReference;
  }
}

}  // namespace ecq

// Chooses the table of dense kernels.
#include "ecq/kernels/cpu/dense_kernels.h"

#include "ecq/kernels/cpu/dense_targets.h"
#include "ecq/kernels/reference/dense.h"

namespace ecq {
namespace {

constexpr DenseKernels kReference{reference::Gemv,  reference::SiluMul, reference::GeluTanh,
                                  reference::AddTo, reference::RmsNorm, reference::RotatePairs,
                                  reference::Rotate};

}  // namespace

const DenseKernels& DenseKernelsFor(CpuTarget target) {
  switch (target) {
#if defined(__x86_64__)
    case CpuTarget::kAvx2:
      return avx2::kDenseKernels;
    case CpuTarget::kAvx512:
      return avx512::kDenseKernels;
#elif defined(__aarch64__)
    case CpuTarget::kNeon:
      return neon::kDenseKernels;
#endif
    default:
      return kReference;
  }
}

}  // namespace ecq

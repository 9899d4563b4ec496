// Chooses the table of kernels over coded matrices.
#include "ecq/kernels/packed_kernels.h"

#include "ecq/kernels/activations.h"
#include "ecq/kernels/cpu/packed_targets.h"
#include "ecq/kernels/reference/packed.h"

namespace ecq {
namespace {

constexpr PackedKernels kReference{reference::GemvPackedF32, reference::GemvPackedI8,
                                   reference::GemmPackedI8, reference::DequantizePacked,
                                   reference::DecodePacked};

}  // namespace

const PackedKernels& PackedKernelsFor(CpuTarget target) {
  switch (target) {
#if defined(__x86_64__)
    case CpuTarget::kAvx2:
      return avx2::kPackedKernels;
    case CpuTarget::kAvx512:
      return avx512::kPackedKernels;
#elif defined(__aarch64__)
    case CpuTarget::kNeon:
      return neon::kPackedKernels;
#endif
    default:
      return kReference;
  }
}

size_t GemmOperandBytes(const PackedDesc& desc) {
  return kMaxTilesInFlight * kMaxLanes * PaddedActivations(desc.cols);
}

const char* WhyNotVectorized(const PackedView& w) {
  const PackedDesc& d = w.desc;
  if (d.lanes != kMaxLanes) return "fewer than 32 lanes";
  if (d.scale_groups > 1 && d.group_size % kActivationBlock != 0) {
    return "scale groups are not multiples of 32 columns";
  }
  for (uint32_t s = 0; s < d.num_spans; ++s) {
    if (w.spans[s].end % kActivationBlock != 0 && w.spans[s].end != d.cols) {
      return "column spans are not multiples of 32 columns";
    }
    if (d.codec == CodecId::kRans && w.tables[s].fused == nullptr) return "prob_bits > 12";
  }
  return nullptr;
}

}  // namespace ecq

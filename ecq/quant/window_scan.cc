// Builds the scans of the window search for each instruction set level and chooses one.
#include "ecq/quant/window_scan.h"

#include <cstdint>
#include <limits>
#include <span>

#include "ecq/base/cpu_target.h"
#include "ecq/base/target_region.h"

#define ECQ_TARGET scalar
#include "ecq/quant/window_scan-inl.h"
#undef ECQ_TARGET

#if defined(__x86_64__)
ECQ_TARGET_BEGIN_AVX2
#define ECQ_TARGET avx2
#include "ecq/quant/window_scan-inl.h"
#undef ECQ_TARGET
ECQ_TARGET_END
ECQ_TARGET_BEGIN_AVX512
#define ECQ_TARGET avx512
#include "ecq/quant/window_scan-inl.h"
#undef ECQ_TARGET
ECQ_TARGET_END
#endif

namespace ecq {

const WindowScan& ActiveWindowScan() {
  switch (ActiveCpuTarget()) {
#if defined(__x86_64__)
    case CpuTarget::kAvx512:
      return avx512::kWindowScan;
    case CpuTarget::kAvx2:
      return avx2::kWindowScan;
#endif
    default:
      return scalar::kWindowScan;
  }
}

}  // namespace ecq

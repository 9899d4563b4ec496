// Instruction set levels of the CPU kernels and the one in use.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "ecq/base/result.h"

namespace ecq {

// In ascending rank on each architecture. Values index per-target tables.
enum class CpuTarget : uint8_t {
  kScalar,  // the reference code; runs everywhere
  kAvx2,    // AVX2, FMA and F16C
  kAvx512,  // AVX-512 F, BW, VL, VBMI and VNNI
  kNeon,    // AArch64 with the dot product of ARMv8.2
};
inline constexpr std::array kAllCpuTargets{CpuTarget::kScalar, CpuTarget::kAvx2, CpuTarget::kAvx512,
                                           CpuTarget::kNeon};

std::string_view CpuTargetName(CpuTarget target);  // "scalar", "avx2", "avx512", "neon"
std::optional<CpuTarget> CpuTargetFromName(std::string_view name);

// Whether this machine and its operating system can run `target`.
bool CpuTargetSupported(CpuTarget target);
// The highest supported target.
CpuTarget BestCpuTarget();

// The target that kernels dispatch to: BestCpuTarget() until SetActiveCpuTarget() is called.
CpuTarget ActiveCpuTarget();
// Forces a target for the whole process: for tests, measurements and the user's override. Not to be
// called while a product runs. Errors: kInvalidArgument if this machine does not support it.
Status SetActiveCpuTarget(CpuTarget target);

}  // namespace ecq

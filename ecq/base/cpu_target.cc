// Detection of instruction sets and the process-wide choice of one.
#include "ecq/base/cpu_target.h"

#include <fmt/format.h>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <atomic>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace ecq {
namespace {

constexpr std::array<std::string_view, kAllCpuTargets.size()> kNames{"scalar", "avx2", "avx512",
                                                                     "neon"};

std::atomic<CpuTarget>& ActiveTarget() {
  static std::atomic<CpuTarget> active{BestCpuTarget()};
  return active;
}

#if defined(__x86_64__)
// Clang 14 cannot ask for it by name.
bool HasF16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

}  // namespace

std::string_view CpuTargetName(CpuTarget target) { return kNames[static_cast<size_t>(target)]; }

std::optional<CpuTarget> CpuTargetFromName(std::string_view name) {
  const auto it = std::find(kNames.begin(), kNames.end(), name);
  if (it == kNames.end()) return std::nullopt;
  return kAllCpuTargets[static_cast<size_t>(it - kNames.begin())];
}

bool CpuTargetSupported(CpuTarget target) {
  switch (target) {
    case CpuTarget::kScalar:
      return true;
#if defined(__x86_64__)
    // __builtin_cpu_supports includes whether the operating system saves the registers (XGETBV).
    case CpuTarget::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16c();
    case CpuTarget::kAvx512:
      return CpuTargetSupported(CpuTarget::kAvx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
             __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("popcnt");
#elif defined(__aarch64__) && defined(__APPLE__)
    // Every Mac has it.
    case CpuTarget::kNeon:
      return true;
#elif defined(__aarch64__) && defined(__linux__)
    case CpuTarget::kNeon:
      return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
    default:
      return false;
  }
}

CpuTarget BestCpuTarget() {
  return *std::find_if(kAllCpuTargets.rbegin(), kAllCpuTargets.rend(), CpuTargetSupported);
}

CpuTarget ActiveCpuTarget() { return ActiveTarget().load(std::memory_order_relaxed); }

Status SetActiveCpuTarget(CpuTarget target) {
  if (!CpuTargetSupported(target)) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("CPU target {} is not supported by this machine; the best one is {}",
                             CpuTargetName(target), CpuTargetName(BestCpuTarget()))};
  }
  ActiveTarget().store(target, std::memory_order_relaxed);
  return OkStatus();
}

}  // namespace ecq

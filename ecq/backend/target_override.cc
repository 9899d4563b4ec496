// Reads ECQ_TARGET.
#include "ecq/backend/target_override.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <string_view>
#include <vector>

#include "ecq/kernels/cpu_target.h"

namespace ecq {

Status ApplyTargetOverride() {
  const char* name = std::getenv("ECQ_TARGET");
  if (name == nullptr || *name == '\0') return OkStatus();
  const auto target = CpuTargetFromName(name);
  if (!target) {
    std::vector<std::string_view> known;
    for (const CpuTarget t : kAllCpuTargets) known.push_back(CpuTargetName(t));
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("ECQ_TARGET={}: unknown CPU target; known: {}", name, fmt::join(known, ", "))};
  }
  return SetActiveCpuTarget(*target);
}

}  // namespace ecq

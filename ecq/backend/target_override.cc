// Reads ECQ_TARGET.
#include "ecq/backend/target_override.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "ecq/base/cpu_target.h"

namespace ecq {

Status ApplyTargetOverride() {
  const char* name = std::getenv("ECQ_TARGET");
  if (name == nullptr || *name == '\0') return OkStatus();
  const auto target = CpuTargetFromName(name);
  if (!target) {
    std::string known;
    for (const CpuTarget t : kAllCpuTargets) {
      known += known.empty() ? "" : ", ";
      known += CpuTargetName(t);
    }
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("ECQ_TARGET={}: unknown CPU target; known: {}", name, known)};
  }
  return SetActiveCpuTarget(*target);
}

}  // namespace ecq

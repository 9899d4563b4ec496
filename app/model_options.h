// Options that several commands share.
#pragma once

#include <string_view>

#include "ecq/backend/matrix.h"
#include "ecq/base/result.h"

namespace ecq {

// "f32" or "i8". Errors: kInvalidArgument.
inline Result<ActivationMode> ParseActivationMode(std::string_view name) {
  if (name == "f32") return ActivationMode::kF32;
  if (name == "i8") return ActivationMode::kI8;
  return Error{ErrorCode::kInvalidArgument,
               "activations '" + std::string(name) + "': expected f32 or i8"};
}

}  // namespace ecq

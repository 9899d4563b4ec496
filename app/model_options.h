// Options that several commands share.
#pragma once

#include <string>
#include <string_view>

#include "ecq/backend/matrix.h"
#include "ecq/base/result.h"
#include "ecq/kernels/kv_view.h"

namespace ecq {

// "f32" or "i8". Errors: kInvalidArgument.
inline Result<ActivationMode> ParseActivationMode(std::string_view name) {
  if (name == "f32") return ActivationMode::kF32;
  if (name == "i8") return ActivationMode::kI8;
  return Error{ErrorCode::kInvalidArgument,
               "activations '" + std::string(name) + "': expected f32 or i8"};
}

// "f16", "f32" or "q8". Errors: kInvalidArgument.
inline Result<KvFormat> ParseKvFormat(std::string_view name) {
  if (name == "f16") return KvFormat::kF16;
  if (name == "f32") return KvFormat::kF32;
  if (name == "q8") return KvFormat::kI8;
  return Error{ErrorCode::kInvalidArgument,
               "KV cache '" + std::string(name) + "': expected f16, f32 or q8"};
}

}  // namespace ecq

// Element types of plain (not entropy-coded) tensors, named as safetensors names them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ecq {

enum class DType : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool
};

size_t DTypeBytes(DType type);
std::string_view DTypeName(DType type);  // "F32", "BF16", ...
std::optional<DType> DTypeFromName(std::string_view name);

}  // namespace ecq

#include "ecq/tensor/dtype.h"

#include <array>

namespace ecq {
namespace {

struct Row {
  DType type;
  std::string_view name;
  size_t bytes;
};

constexpr std::array<Row, 13> kTypes{{
    {DType::kF64, "F64", 8},
    {DType::kF32, "F32", 4},
    {DType::kF16, "F16", 2},
    {DType::kBF16, "BF16", 2},
    {DType::kI64, "I64", 8},
    {DType::kI32, "I32", 4},
    {DType::kI16, "I16", 2},
    {DType::kI8, "I8", 1},
    {DType::kU64, "U64", 8},
    {DType::kU32, "U32", 4},
    {DType::kU16, "U16", 2},
    {DType::kU8, "U8", 1},
    {DType::kBool, "BOOL", 1},
}};

}  // namespace

size_t DTypeBytes(DType type) { return kTypes[static_cast<size_t>(type)].bytes; }
std::string_view DTypeName(DType type) { return kTypes[static_cast<size_t>(type)].name; }

std::optional<DType> DTypeFromName(std::string_view name) {
  for (const Row& row : kTypes) {
    if (row.name == name) return row.type;
  }
  return std::nullopt;
}

}  // namespace ecq

#include "ecq/tensor/tensor.h"

#include <cstring>

#include "ecq/base/half.h"

namespace ecq {

std::string ShapeToString(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

Status ConvertToF32(const TensorView& tensor, std::span<float> out) {
  const uint8_t* bytes = tensor.bytes.data();
  if (out.size() * DTypeBytes(tensor.dtype) != tensor.bytes.size()) {
    return Error{ErrorCode::kInvalidArgument,
                 "conversion to F32: expected " +
                     std::to_string(tensor.bytes.size() / DTypeBytes(tensor.dtype)) +
                     " elements of output, got " + std::to_string(out.size())};
  }
  switch (tensor.dtype) {
    case DType::kF32:
      if (!out.empty()) std::memcpy(out.data(), bytes, tensor.bytes.size());
      return OkStatus();
    case DType::kF64:
      for (size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<float>(LoadLe<double>(bytes + 8 * i));
      return OkStatus();
    case DType::kF16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = HalfToFloat(LoadLe<uint16_t>(bytes + 2 * i));
      return OkStatus();
    case DType::kBF16:
      for (size_t i = 0; i < out.size(); ++i) {
        out[i] = BFloat16ToFloat(LoadLe<uint16_t>(bytes + 2 * i));
      }
      return OkStatus();
    default:
      return Error{ErrorCode::kUnsupportedType,
                   "conversion to F32: expected F64, F32, F16 or BF16, got " +
                       std::string(DTypeName(tensor.dtype))};
  }
}

}  // namespace ecq

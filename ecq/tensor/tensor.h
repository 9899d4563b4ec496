// Shapes and non-owning views of plain tensors.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ecq/base/bytes.h"
#include "ecq/base/result.h"
#include "ecq/tensor/dtype.h"

namespace ecq {

// Row-major dimensions, outermost first: a weight matrix W is {N, K} = {out_features, in_features}.
using Shape = std::vector<uint64_t>;

// Product of the dimensions; 1 for a scalar. Nothing if it overflows.
inline std::optional<uint64_t> NumElements(const Shape& shape) {
  uint64_t n = 1;
  for (const uint64_t d : shape) {
    const auto product = CheckedMul(n, d);
    if (!product) return std::nullopt;
    n = *product;
  }
  return n;
}

std::string ShapeToString(const Shape& shape);  // "[576, 1536]"

// Bytes of somebody else's dense row-major tensor. Invariant: bytes.size() equals the number of
// elements times DTypeBytes(dtype). The address may have any alignment.
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const uint8_t> bytes;
};

// Converts a floating-point tensor to f32. out.size() must equal the number of elements.
// Errors: kUnsupportedType for integer tensors, kInvalidArgument for a wrong size.
Status ConvertToF32(const TensorView& tensor, std::span<float> out);

}  // namespace ecq

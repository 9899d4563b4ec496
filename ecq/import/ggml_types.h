// Block formats of ggml tensors and their exact expansion to f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ecq {

// A tensor row is a sequence of blocks of block_elements weights in block_bytes bytes each.
struct GgmlType {
  uint32_t id;  // as GGUF stores it
  std::string_view name;
  uint32_t block_elements;
  uint32_t block_bytes;
  // Expands num_blocks blocks from `in` (any alignment) to num_blocks * block_elements floats, with
  // the operations and the order of ggml's reference, so results are equal to the last bit.
  void (*dequantize)(const uint8_t* in, size_t num_blocks, float* out);
};

// The type if ECQ reads it, else null.
const GgmlType* FindGgmlType(uint32_t id);

// A name for any id, also of types ECQ does not read: "IQ2_XS", "type 77".
std::string GgmlTypeName(uint32_t id);

// "F32, F16, Q4_0, ..."
std::string KnownGgmlTypes();

}  // namespace ecq

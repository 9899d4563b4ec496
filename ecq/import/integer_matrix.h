// Integer weight matrices of MLX, AWQ and GPTQ checkpoints and their exact expansion to f32.
//
// A weight is computed in the element type of the scales, as the programs that define the formats
// do on a CPU: every product and every sum is rounded to that type. So the f32 values are those of
// the reference cast to f32.
#pragma once

#include <cstdint>
#include <span>

#include "ecq/base/result.h"
#include "ecq/import/quantization_config.h"
#include "ecq/tensor/tensor.h"

namespace ecq {

// The stored tensors of one matrix, checked against each other. Views point where those given to
// the factory do. Dimensions are at least 1.
class IntegerMatrix {
 public:
  // MLX affine, w = scale * q + bias: `weight` U32 [..., out, in * bits / 32], a row being one
  // stream of bits from the lowest on; `scales` and `biases` [..., out, in / group_size].
  static Result<IntegerMatrix> Mlx(const TensorView& weight, const TensorView& scales,
                                   const TensorView& biases, MlxFormat format);

  // AWQ "gemm", w = (q - zero) * scale: `weight` I32 [in, out / 8], `zeros` I32 [groups, out / 8],
  // `scales` [groups, out]. Nibble k of a word belongs to its output kAwqOrder[k].
  // group_size 0 is one group.
  static Result<IntegerMatrix> Awq(const TensorView& weight, const TensorView& zeros,
                                   const TensorView& scales, uint64_t group_size);

  // GPTQ, w = scale * (q - (zero + zero_offset)): `weight` I32 [in / 8, out], nibble k of a word
  // being its input k; `zeros` I32 [groups, out / 8], nibble k its output k; `scales`
  // [groups, out]. `group_index` I32 [in] gives the group of each input; null: input / group_size.
  // The last group may be short.
  static Result<IntegerMatrix> Gptq(const TensorView& weight, const TensorView& zeros,
                                    const TensorView& scales, const TensorView* group_index,
                                    uint64_t group_size, uint32_t zero_offset);

  // {..., out, in}: the layout of a Hugging Face linear layer, whatever the stored one.
  const Shape& shape() const { return shape_; }

  // Pre: out.size() is the number of elements.
  void Dequantize(std::span<float> out) const;

 private:
  IntegerMatrix() = default;

  template <typename Scale>
  void DequantizeMlx(float* out) const;
  template <typename Scale>
  void DequantizeAwq(float* out) const;
  template <typename Scale>
  void DequantizeGptq(float* out) const;
  template <typename Scale>
  void DequantizeAs(float* out) const;

  QuantizationConfig::Method method_ = QuantizationConfig::Method::kMlx;
  Shape shape_;
  uint64_t num_outputs_ = 0;  // the product of all dimensions but the last
  uint64_t num_inputs_ = 0;
  uint64_t group_size_ = 0;
  uint32_t bits_ = 4;
  uint32_t zero_offset_ = 0;
  DType scale_type_ = DType::kF32;
  std::span<const uint8_t> weight_;
  std::span<const uint8_t> scales_;
  std::span<const uint8_t> zeros_;        // MLX: the biases
  std::span<const uint8_t> group_index_;  // may be empty
};

}  // namespace ecq

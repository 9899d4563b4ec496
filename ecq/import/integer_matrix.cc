// Checks and expansion of packed integer matrices.
#include "ecq/import/integer_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "ecq/base/bytes.h"
#include "ecq/base/half.h"

namespace ecq {
namespace {

constexpr uint64_t kNibbles = 8;  // in a 32-bit word
constexpr std::array<uint64_t, kNibbles> kAwqOrder{0, 2, 4, 6, 1, 3, 5, 7};

// Element types of scales: how to load one and how to round a float to one.
struct F32Scale {
  static float Load(const uint8_t* p, uint64_t i) { return LoadLe<float>(p + 4 * i); }
  static float Round(float value) { return value; }
};
struct F16Scale {
  static float Load(const uint8_t* p, uint64_t i) {
    return HalfToFloat(LoadLe<uint16_t>(p + 2 * i));
  }
  static float Round(float value) { return HalfToFloat(FloatToHalf(value)); }
};
struct BF16Scale {
  static float Load(const uint8_t* p, uint64_t i) {
    return BFloat16ToFloat(LoadLe<uint16_t>(p + 2 * i));
  }
  static float Round(float value) { return BFloat16ToFloat(FloatToBFloat16(value)); }
};

int Nibble(uint32_t word, uint64_t index) { return static_cast<int>(word >> 4 * index & 15u); }

Error Contradiction(std::string_view part, const TensorView& tensor, std::string_view expected) {
  return Error{ErrorCode::kBadLayout,
               fmt::format("{} is {} {}, expected {}", part, DTypeName(tensor.dtype),
                           ShapeToString(tensor.shape), expected)};
}

bool IsFilled(const Shape& shape) {
  return std::find(shape.begin(), shape.end(), uint64_t{0}) == shape.end();
}

Status CheckMatrix(std::string_view part, const TensorView& tensor, DType type) {
  if (tensor.dtype == type && tensor.shape.size() == 2 && IsFilled(tensor.shape)) return OkStatus();
  return Contradiction(part, tensor, fmt::format("{} of two dimensions", DTypeName(type)));
}

Status CheckScaleType(std::string_view part, const TensorView& tensor) {
  for (const DType type : {DType::kF16, DType::kBF16, DType::kF32}) {
    if (tensor.dtype == type) return OkStatus();
  }
  return Contradiction(part, tensor, "F16, BF16 or F32");
}

Status CheckShape(std::string_view part, const TensorView& tensor, const Shape& shape) {
  if (tensor.shape == shape) return OkStatus();
  return Contradiction(part, tensor, ShapeToString(shape));
}

// What AWQ and GPTQ have in common. `num_groups` must be the number of rows of the scales.
Status CheckNibbleGroups(const TensorView& zeros, const TensorView& scales, uint64_t num_groups,
                         uint64_t num_outputs) {
  ECQ_RETURN_IF_ERROR(CheckScaleType("scales", scales));
  ECQ_RETURN_IF_ERROR(CheckShape("scales", scales, {num_groups, num_outputs}));
  ECQ_RETURN_IF_ERROR(CheckMatrix("qzeros", zeros, DType::kI32));
  return CheckShape("qzeros", zeros, {num_groups, num_outputs / kNibbles});
}

}  // namespace

Result<IntegerMatrix> IntegerMatrix::Mlx(const TensorView& weight, const TensorView& scales,
                                         const TensorView& biases, MlxFormat format) {
  if (weight.dtype != DType::kU32 || weight.shape.size() < 2 || !IsFilled(weight.shape)) {
    return Contradiction("weight", weight, "U32 of two or more dimensions");
  }
  ECQ_RETURN_IF_ERROR(CheckScaleType("scales", scales));
  if (biases.dtype != scales.dtype) {
    return Contradiction("biases", biases, fmt::format("{} as scales", DTypeName(scales.dtype)));
  }
  // 32 weights are `bits` words, and a group is a multiple of 32 weights.
  const uint64_t words_per_group = format.group_size / 32 * format.bits;
  if (weight.shape.back() % words_per_group != 0) {
    return Contradiction("weight", weight,
                         fmt::format("a multiple of {} words in a row: groups of {} weights of {} "
                                     "bits",
                                     words_per_group, format.group_size, format.bits));
  }
  Shape groups = weight.shape;
  groups.back() /= words_per_group;
  ECQ_RETURN_IF_ERROR(CheckShape("scales", scales, groups));
  ECQ_RETURN_IF_ERROR(CheckShape("biases", biases, groups));

  IntegerMatrix matrix;
  matrix.method_ = QuantizationConfig::Method::kMlx;
  matrix.shape_ = std::move(groups);
  matrix.shape_.back() *= format.group_size;
  matrix.num_inputs_ = matrix.shape_.back();
  matrix.num_outputs_ = weight.bytes.size() / sizeof(uint32_t) / weight.shape.back();
  matrix.group_size_ = format.group_size;
  matrix.bits_ = format.bits;
  matrix.scale_type_ = scales.dtype;
  matrix.weight_ = weight.bytes;
  matrix.scales_ = scales.bytes;
  matrix.zeros_ = biases.bytes;
  return matrix;
}

Result<IntegerMatrix> IntegerMatrix::Awq(const TensorView& weight, const TensorView& zeros,
                                         const TensorView& scales, uint64_t group_size) {
  ECQ_RETURN_IF_ERROR(CheckMatrix("qweight", weight, DType::kI32));
  IntegerMatrix matrix;
  matrix.method_ = QuantizationConfig::Method::kAwq;
  matrix.num_inputs_ = weight.shape[0];
  matrix.num_outputs_ = weight.shape[1] * kNibbles;
  matrix.group_size_ = group_size == 0 ? matrix.num_inputs_ : group_size;
  if (matrix.num_inputs_ % matrix.group_size_ != 0) {
    return Contradiction("qweight", weight,
                         fmt::format("rows in groups of {}", matrix.group_size_));
  }
  ECQ_RETURN_IF_ERROR(CheckNibbleGroups(zeros, scales, matrix.num_inputs_ / matrix.group_size_,
                                        matrix.num_outputs_));
  matrix.shape_ = {matrix.num_outputs_, matrix.num_inputs_};
  matrix.scale_type_ = scales.dtype;
  matrix.weight_ = weight.bytes;
  matrix.scales_ = scales.bytes;
  matrix.zeros_ = zeros.bytes;
  return matrix;
}

Result<IntegerMatrix> IntegerMatrix::Gptq(const TensorView& weight, const TensorView& zeros,
                                          const TensorView& scales, const TensorView* group_index,
                                          uint64_t group_size, uint32_t zero_offset) {
  ECQ_RETURN_IF_ERROR(CheckMatrix("qweight", weight, DType::kI32));
  IntegerMatrix matrix;
  matrix.method_ = QuantizationConfig::Method::kGptq;
  matrix.num_inputs_ = weight.shape[0] * kNibbles;
  matrix.num_outputs_ = weight.shape[1];
  matrix.group_size_ = group_size == 0 ? matrix.num_inputs_ : group_size;
  if (matrix.num_outputs_ % kNibbles != 0) {
    return Contradiction("qweight", weight, "a multiple of 8 columns");
  }
  const uint64_t num_groups = DivideRoundUp(matrix.num_inputs_, matrix.group_size_);
  ECQ_RETURN_IF_ERROR(CheckNibbleGroups(zeros, scales, num_groups, matrix.num_outputs_));
  if (group_index != nullptr) {
    if (group_index->dtype != DType::kI32) return Contradiction("g_idx", *group_index, "I32");
    ECQ_RETURN_IF_ERROR(CheckShape("g_idx", *group_index, {matrix.num_inputs_}));
    for (uint64_t i = 0; i < matrix.num_inputs_; ++i) {
      const auto group = LoadLe<int32_t>(group_index->bytes.data() + sizeof(int32_t) * i);
      if (group < 0 || static_cast<uint64_t>(group) >= num_groups) {
        return Error{
            ErrorCode::kBadLayout,
            fmt::format("g_idx[{}] is {}, expected a group below {}", i, group, num_groups)};
      }
    }
    matrix.group_index_ = group_index->bytes;
  }
  matrix.shape_ = {matrix.num_outputs_, matrix.num_inputs_};
  matrix.zero_offset_ = zero_offset;
  matrix.scale_type_ = scales.dtype;
  matrix.weight_ = weight.bytes;
  matrix.scales_ = scales.bytes;
  matrix.zeros_ = zeros.bytes;
  return matrix;
}

template <typename Scale>
void IntegerMatrix::DequantizeMlx(float* out) const {
  const uint64_t mask = (uint64_t{1} << bits_) - 1;
  const uint64_t num_groups = num_outputs_ * (num_inputs_ / group_size_);
  const uint8_t* words = weight_.data();
  for (uint64_t g = 0; g < num_groups; ++g) {
    const float scale = Scale::Load(scales_.data(), g);
    const float bias = Scale::Load(zeros_.data(), g);
    uint64_t buffer = 0;  // its lowest `available` bits are not used yet
    uint32_t available = 0;
    for (uint64_t i = 0; i < group_size_; ++i, available -= bits_, buffer >>= bits_) {
      if (available < bits_) {
        buffer |= uint64_t{LoadLe<uint32_t>(words)} << available;
        words += sizeof(uint32_t);
        available += 32;
      }
      const float product = Scale::Round(scale * static_cast<float>(buffer & mask));
      *out++ = Scale::Round(product + bias);
    }
  }
}

template <typename Scale>
void IntegerMatrix::DequantizeAwq(float* out) const {
  const uint64_t columns = num_outputs_ / kNibbles;
  for (uint64_t column = 0; column < columns; ++column) {
    for (uint64_t i = 0; i < num_inputs_; ++i) {
      const uint64_t group = i / group_size_;
      const auto word = LoadLe<uint32_t>(weight_.data() + 4 * (i * columns + column));
      const auto zeros = LoadLe<uint32_t>(zeros_.data() + 4 * (group * columns + column));
      for (uint64_t k = 0; k < kNibbles; ++k) {
        const uint64_t output = kNibbles * column + kAwqOrder[k];
        const float scale = Scale::Load(scales_.data(), group * num_outputs_ + output);
        const auto level = static_cast<float>(Nibble(word, k) - Nibble(zeros, k));
        out[output * num_inputs_ + i] = Scale::Round(level * scale);
      }
    }
  }
}

template <typename Scale>
void IntegerMatrix::DequantizeGptq(float* out) const {
  const int offset = static_cast<int>(zero_offset_);
  for (uint64_t output = 0; output < num_outputs_; ++output) {
    for (uint64_t i = 0; i < num_inputs_; ++i) {
      const uint64_t group =
          group_index_.empty() ? i / group_size_ : LoadLe<uint32_t>(group_index_.data() + 4 * i);
      const uint64_t at = group * num_outputs_ + output;
      const auto word =
          LoadLe<uint32_t>(weight_.data() + 4 * (i / kNibbles * num_outputs_ + output));
      const auto zeros = LoadLe<uint32_t>(zeros_.data() + 4 * (at / kNibbles));
      const int zero = Nibble(zeros, output % kNibbles) + offset;
      const auto level = static_cast<float>(Nibble(word, i % kNibbles) - zero);
      *out++ = Scale::Round(Scale::Load(scales_.data(), at) * level);
    }
  }
}

template <typename Scale>
void IntegerMatrix::DequantizeAs(float* out) const {
  switch (method_) {
    case QuantizationConfig::Method::kMlx:
      return DequantizeMlx<Scale>(out);
    case QuantizationConfig::Method::kAwq:
      return DequantizeAwq<Scale>(out);
    case QuantizationConfig::Method::kGptq:
      return DequantizeGptq<Scale>(out);
  }
}

void IntegerMatrix::Dequantize(std::span<float> out) const {
  if (scale_type_ == DType::kF16) return DequantizeAs<F16Scale>(out.data());
  if (scale_type_ == DType::kBF16) return DequantizeAs<BF16Scale>(out.data());
  return DequantizeAs<F32Scale>(out.data());
}

}  // namespace ecq

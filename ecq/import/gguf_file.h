// Bounded reader of the GGUF container, versions 2 and 3, little-endian.
//
// File: "GGUF", u32 version, u64 tensor count, u64 key count, the key-value pairs, the tensor
// descriptions, padding to general.alignment (32 unless given), then the tensor data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/import/ggml_types.h"
#include "ecq/tensor/tensor.h"

namespace ecq {

enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

// A validated value, still encoded. `type` is the element type of an array.
struct GgufValue {
  GgufType type;
  bool is_array;
  uint64_t count;  // 1 if not an array
  std::span<const uint8_t> bytes;
};

struct GgufTensor {
  std::string_view name;
  const GgmlType* type;
  Shape shape;  // outermost first; the last dimension is a multiple of type->block_elements
  std::span<const uint8_t> bytes;
};

// The parsed header. Views point into the bytes that Parse was given and live as long as they do.
class GgufFile {
 public:
  static constexpr size_t kMaxDims = 4;
  static constexpr size_t kMaxKeyBytes = 65535;
  static constexpr size_t kMaxTensorNameBytes = 64;

  // `path` names the file in messages. Arrays of arrays are refused, as ggml does.
  // Errors: kBadMagic, kUnsupportedVersion, kUnsupportedType, kTruncated, kBadHeader, kBadLayout.
  static Result<GgufFile> Parse(std::span<const uint8_t> file, std::string path);

  const std::string& path() const { return path_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in file order

  bool Has(std::string_view key) const { return values_.count(key) != 0; }

  // The value of `key`, or nothing if the file has no such key.
  // Errors: kBadHeader if it is of another kind (GetUnsigned: any integer that is not negative).
  Result<std::optional<uint64_t>> GetUnsigned(std::string_view key) const;
  Result<std::optional<float>> GetFloat(std::string_view key) const;
  Result<std::optional<bool>> GetBool(std::string_view key) const;
  Result<std::optional<std::string_view>> GetString(std::string_view key) const;  // valid UTF-8

  // The array `key`, empty if the file has no such key. Errors: kBadHeader as above.
  Result<std::vector<std::string_view>> GetStrings(std::string_view key) const;  // valid UTF-8
  Result<std::vector<float>> GetFloats(std::string_view key) const;
  Result<std::vector<int32_t>> GetInts(std::string_view key) const;  // of I32 or U32

  // "path: GGUF: what".
  Error Fail(ErrorCode code, const std::string& what) const;

 private:
  friend class GgufParser;

  GgufFile() = default;
  const GgufValue* Find(std::string_view key) const;
  Error WrongKind(std::string_view key, std::string_view expected) const;

  std::string path_;
  std::unordered_map<std::string_view, GgufValue> values_;
  std::vector<GgufTensor> tensors_;
};

}  // namespace ecq

// GGUF parsing: every count, length and offset is checked against the bytes that are left.
#include "ecq/import/gguf_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/import/text.h"

namespace ecq {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMinKeyValueBytes = 8 + 4 + 1;        // empty key, type, one byte
constexpr uint64_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;  // empty name, one dimension
constexpr uint64_t kStringLengthBytes = 8;

// Bytes of a fixed-size element; 0 for strings and arrays.
size_t FixedBytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    case GgufType::kString:
    case GgufType::kArray:
      return 0;
  }
  return 0;
}

// An integer of any width that is not negative.
std::optional<uint64_t> AsUnsigned(const GgufValue& value) {
  const uint8_t* p = value.bytes.data();
  const auto from_signed = [](int64_t v) {
    return v < 0 ? std::nullopt : std::optional<uint64_t>(static_cast<uint64_t>(v));
  };
  switch (value.type) {
    case GgufType::kU8:
      return LoadLe<uint8_t>(p);
    case GgufType::kU16:
      return LoadLe<uint16_t>(p);
    case GgufType::kU32:
      return LoadLe<uint32_t>(p);
    case GgufType::kU64:
      return LoadLe<uint64_t>(p);
    case GgufType::kI8:
      return from_signed(LoadLe<int8_t>(p));
    case GgufType::kI16:
      return from_signed(LoadLe<int16_t>(p));
    case GgufType::kI32:
      return from_signed(LoadLe<int32_t>(p));
    case GgufType::kI64:
      return from_signed(LoadLe<int64_t>(p));
    default:
      return std::nullopt;
  }
}

// Names from a file may hold control characters; messages must stay on one line.
bool IsControl(char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; }

// Pre: `p` is at a validated string.
std::string_view StringAt(const uint8_t* p) {
  return {reinterpret_cast<const char*>(p + kStringLengthBytes),
          static_cast<size_t>(LoadLe<uint64_t>(p))};
}

}  // namespace

// Walks the file once from front to back.
class GgufParser {
 public:
  GgufParser(std::span<const uint8_t> bytes, std::string path) : bytes_(bytes) {
    file_.path_ = std::move(path);
  }

  Result<GgufFile> Parse() {
    ECQ_RETURN_IF_ERROR(ParsePreamble());
    for (uint64_t i = 0; i < num_values_; ++i) ECQ_RETURN_IF_ERROR(ParseKeyValue());
    ECQ_RETURN_IF_ERROR(ReadAlignment());
    // Counted again here: the key-value pairs have eaten from what was left.
    ECQ_RETURN_IF_ERROR(CheckCount(num_tensors_, kMinTensorBytes, "tensors"));
    for (uint64_t i = 0; i < num_tensors_; ++i) ECQ_RETURN_IF_ERROR(ParseTensor());
    ECQ_RETURN_IF_ERROR(PlaceTensors());
    return std::move(file_);
  }

 private:
  uint64_t left() const { return bytes_.size() - at_; }

  Error Fail(ErrorCode code, const std::string& what) const { return file_.Fail(code, what); }
  Error Truncated(std::string_view what) const {
    return Fail(ErrorCode::kTruncated,
                fmt::format("file ends inside {} (at byte {}, size {})", what, at_, bytes_.size()));
  }

  template <typename T>
  bool Take(T* value) {
    if (left() < sizeof(T)) return false;
    *value = LoadLe<T>(bytes_.data() + at_);
    at_ += sizeof(T);
    return true;
  }

  bool TakeString(std::string_view* value) {
    uint64_t length;
    if (!Take(&length) || length > left()) return false;
    *value = {reinterpret_cast<const char*>(bytes_.data() + at_), static_cast<size_t>(length)};
    at_ += length;
    return true;
  }

  Status CheckCount(uint64_t count, uint64_t min_bytes_each, std::string_view what) const {
    if (count <= left() / min_bytes_each) return OkStatus();
    return Fail(ErrorCode::kTruncated,
                fmt::format("announces {} {} of at least {} bytes each, {} bytes are left", count,
                            what, min_bytes_each, left()));
  }

  Status ParsePreamble() {
    uint32_t magic;
    uint32_t version;
    if (!Take(&magic)) return Truncated("the magic number");
    if (magic != kMagic) return Fail(ErrorCode::kBadMagic, "expected the file to start with GGUF");
    if (!Take(&version)) return Truncated("the version");
    if (version != 2 && version != 3) {
      return Fail(ErrorCode::kUnsupportedVersion,
                  (version & 0xffffu) == 0
                      ? "big-endian file; convert it to little-endian first"
                      : fmt::format("expected version 2 or 3, got {}", version));
    }
    if (!Take(&num_tensors_) || !Take(&num_values_)) return Truncated("the counts");
    ECQ_RETURN_IF_ERROR(CheckCount(num_values_, kMinKeyValueBytes, "key-value pairs"));
    return CheckCount(num_tensors_, kMinTensorBytes, "tensors");
  }

  Status ParseKeyValue() {
    std::string_view key;
    uint32_t type;
    if (!TakeString(&key)) return Truncated("a key");
    if (key.empty() || key.size() > GgufFile::kMaxKeyBytes || !IsUtf8(key)) {
      return Fail(ErrorCode::kBadHeader,
                  fmt::format("expected a UTF-8 key of 1 to {} bytes before byte {}",
                              GgufFile::kMaxKeyBytes, at_));
    }
    if (!Take(&type)) return Truncated("a value");
    GgufValue value{};
    if (type == static_cast<uint32_t>(GgufType::kArray)) {
      value.is_array = true;
      if (!Take(&type) || !Take(&value.count)) return Truncated("an array");
      if (type == static_cast<uint32_t>(GgufType::kArray)) {
        return Fail(ErrorCode::kBadHeader, fmt::format("{}: array of arrays", key));
      }
    } else {
      value.count = 1;
    }
    if (type > static_cast<uint32_t>(GgufType::kF64)) {
      return Fail(ErrorCode::kBadHeader, fmt::format("{}: unknown value type {}", key, type));
    }
    value.type = static_cast<GgufType>(type);
    ECQ_RETURN_IF_ERROR(SkipElements(key, &value));
    if (!file_.values_.emplace(key, value).second) {
      return Fail(ErrorCode::kBadHeader, fmt::format("duplicate key {}", key));
    }
    return OkStatus();
  }

  // Validates the elements that start here and sets value->bytes to them.
  Status SkipElements(std::string_view key, GgufValue* value) {
    const size_t begin = at_;
    const size_t fixed = FixedBytes(value->type);
    const uint64_t min_bytes = fixed != 0 ? fixed : kStringLengthBytes;
    ECQ_RETURN_IF_ERROR(CheckCount(value->count, min_bytes, key));
    if (fixed != 0) {
      at_ += value->count * fixed;
    } else {
      std::string_view text;
      for (uint64_t i = 0; i < value->count; ++i) {
        if (!TakeString(&text)) return Truncated(key);
      }
    }
    value->bytes = bytes_.subspan(begin, at_ - begin);
    if (value->type == GgufType::kBool &&
        std::any_of(value->bytes.begin(), value->bytes.end(), [](uint8_t b) { return b > 1; })) {
      return Fail(ErrorCode::kBadHeader, fmt::format("{}: a boolean is neither 0 nor 1", key));
    }
    return OkStatus();
  }

  Status ReadAlignment() {
    ECQ_TRY(const auto alignment, file_.GetUnsigned("general.alignment"));
    alignment_ = alignment.value_or(kDefaultAlignment);
    if (alignment_ == 0 || (alignment_ & (alignment_ - 1)) != 0 || alignment_ > uint64_t{1} << 31) {
      return Fail(ErrorCode::kBadHeader,
                  fmt::format("general.alignment: expected a power of two of at most 2^31, got {}",
                              alignment_));
    }
    return OkStatus();
  }

  // Reads one description; offsets_ keeps where its data starts.
  Status ParseTensor() {
    GgufTensor tensor{};
    if (!TakeString(&tensor.name)) return Truncated("a tensor name");
    if (tensor.name.empty() || tensor.name.size() > GgufFile::kMaxTensorNameBytes ||
        !IsUtf8(tensor.name)) {
      return Fail(ErrorCode::kBadHeader,
                  fmt::format("expected a UTF-8 tensor name of 1 to {} bytes before byte {}",
                              GgufFile::kMaxTensorNameBytes, at_));
    }
    uint32_t num_dims;
    uint32_t type;
    uint64_t offset;
    if (!Take(&num_dims)) return Truncated(tensor.name);
    if (num_dims == 0 || num_dims > GgufFile::kMaxDims) {
      return Fail(ErrorCode::kBadHeader,
                  fmt::format("tensor {}: expected 1 to {} dimensions, got {}", tensor.name,
                              GgufFile::kMaxDims, num_dims));
    }
    tensor.shape.resize(num_dims);
    for (size_t i = num_dims; i-- > 0;) {  // stored innermost first
      if (!Take(&tensor.shape[i])) return Truncated(tensor.name);
    }
    if (!Take(&type) || !Take(&offset)) return Truncated(tensor.name);
    tensor.type = FindGgmlType(type);
    if (tensor.type == nullptr) {
      return Fail(ErrorCode::kUnsupportedType,
                  fmt::format("tensor {} has type {}; ECQ reads {}", tensor.name,
                              GgmlTypeName(type), KnownGgmlTypes()));
    }
    if (!names_.insert(tensor.name).second) {
      return Fail(ErrorCode::kBadHeader, fmt::format("duplicate tensor {}", tensor.name));
    }
    file_.tensors_.push_back(std::move(tensor));
    offsets_.push_back(offset);
    return OkStatus();
  }

  // Size of a tensor in the file. Errors: kBadLayout.
  Result<uint64_t> TensorBytes(const GgufTensor& tensor) const {
    const std::optional<uint64_t> elements = NumElements(tensor.shape);
    const uint64_t row = tensor.shape.back();
    if (!elements || *elements == 0 || row % tensor.type->block_elements != 0) {
      return Fail(ErrorCode::kBadLayout,
                  fmt::format("tensor {}: shape {} is empty, overflows 64 bits, or has rows that "
                              "are no multiple of {}'s {} weights",
                              tensor.name, ShapeToString(tensor.shape), tensor.type->name,
                              tensor.type->block_elements));
    }
    const auto bytes =
        CheckedMul(*elements / tensor.type->block_elements, tensor.type->block_bytes);
    if (!bytes) {
      return Fail(ErrorCode::kBadLayout,
                  fmt::format("tensor {}: size overflows 64 bits", tensor.name));
    }
    return *bytes;
  }

  Status PlaceTensors() {
    const uint64_t data_begin = AlignUp(at_, alignment_);
    const uint64_t data_bytes = bytes_.size() - std::min<uint64_t>(data_begin, bytes_.size());
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    ranges.reserve(offsets_.size());
    for (size_t i = 0; i < offsets_.size(); ++i) {
      GgufTensor& tensor = file_.tensors_[i];
      const uint64_t offset = offsets_[i];
      ECQ_TRY(const uint64_t size, TensorBytes(tensor));
      if (offset % alignment_ != 0) {
        return Fail(ErrorCode::kBadLayout,
                    fmt::format("tensor {}: offset {} is no multiple of the alignment {}",
                                tensor.name, offset, alignment_));
      }
      if (offset > data_bytes || size > data_bytes - offset) {
        return Fail(ErrorCode::kTruncated,
                    fmt::format("tensor {}: {} bytes at offset {} exceed the data section of {}",
                                tensor.name, size, offset, data_bytes));
      }
      tensor.bytes =
          bytes_.subspan(static_cast<size_t>(data_begin + offset), static_cast<size_t>(size));
      ranges.emplace_back(offset, offset + size);
    }
    std::sort(ranges.begin(), ranges.end());
    for (size_t i = 1; i < ranges.size(); ++i) {
      if (ranges[i].first < ranges[i - 1].second) {
        return Fail(ErrorCode::kBadLayout,
                    fmt::format("two tensors overlap at data offset {}", ranges[i].first));
      }
    }
    return OkStatus();
  }

  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
  GgufFile file_;
  uint64_t num_tensors_ = 0;
  uint64_t num_values_ = 0;
  uint64_t alignment_ = kDefaultAlignment;
  std::vector<uint64_t> offsets_;
  std::unordered_set<std::string_view> names_;
};

Result<GgufFile> GgufFile::Parse(std::span<const uint8_t> file, std::string path) {
  return GgufParser(file, std::move(path)).Parse();
}

Error GgufFile::Fail(ErrorCode code, const std::string& what) const {
  std::string line = what;
  std::replace_if(line.begin(), line.end(), IsControl, '?');
  return Error{code, fmt::format("{}: GGUF: {}", path_, line)};
}

Error GgufFile::WrongKind(std::string_view key, std::string_view expected) const {
  return Fail(ErrorCode::kBadHeader, fmt::format("{}: expected {}", key, expected));
}

const GgufValue* GgufFile::Find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

Result<std::optional<uint64_t>> GgufFile::GetUnsigned(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::optional<uint64_t>();
  const std::optional<uint64_t> number = value->is_array ? std::nullopt : AsUnsigned(*value);
  if (!number) return WrongKind(key, "an integer that is not negative");
  return number;
}

Result<std::optional<float>> GgufFile::GetFloat(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::optional<float>();
  if (value->is_array || value->type != GgufType::kF32) return WrongKind(key, "an f32");
  return std::optional<float>(LoadLe<float>(value->bytes.data()));
}

Result<std::optional<bool>> GgufFile::GetBool(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::optional<bool>();
  if (value->is_array || value->type != GgufType::kBool) return WrongKind(key, "a boolean");
  return std::optional<bool>(value->bytes[0] != 0);
}

Result<std::optional<std::string_view>> GgufFile::GetString(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::optional<std::string_view>();
  if (value->is_array || value->type != GgufType::kString) return WrongKind(key, "a string");
  const std::string_view text = StringAt(value->bytes.data());
  if (!IsUtf8(text)) return WrongKind(key, "valid UTF-8");
  return std::optional<std::string_view>(text);
}

Result<std::vector<std::string_view>> GgufFile::GetStrings(std::string_view key) const {
  std::vector<std::string_view> strings;
  const GgufValue* value = Find(key);
  if (value == nullptr) return strings;
  if (!value->is_array || value->type != GgufType::kString) {
    return WrongKind(key, "an array of strings");
  }
  strings.reserve(static_cast<size_t>(value->count));
  const uint8_t* p = value->bytes.data();
  for (uint64_t i = 0; i < value->count; ++i) {
    strings.push_back(StringAt(p));
    if (!IsUtf8(strings.back())) return WrongKind(key, fmt::format("valid UTF-8 in entry {}", i));
    p += kStringLengthBytes + strings.back().size();
  }
  return strings;
}

Result<std::vector<float>> GgufFile::GetFloats(std::string_view key) const {
  std::vector<float> numbers;
  const GgufValue* value = Find(key);
  if (value == nullptr) return numbers;
  if (!value->is_array || value->type != GgufType::kF32) return WrongKind(key, "an array of f32");
  numbers.resize(static_cast<size_t>(value->count));
  if (!numbers.empty()) std::memcpy(numbers.data(), value->bytes.data(), value->bytes.size());
  return numbers;
}

Result<std::vector<int32_t>> GgufFile::GetInts(std::string_view key) const {
  std::vector<int32_t> numbers;
  const GgufValue* value = Find(key);
  if (value == nullptr) return numbers;
  if (!value->is_array || (value->type != GgufType::kI32 && value->type != GgufType::kU32)) {
    return WrongKind(key, "an array of 32-bit integers");
  }
  numbers.resize(static_cast<size_t>(value->count));
  if (!numbers.empty()) std::memcpy(numbers.data(), value->bytes.data(), value->bytes.size());
  return numbers;
}

}  // namespace ecq

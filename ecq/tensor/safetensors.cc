// Safetensors header: a SAX pass that admits only the documented structure, then layout checks.
#include "ecq/tensor/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

#include "ecq/base/bytes.h"

namespace ecq {
namespace {

using Json = nlohmann::json;
using Metadata = std::map<std::string, std::string, std::less<>>;

constexpr uint64_t kLengthBytes = 8;

struct RawEntry {
  std::string name;
  std::optional<std::string> dtype;
  std::optional<Shape> shape;
  std::optional<std::vector<uint64_t>> offsets;  // begin and end in the data section
};

// {"name": {"dtype": string, "shape": [unsigned...], "data_offsets": [unsigned, unsigned]}, ...,
//  "__metadata__": {string: string, ...} or null}. Every callback that returns false has set
//  error().
class HeaderHandler final : public nlohmann::json_sax<Json> {
 public:
  std::vector<RawEntry>& entries() { return entries_; }
  Metadata& metadata() { return metadata_; }
  const std::string& error() const { return error_; }

  // MLX writes "__metadata__": null for none.
  bool null() override {
    if (state_ != State::kRoot || key_ != "__metadata__") return Fail("unexpected null");
    return !std::exchange(seen_metadata_, true) || Fail("duplicate __metadata__");
  }
  bool boolean(bool) override { return Fail("unexpected boolean"); }
  bool number_integer(number_integer_t) override { return Fail("unexpected negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return Fail("expected an integer of at most 64 bits, got another number");
  }
  bool binary(binary_t&) override { return Fail("unexpected binary value"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (state_ != State::kArray) return Fail("unexpected number");
    const size_t limit = array_is_shape_ ? Safetensors::kMaxDims : 2;
    if (array_.size() == limit) {
      return Fail("expected at most " + std::to_string(limit) + " numbers in an array");
    }
    array_.push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (state_ == State::kMetadata) {
      if (!metadata_.emplace(key_, std::move(value)).second) return Fail("duplicate metadata key");
      return true;
    }
    if (state_ != State::kTensor || key_ != "dtype") return Fail("unexpected string");
    if (entries_.back().dtype) return Fail("duplicate dtype");
    entries_.back().dtype = std::move(value);
    return true;
  }

  bool start_object(size_t) override {
    if (state_ == State::kStart) {
      state_ = State::kRoot;
      return true;
    }
    if (state_ != State::kRoot) return Fail("unexpected object");
    if (key_ == "__metadata__") {
      if (std::exchange(seen_metadata_, true)) return Fail("duplicate __metadata__");
      state_ = State::kMetadata;
      return true;
    }
    entries_.push_back({std::move(key_), {}, {}, {}});
    state_ = State::kTensor;
    return true;
  }

  bool end_object() override {
    if (state_ == State::kRoot) {
      state_ = State::kEnd;
      return true;
    }
    if (state_ == State::kTensor) {
      const RawEntry& entry = entries_.back();
      if (!entry.dtype || !entry.shape || !entry.offsets) {
        return Fail("expected dtype, shape and data_offsets");
      }
    }
    state_ = State::kRoot;
    return true;
  }

  bool start_array(size_t) override {
    if (state_ != State::kTensor || (key_ != "shape" && key_ != "data_offsets")) {
      return Fail("unexpected array");
    }
    array_is_shape_ = key_ == "shape";
    array_.clear();
    state_ = State::kArray;
    return true;
  }

  bool end_array() override {
    auto& target = array_is_shape_ ? entries_.back().shape : entries_.back().offsets;
    if (target) return Fail("duplicate array");
    if (!array_is_shape_ && array_.size() != 2) return Fail("expected two offsets");
    target = std::move(array_);
    state_ = State::kTensor;
    return true;
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (state_ == State::kTensor && key_ != "dtype" && key_ != "shape" && key_ != "data_offsets") {
      return Fail("unknown field");
    }
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    error_ = "invalid JSON or UTF-8 at byte " + std::to_string(position);
    return false;
  }

 private:
  enum class State { kStart, kRoot, kMetadata, kTensor, kArray, kEnd };

  bool Fail(const std::string& what) {
    const bool in_tensor = state_ == State::kTensor || state_ == State::kArray;
    error_ = what + (in_tensor ? " in tensor \"" + entries_.back().name + "\"" : "") +
             (key_.empty() ? "" : ", key \"" + key_ + "\"");
    return false;
  }

  State state_ = State::kStart;
  std::string key_;
  std::vector<uint64_t> array_;
  bool array_is_shape_ = false;
  bool seen_metadata_ = false;
  std::vector<RawEntry> entries_;
  Metadata metadata_;
  std::string error_;
};

// Names from a file may hold control characters; the message must stay on one line.
Error FileError(ErrorCode code, std::string_view path, std::string what) {
  const auto is_control = [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; };
  std::replace_if(what.begin(), what.end(), is_control, '?');
  return Error{code, std::string(path) + ": safetensors: " + what};
}

// The tensor that `raw` describes, over `data`, the data section.
Result<SafetensorsEntry> MakeEntry(RawEntry& raw, std::span<const uint8_t> data,
                                   std::string_view path) {
  const auto fail = [&](ErrorCode code, const std::string& what) {
    return FileError(code, path, "tensor \"" + raw.name + "\": " + what);
  };
  const std::optional<DType> dtype = DTypeFromName(*raw.dtype);
  if (!dtype) return fail(ErrorCode::kUnsupportedType, "unknown dtype \"" + *raw.dtype + "\"");
  const uint64_t begin = (*raw.offsets)[0];
  const uint64_t end = (*raw.offsets)[1];
  if (begin > end) return fail(ErrorCode::kBadLayout, "data_offsets run backwards");
  const std::optional<uint64_t> elements = NumElements(*raw.shape);
  const std::optional<uint64_t> bytes =
      elements ? CheckedMul(*elements, DTypeBytes(*dtype)) : std::nullopt;
  if (!bytes) {
    return fail(ErrorCode::kBadLayout, "shape " + ShapeToString(*raw.shape) + " overflows 64 bits");
  }
  if (*bytes != end - begin) {
    return fail(ErrorCode::kBadLayout, "shape " + ShapeToString(*raw.shape) + " of " + *raw.dtype +
                                           " needs " + std::to_string(*bytes) +
                                           " bytes, data_offsets span " +
                                           std::to_string(end - begin));
  }
  if (end > data.size()) {
    return fail(ErrorCode::kTruncated, "data ends at byte " + std::to_string(end) +
                                           " of the data section, which has " +
                                           std::to_string(data.size()));
  }
  return SafetensorsEntry{std::move(raw.name),
                          TensorView{*dtype, std::move(*raw.shape),
                                     data.subspan(begin, static_cast<size_t>(end - begin))}};
}

}  // namespace

Result<Safetensors> Safetensors::Parse(std::span<const uint8_t> file, std::string_view path) {
  if (file.size() < kLengthBytes) {
    return FileError(ErrorCode::kTruncated, path,
                     "expected at least 8 bytes, got " + std::to_string(file.size()));
  }
  const uint64_t header_bytes = LoadLe<uint64_t>(file.data());
  if (header_bytes > kMaxHeaderBytes) {
    return FileError(ErrorCode::kBadHeader, path,
                     "header length " + std::to_string(header_bytes) + " exceeds " +
                         std::to_string(kMaxHeaderBytes));
  }
  if (header_bytes > file.size() - kLengthBytes) {
    return FileError(ErrorCode::kTruncated, path,
                     "header of " + std::to_string(header_bytes) + " bytes, file has " +
                         std::to_string(file.size()));
  }
  const auto header = file.subspan(kLengthBytes, static_cast<size_t>(header_bytes));
  if (header.empty() || header.front() != '{') {
    return FileError(ErrorCode::kBadHeader, path, "expected a header that starts with '{'");
  }
  // The JSON lexer takes NUL for the end of its input, which would hide what follows.
  if (std::find(header.begin(), header.end(), 0) != header.end()) {
    return FileError(ErrorCode::kBadHeader, path, "NUL byte in the header");
  }
  HeaderHandler handler;
  if (!Json::sax_parse(header.begin(), header.end(), &handler, Json::input_format_t::json)) {
    return FileError(ErrorCode::kBadHeader, path, "header: " + handler.error());
  }

  std::vector<RawEntry>& raw = handler.entries();
  std::sort(raw.begin(), raw.end(), [](const RawEntry& a, const RawEntry& b) {
    return std::tie(*a.offsets, a.name) < std::tie(*b.offsets, b.name);
  });
  Safetensors result;
  result.metadata_ = std::move(handler.metadata());
  result.data_offset_ = kLengthBytes + header_bytes;
  const auto data = file.subspan(static_cast<size_t>(result.data_offset_));
  result.tensors_.reserve(raw.size());
  uint64_t expected_begin = 0;
  for (RawEntry& entry : raw) {
    const uint64_t begin = (*entry.offsets)[0];
    ECQ_TRY(SafetensorsEntry tensor, MakeEntry(entry, data, path));
    if (begin != expected_begin) {
      return FileError(ErrorCode::kBadLayout, path,
                       "tensor \"" + tensor.name + "\" starts at " + std::to_string(begin) +
                           ", expected " + std::to_string(expected_begin) +
                           " (tensors must not overlap or leave gaps)");
    }
    expected_begin += tensor.view.bytes.size();
    result.tensors_.push_back(std::move(tensor));
  }
  if (expected_begin != data.size()) {
    return FileError(ErrorCode::kBadLayout, path,
                     "tensors end at byte " + std::to_string(expected_begin) +
                         " of the data section, which has " + std::to_string(data.size()));
  }

  result.by_name_.resize(result.tensors_.size());
  std::iota(result.by_name_.begin(), result.by_name_.end(), 0u);
  const auto name = [&](uint32_t i) -> std::string_view { return result.tensors_[i].name; };
  std::sort(result.by_name_.begin(), result.by_name_.end(),
            [&](uint32_t a, uint32_t b) { return name(a) < name(b); });
  const auto twin = std::adjacent_find(result.by_name_.begin(), result.by_name_.end(),
                                       [&](uint32_t a, uint32_t b) { return name(a) == name(b); });
  if (twin != result.by_name_.end()) {
    return FileError(ErrorCode::kBadHeader, path,
                     "duplicate tensor \"" + std::string(name(*twin)) + "\"");
  }
  return result;
}

const SafetensorsEntry* Safetensors::Find(std::string_view name) const {
  const auto it = std::lower_bound(
      by_name_.begin(), by_name_.end(), name,
      [&](uint32_t i, std::string_view wanted) { return tensors_[i].name < wanted; });
  if (it == by_name_.end() || tensors_[*it].name != name) return nullptr;
  return &tensors_[*it];
}

}  // namespace ecq

// What the importer tests share: a temporary directory, file contents, GGUF and safetensors
// writers.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "ecq/base/bytes.h"
#include "ecq/import/gguf_file.h"
#include "ecq/import/model_source.h"

namespace ecq::import_test {

// An empty directory, removed at the end.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "ecq_import_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }

  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path Write(const std::string& name, std::string_view contents) const {
    std::ofstream(path_ / name, std::ios::binary) << contents;
    return path_ / name;
  }
  std::filesystem::path Write(const std::string& name, const std::vector<uint8_t>& bytes) const {
    return Write(name, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }

 private:
  std::filesystem::path path_;
};

inline std::vector<uint8_t> ReadBytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class ByteWriter {
 public:
  template <typename T>
  ByteWriter& Put(T value) {
    static_assert(std::is_arithmetic_v<T>);
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof(T));
    StoreLe(bytes_.data() + at, value);
    return *this;
  }
  ByteWriter& PutText(std::string_view text) { return Append(text.data(), text.size()); }
  ByteWriter& PutString(std::string_view text) { return Put<uint64_t>(text.size()).PutText(text); }
  ByteWriter& PutBytes(const std::vector<uint8_t>& bytes) {
    return Append(bytes.data(), bytes.size());
  }
  ByteWriter& AlignTo(size_t alignment) {
    bytes_.resize(AlignUp(bytes_.size(), alignment));
    return *this;
  }

  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  ByteWriter& Append(const void* data, size_t size) {
    const size_t at = bytes_.size();
    bytes_.resize(at + size);
    if (size > 0) std::memcpy(bytes_.data() + at, data, size);
    return *this;
  }

  std::vector<uint8_t> bytes_;
};

// Writes GGUF version 3 with alignment 32.
class GgufBuilder {
 public:
  GgufBuilder& String(std::string_view key, std::string_view value) {
    Start(key, GgufType::kString).PutString(value);
    return *this;
  }
  GgufBuilder& U32(std::string_view key, uint32_t value) {
    Start(key, GgufType::kU32).Put(value);
    return *this;
  }
  GgufBuilder& F32(std::string_view key, float value) {
    Start(key, GgufType::kF32).Put(value);
    return *this;
  }
  GgufBuilder& Bool(std::string_view key, bool value) {
    Start(key, GgufType::kBool).Put<uint8_t>(value);
    return *this;
  }
  GgufBuilder& Strings(std::string_view key, const std::vector<std::string>& values) {
    StartArray(key, GgufType::kString, values.size());
    for (const auto& value : values) values_.PutString(value);
    return *this;
  }
  GgufBuilder& Ints(std::string_view key, const std::vector<int32_t>& values) {
    StartArray(key, GgufType::kI32, values.size());
    for (const int32_t value : values) values_.Put(value);
    return *this;
  }
  GgufBuilder& Floats(std::string_view key, const std::vector<float>& values) {
    StartArray(key, GgufType::kF32, values.size());
    for (const float value : values) values_.Put(value);
    return *this;
  }

  // `dims` innermost first, as GGUF stores them.
  GgufBuilder& Tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                      const std::vector<uint8_t>& data) {
    tensors_.PutString(name).Put(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) tensors_.Put(dim);
    data_.AlignTo(32);
    tensors_.Put(type).Put<uint64_t>(data_.bytes().size());
    data_.PutBytes(data);
    ++num_tensors_;
    return *this;
  }
  GgufBuilder& TensorF32(std::string_view name, const std::vector<uint64_t>& dims,
                         const std::vector<float>& values) {
    std::vector<uint8_t> bytes(values.size() * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return Tensor(name, dims, 0, bytes);
  }

  std::vector<uint8_t> Build() const {
    ByteWriter file;
    file.PutText("GGUF").Put<uint32_t>(3).Put(num_tensors_).Put(num_values_);
    file.PutBytes(values_.bytes()).PutBytes(tensors_.bytes()).AlignTo(32);
    return file.PutBytes(data_.bytes()).bytes();
  }

 private:
  ByteWriter& Start(std::string_view key, GgufType type) {
    ++num_values_;
    return values_.PutString(key).Put(static_cast<uint32_t>(type));
  }
  void StartArray(std::string_view key, GgufType type, uint64_t count) {
    Start(key, GgufType::kArray).Put(static_cast<uint32_t>(type)).Put(count);
  }

  ByteWriter values_;
  ByteWriter tensors_;
  ByteWriter data_;
  uint64_t num_values_ = 0;
  uint64_t num_tensors_ = 0;
};

// Writes a safetensors file.
class SafetensorsBuilder {
 public:
  SafetensorsBuilder& Tensor(std::string_view name, std::string_view dtype,
                             const std::vector<uint64_t>& shape, const std::vector<uint8_t>& data) {
    header_ += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                           header_.empty() ? "" : ",", name, dtype, fmt::join(shape, ","),
                           data_.bytes().size(), data_.bytes().size() + data.size());
    data_.PutBytes(data);
    return *this;
  }
  // Filled with zeros; four bytes per element.
  SafetensorsBuilder& Words(std::string_view name, std::string_view dtype,
                            const std::vector<uint64_t>& shape) {
    size_t size = 4;
    for (const uint64_t d : shape) size *= d;
    return Tensor(name, dtype, shape, std::vector<uint8_t>(size));
  }
  std::vector<uint8_t> Build() const {
    ByteWriter file;
    return file.PutString("{" + header_ + "}").PutBytes(data_.bytes()).bytes();
  }

 private:
  std::string header_;
  ByteWriter data_;
};

inline const std::string* FindSideFile(const ModelSource& source, std::string_view name) {
  for (const SideFile& file : source.side_files()) {
    if (file.name == name) return &file.contents;
  }
  return nullptr;
}

// The values of the tensor `name`; empty, with a test failure, if that cannot be read.
inline std::vector<float> ReadTensor(const ModelSource& source, std::string_view name) {
  for (size_t i = 0; i < source.tensors().size(); ++i) {
    if (source.tensors()[i].name != name) continue;
    std::vector<float> values(NumElements(source.tensors()[i].shape).value_or(0));
    const Status status = source.ReadF32(i, values);
    if (status.ok()) return values;
    ADD_FAILURE() << status.error().message;
    return {};
  }
  ADD_FAILURE() << "no tensor " << name;
  return {};
}

}  // namespace ecq::import_test

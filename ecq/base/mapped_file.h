// A whole file mapped read-only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "ecq/base/result.h"

namespace ecq {

// Shared, read-only, immutable view of a file. The bytes are hostile until a reader validated them.
// After the last byte at least kReadPadding bytes are readable (their content is unspecified), so
// that vector loads which start inside the file are legal.
class MappedFile {
 public:
  static constexpr size_t kReadPadding = 4096;

  // Errors: kNotFound, kIo; kInvalidArgument for a directory.
  static Result<MappedFile> Open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept { Swap(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    Swap(other);
    return *this;
  }
  ~MappedFile();

  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile() = default;
  void Swap(MappedFile& other) noexcept;

  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  size_t mapped_bytes_ = 0;
  std::string path_;
};

}  // namespace ecq

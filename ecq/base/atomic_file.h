// Files that appear whole or not at all, and unnamed scratch files beside them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "ecq/base/result.h"

namespace ecq {

// Owns a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();

  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// Bytes on disk without a name: they vanish with the object, also if the process dies.
class ScratchFile {
 public:
  // In the directory that holds `path`, or will hold it. Errors: kNoSpace, kIo.
  static Result<ScratchFile> CreateBeside(const std::filesystem::path& path);

  // Errors: kNoSpace, kIo.
  Status Append(std::span<const uint8_t> bytes);
  uint64_t size() const { return size_; }

 private:
  friend class AtomicFile;
  ScratchFile() = default;

  FileDescriptor fd_;
  std::string place_;  // for messages
  uint64_t size_ = 0;
};

// Writes a temporary file beside `path` and gives it that name in Commit(). Whatever fails before,
// a file that was there stays as it was; without Commit() the temporary file is removed.
class AtomicFile {
 public:
  // A symbolic link is followed: its target is what gets replaced. An existing file keeps its
  // permissions.
  // Errors: kAlreadyExists if the file exists and may not be overwritten, kInvalidArgument if it is
  // no regular file, kNotFound if the directory does not exist, kNoSpace, kIo.
  static Result<AtomicFile> Create(const std::filesystem::path& path, bool overwrite);

  AtomicFile(AtomicFile&& other) noexcept { Swap(other); }
  AtomicFile& operator=(AtomicFile&& other) noexcept {
    Swap(other);
    return *this;
  }
  ~AtomicFile();

  // Errors: kNoSpace, kIo; after an error Commit() refuses.
  Status Append(std::span<const uint8_t> bytes);
  // Appends all bytes of `scratch`.
  Status Append(const ScratchFile& scratch);
  uint64_t size() const { return size_; }

  // Makes the bytes durable, then visible under the name. To be called once.
  // Errors: kAlreadyExists if the file appeared since Create() and may not be overwritten,
  // kNoSpace, kIo, kInternal after a failed Append().
  Status Commit();

 private:
  AtomicFile() = default;
  void Swap(AtomicFile& other) noexcept;
  Status Rename();

  FileDescriptor fd_;
  std::string path_;
  std::string directory_;
  std::string temporary_;  // empty once it has its final name
  bool overwrite_ = false;
  bool broken_ = false;
  uint64_t size_ = 0;
};

}  // namespace ecq

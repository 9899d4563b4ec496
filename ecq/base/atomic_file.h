// Files that appear whole or not at all, and unnamed scratch files beside them.
//
// Neither has a name before it is whole, so that a process that is killed leaves nothing behind.
// An AtomicFile is called ".ecq-PID-N.tmp" only between two system calls, when it replaces another
// file, and all the time where the file system has no files without a name (O_TMPFILE).
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

// Bytes of an open file, for copying.
struct FileRange {
  int fd = -1;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// Writes all of `bytes` at `offset`. `place` starts the messages.
// Errors: kNoSpace, kIo.
Status WriteAt(int fd, uint64_t offset, std::span<const uint8_t> bytes, const std::string& place);
// Reads exactly out.size() bytes at `offset`. Errors: kTruncated, kIo.
Status ReadAt(int fd, uint64_t offset, std::span<uint8_t> out, const std::string& place);
// The error for the current errno: kNoSpace, kAlreadyExists, kNotFound or kIo.
Error IoError(const std::string& place, const char* what);

// The regular file that writing to `path` will make or replace: `path` itself, or what it leads to
// as a symbolic link. Errors: kInvalidArgument if something else is there, kIo for a link that
// leads nowhere.
Result<std::filesystem::path> ResolveOutput(const std::filesystem::path& path);

// Bytes on disk without a name: they vanish with the object, also if the process dies.
class ScratchFile {
 public:
  // In the directory that holds `path`, or will hold it. Errors: kNoSpace, kIo.
  static Result<ScratchFile> CreateBeside(const std::filesystem::path& path);

  // Errors: kNoSpace, kIo.
  Status Append(std::span<const uint8_t> bytes);
  uint64_t size() const { return size_; }
  // Valid while this object lives, wherever it is moved.
  FileRange range(uint64_t offset, uint64_t bytes) const { return {fd_.get(), offset, bytes}; }

 private:
  ScratchFile() = default;

  FileDescriptor fd_;
  std::string place_;  // for messages
  uint64_t size_ = 0;
};

// Writes a file without a name beside `path` and gives it that name in Commit(). Whatever fails
// before, a file that was there stays as it was; without Commit() nothing stays.
class AtomicFile {
 public:
  enum class Temporary {
    kUnnamed,  // where the file system can; else as kNamed
    kNamed,    // to test what happens where it cannot
  };

  // A symbolic link is followed: its target is what gets replaced. An existing file keeps its
  // permissions.
  // Errors: kAlreadyExists if the file exists and may not be overwritten, kInvalidArgument if it is
  // no regular file, kNotFound if the directory does not exist, kNoSpace, kIo.
  static Result<AtomicFile> Create(const std::filesystem::path& path, bool overwrite,
                                   Temporary temporary = Temporary::kUnnamed);

  AtomicFile(AtomicFile&& other) noexcept { Swap(other); }
  AtomicFile& operator=(AtomicFile&& other) noexcept {
    Swap(other);
    return *this;
  }
  ~AtomicFile();

  // Errors: kNoSpace, kIo; after an error Commit() refuses.
  Status Append(std::span<const uint8_t> bytes);
  // Appends bytes of another file. Errors besides: kTruncated.
  Status Append(FileRange range);
  uint64_t size() const { return size_; }

  // Makes the bytes durable, then visible under the name. To be called once.
  // Errors: kAlreadyExists if the file appeared since Create() and may not be overwritten,
  // kNoSpace, kIo, kInternal after a failed Append().
  Status Commit();

 private:
  AtomicFile() = default;
  void Swap(AtomicFile& other) noexcept;
  Status GiveName(const std::string& name) const;
  Status Rename();

  FileDescriptor fd_;
  std::string path_;
  std::string directory_;
  std::string temporary_;  // the name until Commit(); empty while there is none
  bool overwrite_ = false;
  bool committed_ = false;
  bool broken_ = false;
  uint64_t size_ = 0;
};

}  // namespace ecq

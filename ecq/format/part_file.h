// The log of a long conversion, from which a later run can go on.
//
// A part file is a magic and records; the first record names what is being made. Every record has
// an XXH3-64 over its bytes, seeded with that of the record before, so what is read back is a whole
// prefix of what one run wrote. A record that does not check ends the log.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/atomic_file.h"
#include "ecq/base/result.h"

namespace ecq {

// Locked against other runs while it is open. Removed with this object unless it holds a record
// beyond the first, or might be what another run wants to go on from.
class PartFile {
 public:
  // What to do with the work of an earlier run.
  enum class Existing { kRefuse, kDiscard, kContinue };

  struct Record {
    uint32_t kind;
    std::shared_ptr<const AlignedBuffer<uint8_t>> buffer;  // the body, then kReadPadding bytes
    FileRange range;                                       // of the body

    std::span<const uint8_t> body() const { return buffer->span().first(range.bytes); }
  };
  static constexpr size_t kReadPadding = 64;
  static constexpr uint32_t kMaxKind = 0x7fffffff;

  // A place between two records.
  struct Mark {
    uint64_t offset;
    uint64_t hash;
  };

  // Errors: kAlreadyExists with kRefuse if there is work to go on from, kInvalidArgument if the
  // file is something else, kIo also if another process holds it, kNotFound, kNoSpace.
  static Result<PartFile> Open(const std::filesystem::path& path, Existing existing);

  PartFile(PartFile&& other) noexcept { Swap(other); }
  PartFile& operator=(PartFile&& other) noexcept {
    Swap(other);
    return *this;
  }
  ~PartFile();

  // Goes to the first record after the one that holds `fingerprint`, a text of lines; starts a new
  // log if there is none to continue. To be called once, first.
  // Errors: kInvalidArgument if the log is of something else, naming the first line that differs;
  // kNoSpace, kIo.
  Status Begin(std::string_view fingerprint);
  // Whether Begin() found a log to continue.
  bool continued() const { return continued_; }

  // The record at this place, and goes behind it. Nothing where the intact part of the log ends.
  std::optional<Record> Read();
  // Writes a record at this place, drops all that follow, and goes behind it. Returns where the
  // body lies. Pre: kind is 1 to kMaxKind. Errors: kNoSpace, kIo.
  Result<FileRange> Append(uint32_t kind, std::span<const uint8_t> body);

  Mark mark() const { return at_; }
  void Seek(Mark mark) { at_ = mark; }

  // Whether something would be lost with this file.
  bool worth_keeping() const { return worth_keeping_; }
  // Removes the file now: its work is in the output, or will never be.
  void Remove();
  const std::string& path() const { return path_; }

 private:
  PartFile() = default;
  void Swap(PartFile& other) noexcept;
  Status Lock();
  Status CheckMagic(uint64_t size) const;
  Status Restart(std::string_view fingerprint);

  FileDescriptor fd_;
  std::string path_;
  Mark at_{};
  Existing existing_ = Existing::kRefuse;
  bool continued_ = false;
  bool worth_keeping_ = true;
};

}  // namespace ecq

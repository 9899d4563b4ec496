#include "ecq/base/atomic_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

namespace ecq {
namespace {

constexpr size_t kCopyBytes = size_t{1} << 20;

// The error for the current errno.
Error IoError(const std::string& place, const char* what) {
  const int number = errno;
  const std::string message = place + ": " + what + ": " + std::strerror(number);
  switch (number) {
    case ENOSPC:
    case EDQUOT:
      return {ErrorCode::kNoSpace, message + "; free some space or write elsewhere"};
    case EEXIST:
      return {ErrorCode::kAlreadyExists, message};
    case ENOENT:
      return {ErrorCode::kNotFound, message};
    default:
      return {ErrorCode::kIo, message};
  }
}

Error ExistsError(const std::string& path) {
  return {ErrorCode::kAlreadyExists,
          path + ": the file exists; choose another name or allow overwriting"};
}

std::string DirectoryOf(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  return parent.empty() ? "." : parent.string();
}

// Creates a new file with a name that nobody uses. The name does not contain that of the final
// file, which may be as long as the file system allows.
Result<FileDescriptor> CreateTemporary(const std::string& directory, std::string* name) {
  static std::atomic<uint64_t> counter{0};
  while (true) {
    *name = directory + "/.ecq-" + std::to_string(::getpid()) + "-" +
            std::to_string(counter.fetch_add(1)) + ".tmp";
    FileDescriptor fd(::open(name->c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (fd.get() >= 0) return fd;
    if (errno != EEXIST) return IoError(directory, "cannot create a file in this directory");
  }
}

Status WriteAll(int fd, std::span<const uint8_t> bytes, const std::string& place) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return IoError(place, "cannot write");
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return OkStatus();
}

Status SyncDirectory(const std::string& directory) {
  const FileDescriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return IoError(directory, "cannot open the directory");
  // Some file systems cannot sync a directory and say so with EINVAL.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) return IoError(directory, "cannot sync");
  return OkStatus();
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Result<ScratchFile> ScratchFile::CreateBeside(const std::filesystem::path& path) {
  ScratchFile scratch;
  const std::string directory = DirectoryOf(path);
  std::string name;
  ECQ_TRY(scratch.fd_, CreateTemporary(directory, &name));
  if (::unlink(name.c_str()) != 0) return IoError(name, "cannot remove the name of a scratch file");
  scratch.place_ = "scratch file in " + directory;
  return scratch;
}

Status ScratchFile::Append(std::span<const uint8_t> bytes) {
  ECQ_RETURN_IF_ERROR(WriteAll(fd_.get(), bytes, place_));
  size_ += bytes.size();
  return OkStatus();
}

Result<AtomicFile> AtomicFile::Create(const std::filesystem::path& path, bool overwrite) {
  AtomicFile file;
  file.path_ = path.string();
  file.overwrite_ = overwrite;

  struct stat info {};
  bool exists = ::lstat(file.path_.c_str(), &info) == 0;
  if (exists && S_ISLNK(info.st_mode)) {
    std::error_code error;
    file.path_ = std::filesystem::canonical(path, error).string();
    if (error || ::stat(file.path_.c_str(), &info) != 0) {
      return Error{ErrorCode::kIo, path.string() + ": a symbolic link that leads nowhere"};
    }
  }
  if (exists && !S_ISREG(info.st_mode)) {
    return Error{ErrorCode::kInvalidArgument,
                 file.path_ + ": expected a regular file or a new name"};
  }
  if (exists && !overwrite) return ExistsError(file.path_);

  file.directory_ = DirectoryOf(file.path_);
  ECQ_TRY(file.fd_, CreateTemporary(file.directory_, &file.temporary_));
  if (exists && ::fchmod(file.fd_.get(), info.st_mode & 0777) != 0) {
    return IoError(file.temporary_, "cannot take over the permissions of the old file");
  }
  return file;
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::Swap(AtomicFile& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(directory_, other.directory_);
  std::swap(temporary_, other.temporary_);
  std::swap(overwrite_, other.overwrite_);
  std::swap(broken_, other.broken_);
  std::swap(size_, other.size_);
}

Status AtomicFile::Append(std::span<const uint8_t> bytes) {
  Status status = WriteAll(fd_.get(), bytes, path_);
  if (status.ok()) size_ += bytes.size();
  broken_ |= !status.ok();
  return status;
}

Status AtomicFile::Append(const ScratchFile& scratch) {
  std::vector<uint8_t> buffer(std::min<uint64_t>(kCopyBytes, scratch.size_));
  for (uint64_t offset = 0; offset < scratch.size_;) {
    const size_t wanted = std::min<uint64_t>(buffer.size(), scratch.size_ - offset);
    const ssize_t got =
        ::pread(scratch.fd_.get(), buffer.data(), wanted, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      broken_ = true;
      if (got == 0) errno = EIO;
      return IoError(scratch.place_, "cannot read back");
    }
    ECQ_RETURN_IF_ERROR(Append(std::span(buffer).first(static_cast<size_t>(got))));
    offset += static_cast<uint64_t>(got);
  }
  return OkStatus();
}

Status AtomicFile::Rename() {
  if (overwrite_) {
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) return IoError(path_, "cannot rename");
    temporary_.clear();
    return OkStatus();
  }
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) {
    temporary_.clear();
    return OkStatus();
  }
  if (errno == EEXIST) return ExistsError(path_);
  if (errno != EINVAL && errno != ENOSYS) return IoError(path_, "cannot rename");
  // The file system has no RENAME_NOREPLACE. A second link is as atomic; the destructor removes the
  // first name.
  if (::link(temporary_.c_str(), path_.c_str()) == 0) return OkStatus();
  return errno == EEXIST ? ExistsError(path_) : IoError(path_, "cannot link");
}

Status AtomicFile::Commit() {
  if (broken_ || temporary_.empty()) {
    return Error{ErrorCode::kInternal, path_ + ": commit of a file that was not written"};
  }
  if (::fsync(fd_.get()) != 0) {
    broken_ = true;
    return IoError(path_, "cannot sync");
  }
  ECQ_RETURN_IF_ERROR(Rename());
  return SyncDirectory(directory_);
}

}  // namespace ecq

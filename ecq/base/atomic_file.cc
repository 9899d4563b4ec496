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

Error ExistsError(const std::string& path) {
  return {ErrorCode::kAlreadyExists,
          path + ": the file exists; choose another name or allow overwriting"};
}

std::string DirectoryOf(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  return parent.empty() ? "." : parent.string();
}

std::string TemporaryName(const std::string& directory) {
  static std::atomic<uint64_t> counter{0};
  return directory + "/.ecq-" + std::to_string(::getpid()) + "-" +
         std::to_string(counter.fetch_add(1)) + ".tmp";
}

// Creates a new file with a name that nobody uses. The name does not contain that of the final
// file, which may be as long as the file system allows.
Result<FileDescriptor> CreateNamed(const std::string& directory, std::string* name) {
  while (true) {
    *name = TemporaryName(directory);
    FileDescriptor fd(::open(name->c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (fd.get() >= 0) return fd;
    if (errno != EEXIST) return IoError(directory, "cannot create a file in this directory");
  }
}

// How a file without a name is linked to one: by a path that leads to it.
std::string DescriptorPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// A new file without a name that can be given one later. Nothing where that is not possible.
FileDescriptor CreateUnnamed(const std::string& directory) {
  FileDescriptor fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666));
  if (fd.get() >= 0 && ::access(DescriptorPath(fd.get()).c_str(), F_OK) != 0) return {};
  return fd;
}

Status SyncDirectory(const std::string& directory) {
  const FileDescriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return IoError(directory, "cannot open the directory");
  // Some file systems cannot sync a directory and say so with EINVAL.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) return IoError(directory, "cannot sync");
  return OkStatus();
}

}  // namespace

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

Status WriteAt(int fd, uint64_t offset, std::span<const uint8_t> bytes, const std::string& place) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return IoError(place, "cannot write");
    }
    offset += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return OkStatus();
}

Status ReadAt(int fd, uint64_t offset, std::span<uint8_t> out, const std::string& place) {
  while (!out.empty()) {
    const ssize_t got = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0) {
      if (errno == EINTR) continue;
      return IoError(place, "cannot read");
    }
    if (got == 0) return Error{ErrorCode::kTruncated, place + ": the file ends early"};
    offset += static_cast<uint64_t>(got);
    out = out.subspan(static_cast<size_t>(got));
  }
  return OkStatus();
}

Result<std::filesystem::path> ResolveOutput(const std::filesystem::path& path) {
  std::filesystem::path target = path;
  struct stat info {};
  if (::lstat(target.c_str(), &info) != 0) return target;
  if (S_ISLNK(info.st_mode)) {
    std::error_code error;
    target = std::filesystem::canonical(path, error);
    if (error || ::stat(target.c_str(), &info) != 0) {
      return Error{ErrorCode::kIo, path.string() + ": a symbolic link that leads nowhere"};
    }
  }
  if (!S_ISREG(info.st_mode)) {
    return Error{ErrorCode::kInvalidArgument,
                 target.string() + ": expected a regular file or a new name"};
  }
  return target;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Result<ScratchFile> ScratchFile::CreateBeside(const std::filesystem::path& path) {
  ScratchFile scratch;
  const std::string directory = DirectoryOf(path);
  scratch.place_ = "scratch file in " + directory;
  scratch.fd_ = CreateUnnamed(directory);
  if (scratch.fd_.get() >= 0) return scratch;
  std::string name;
  ECQ_TRY(scratch.fd_, CreateNamed(directory, &name));
  if (::unlink(name.c_str()) != 0) return IoError(name, "cannot remove the name of a scratch file");
  return scratch;
}

Status ScratchFile::Append(std::span<const uint8_t> bytes) {
  ECQ_RETURN_IF_ERROR(WriteAt(fd_.get(), size_, bytes, place_));
  size_ += bytes.size();
  return OkStatus();
}

Result<AtomicFile> AtomicFile::Create(const std::filesystem::path& path, bool overwrite,
                                      Temporary temporary) {
  AtomicFile file;
  ECQ_TRY(const std::filesystem::path target, ResolveOutput(path));
  file.path_ = target.string();
  file.overwrite_ = overwrite;
  struct stat info {};
  const bool exists = ::stat(file.path_.c_str(), &info) == 0;
  if (exists && !overwrite) return ExistsError(file.path_);

  file.directory_ = DirectoryOf(file.path_);
  if (temporary == Temporary::kUnnamed) file.fd_ = CreateUnnamed(file.directory_);
  if (file.fd_.get() < 0) {
    ECQ_TRY(file.fd_, CreateNamed(file.directory_, &file.temporary_));
  }
  if (exists && ::fchmod(file.fd_.get(), info.st_mode & 0777) != 0) {
    return IoError(file.path_, "cannot take over the permissions of the old file");
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
  std::swap(committed_, other.committed_);
  std::swap(broken_, other.broken_);
  std::swap(size_, other.size_);
}

Status AtomicFile::Append(std::span<const uint8_t> bytes) {
  Status status = WriteAt(fd_.get(), size_, bytes, path_);
  if (status.ok()) size_ += bytes.size();
  broken_ |= !status.ok();
  return status;
}

Status AtomicFile::Append(FileRange range) {
  std::vector<uint8_t> buffer(std::min<uint64_t>(kCopyBytes, range.bytes));
  while (range.bytes > 0) {
    const std::span piece = std::span(buffer).first(std::min<uint64_t>(kCopyBytes, range.bytes));
    Status status = ReadAt(range.fd, range.offset, piece, path_ + ": scratch file");
    if (status.ok()) status = Append(piece);
    if (!status.ok()) {
      broken_ = true;
      return status;
    }
    range.offset += piece.size();
    range.bytes -= piece.size();
  }
  return OkStatus();
}

// A second name, which must be new: as atomic as renameat2 with RENAME_NOREPLACE, which not every
// file system has.
Status AtomicFile::GiveName(const std::string& name) const {
  const std::string from = temporary_.empty() ? DescriptorPath(fd_.get()) : temporary_;
  if (::linkat(AT_FDCWD, from.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return OkStatus();
  }
  return errno == EEXIST ? ExistsError(name) : IoError(name, "cannot link");
}

Status AtomicFile::Rename() {
  if (!overwrite_) {
    if (temporary_.empty()) return GiveName(path_);
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) {
      temporary_.clear();
      return OkStatus();
    }
    if (errno == EEXIST) return ExistsError(path_);
    if (errno != EINVAL && errno != ENOSYS) return IoError(path_, "cannot rename");
    return GiveName(path_);  // the destructor removes the first name
  }
  // Only a file with a name can replace another; between these two calls the name is visible.
  while (temporary_.empty()) {
    const std::string name = TemporaryName(directory_);
    const Status named = GiveName(name);
    if (named.ok()) {
      temporary_ = name;
    } else if (named.error().code != ErrorCode::kAlreadyExists) {
      return named;
    }
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return IoError(path_, "cannot rename");
  temporary_.clear();
  return OkStatus();
}

Status AtomicFile::Commit() {
  if (broken_ || committed_) {
    return Error{ErrorCode::kInternal, path_ + ": commit of a file that was not written"};
  }
  if (::fsync(fd_.get()) != 0) {
    broken_ = true;
    return IoError(path_, "cannot sync");
  }
  ECQ_RETURN_IF_ERROR(Rename());
  committed_ = true;
  return SyncDirectory(directory_);
}

}  // namespace ecq

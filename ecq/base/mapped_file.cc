#include "ecq/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "ecq/base/bytes.h"

namespace ecq {

Result<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  const std::string name = path.string();
  const auto fail = [&](ErrorCode code, const char* what) {
    return Error{code, name + ": " + what + ": " + std::strerror(errno)};
  };
  const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "cannot open");
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } closer{fd};

  struct stat info {};
  if (::fstat(fd, &info) != 0) return fail(ErrorCode::kIo, "cannot stat");
  if (!S_ISREG(info.st_mode)) {
    return Error{ErrorCode::kInvalidArgument, name + ": expected a regular file"};
  }

  // Reserve the file and its padding as anonymous memory, then lay the file over the front: bytes
  // after the file's last page stay readable zeros.
  MappedFile file;
  file.path_ = name;
  file.size_ = static_cast<size_t>(info.st_size);
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  file.mapped_bytes_ = AlignUp(file.size_, page) + AlignUp(kReadPadding, page);
  void* base = ::mmap(nullptr, file.mapped_bytes_, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return fail(ErrorCode::kOutOfMemory, "cannot reserve address space");
  file.data_ = static_cast<const uint8_t*>(base);
  if (file.size_ > 0 &&
      ::mmap(base, file.size_, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
    return fail(ErrorCode::kIo, "cannot map");
  }
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), mapped_bytes_);
}

void MappedFile::Swap(MappedFile& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  std::swap(path_, other.path_);
}

}  // namespace ecq

#include "ecq/format/part_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "ecq/base/bytes.h"

namespace ecq {
namespace {

constexpr std::string_view kMagic = "ecq part file 1\n";
constexpr uint32_t kFingerprintKind = 0;

// What precedes every body: u64 bytes of the body, u32 kind, u32 0, u64 hash.
constexpr size_t kHeaderBytes = 24;
constexpr size_t kHashAt = 16;
using Header = std::array<uint8_t, kHeaderBytes>;

std::span<const uint8_t> AsBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

uint64_t HashOf(const Header& header, std::span<const uint8_t> body, uint64_t previous) {
  const uint64_t seed = XXH3_64bits_withSeed(header.data(), kHashAt, previous);
  return XXH3_64bits_withSeed(body.data(), body.size(), seed);
}

PartFile::Mark Start() { return {kMagic.size(), 0}; }

// The first line in which two texts differ, of each.
std::pair<std::string_view, std::string_view> FirstDifference(std::string_view a,
                                                              std::string_view b) {
  while (true) {
    const std::string_view line_a = a.substr(0, a.find('\n'));
    const std::string_view line_b = b.substr(0, b.find('\n'));
    if (line_a != line_b || (line_a.size() == a.size() && line_b.size() == b.size())) {
      return {line_a, line_b};
    }
    a.remove_prefix(std::min(a.size(), line_a.size() + 1));
    b.remove_prefix(std::min(b.size(), line_b.size() + 1));
  }
}

}  // namespace

// Opens until the locked file is the one that has the name: another process may have removed it
// between the two calls.
Status PartFile::Lock() {
  while (true) {
    fd_ = FileDescriptor(
        ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666));
    if (fd_.get() < 0) return IoError(path_, "cannot open");
    struct stat mine {};
    struct stat named {};
    if (::fstat(fd_.get(), &mine) != 0) return IoError(path_, "cannot stat");
    if (!S_ISREG(mine.st_mode)) {
      return Error{ErrorCode::kInvalidArgument, path_ + ": expected a regular file or none"};
    }
    if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) {
        return Error{ErrorCode::kIo,
                     path_ +
                         ": another run is making the same output; wait for it to end, or "
                         "choose another name"};
      }
      if (errno != ENOSYS && errno != EOPNOTSUPP && errno != ENOLCK) {  // a file system without
        return IoError(path_, "cannot lock");
      }
    }
    if (::stat(path_.c_str(), &named) == 0 && named.st_dev == mine.st_dev &&
        named.st_ino == mine.st_ino) {
      return OkStatus();
    }
  }
}

Status PartFile::CheckMagic(uint64_t size) const {
  std::array<uint8_t, kMagic.size()> magic;
  const auto front = std::span(magic).first(std::min<uint64_t>(size, magic.size()));
  ECQ_RETURN_IF_ERROR(ReadAt(fd_.get(), 0, front, path_));
  if (std::equal(front.begin(), front.end(), kMagic.begin())) return OkStatus();
  return Error{ErrorCode::kInvalidArgument,
               path_ +
                   ": expected a part file of this version of ecq, got something else; move it "
                   "away or remove it"};
}

Result<PartFile> PartFile::Open(const std::filesystem::path& path, Existing existing) {
  PartFile part;
  part.path_ = path.string();
  part.existing_ = existing;
  ECQ_RETURN_IF_ERROR(part.Lock());
  struct stat info {};
  if (::fstat(part.fd_.get(), &info) != 0) return IoError(part.path_, "cannot stat");
  ECQ_RETURN_IF_ERROR(part.CheckMagic(static_cast<uint64_t>(info.st_size)));
  part.at_ = Start();
  const bool has_work = part.Read().has_value() && part.Read().has_value();
  if (has_work && existing == Existing::kRefuse) {
    return Error{ErrorCode::kAlreadyExists, part.path_ + ": holds the work of an earlier run"};
  }
  part.worth_keeping_ = has_work;
  return part;
}

PartFile::~PartFile() {
  if (fd_.get() >= 0 && !worth_keeping_) Remove();
}

void PartFile::Swap(PartFile& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  std::swap(at_, other.at_);
  std::swap(existing_, other.existing_);
  std::swap(continued_, other.continued_);
  std::swap(worth_keeping_, other.worth_keeping_);
}

void PartFile::Remove() {
  ::unlink(path_.c_str());  // before the lock goes
  fd_ = FileDescriptor();
  worth_keeping_ = false;
}

Status PartFile::Begin(std::string_view fingerprint) {
  at_ = Start();
  if (existing_ != Existing::kContinue) return Restart(fingerprint);
  const std::optional<Record> first = Read();
  if (!first || first->kind != kFingerprintKind) return Restart(fingerprint);
  const auto body = first->body();
  const std::string_view found(reinterpret_cast<const char*>(body.data()), body.size());
  if (found != fingerprint) {
    const auto [expected, got] = FirstDifference(fingerprint, found);
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{}: is of another conversion: expected \"{}\", got \"{}\"", path_,
                             expected, got.substr(0, std::max<size_t>(200, expected.size())))};
  }
  continued_ = worth_keeping_;
  return OkStatus();
}

Status PartFile::Restart(std::string_view fingerprint) {
  worth_keeping_ = false;
  if (::ftruncate(fd_.get(), 0) != 0) return IoError(path_, "cannot shorten");
  ECQ_RETURN_IF_ERROR(WriteAt(fd_.get(), 0, AsBytes(kMagic), path_));
  at_ = Start();
  ECQ_RETURN_IF_ERROR(Append(kFingerprintKind, AsBytes(fingerprint)));
  return OkStatus();
}

std::optional<PartFile::Record> PartFile::Read() {
  struct stat info {};
  Header header;
  if (::fstat(fd_.get(), &info) != 0 || !ReadAt(fd_.get(), at_.offset, header, path_).ok()) {
    return std::nullopt;
  }
  const uint64_t left = static_cast<uint64_t>(info.st_size) - (at_.offset + kHeaderBytes);
  Record record;
  record.kind = LoadLe<uint32_t>(header.data() + 8);
  record.range = {fd_.get(), at_.offset + kHeaderBytes, LoadLe<uint64_t>(header.data())};
  if (record.range.bytes > left || record.kind > kMaxKind) return std::nullopt;
  const auto buffer = std::make_shared<AlignedBuffer<uint8_t>>(record.range.bytes + kReadPadding);
  const std::span<uint8_t> body = buffer->span().first(record.range.bytes);
  if (!ReadAt(fd_.get(), record.range.offset, body, path_).ok()) return std::nullopt;
  const uint64_t hash = HashOf(header, body, at_.hash);
  if (hash != LoadLe<uint64_t>(header.data() + kHashAt)) return std::nullopt;
  std::fill(buffer->begin() + record.range.bytes, buffer->end(), uint8_t{0});
  record.buffer = buffer;
  at_ = {record.range.offset + record.range.bytes, hash};
  return record;
}

Result<FileRange> PartFile::Append(uint32_t kind, std::span<const uint8_t> body) {
  Header header{};
  StoreLe<uint64_t>(header.data(), body.size());
  StoreLe<uint32_t>(header.data() + 8, kind);
  const uint64_t hash = HashOf(header, body, at_.hash);
  StoreLe<uint64_t>(header.data() + kHashAt, hash);
  const FileRange range{fd_.get(), at_.offset + kHeaderBytes, body.size()};
  const uint64_t end = range.offset + range.bytes;
  Status status = WriteAt(fd_.get(), at_.offset, header, path_);
  if (status.ok()) status = WriteAt(fd_.get(), range.offset, body, path_);
  if (status.ok() && ::ftruncate(fd_.get(), static_cast<off_t>(end)) != 0) {
    status = IoError(path_, "cannot shorten");
  }
  if (!status.ok()) {
    // Half a record is of no use, and the space may be needed.
    static_cast<void>(::ftruncate(fd_.get(), static_cast<off_t>(at_.offset)) == 0);
    return std::move(status).error();
  }
  at_ = {end, hash};
  worth_keeping_ |= kind != kFingerprintKind;
  return range;
}

}  // namespace ecq

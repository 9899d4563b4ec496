// Atomic files: what is visible at which moment, and that failures leave everything as it was.
#include "ecq/base/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

namespace ecq {
namespace {

namespace fs = std::filesystem;

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string Read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void Write(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

class AtomicFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "ecq-atomic-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = directory_ / "model.ecq";
  }
  void TearDown() override { fs::remove_all(directory_); }

  size_t NumFiles() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }

  // Whether the file system has files without a name.
  bool HasUnnamedFiles() const {
    return FileDescriptor(::open(directory_.c_str(), O_TMPFILE | O_RDWR, 0600)).get() >= 0;
  }

  fs::path directory_;
  fs::path path_;
};

TEST_F(AtomicFileTest, AppearsWholeOnCommit) {
  auto file = AtomicFile::Create(path_, false);
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_TRUE(file->Append(Bytes("one ")).ok());
  EXPECT_FALSE(fs::exists(path_));
  ASSERT_TRUE(file->Append(Bytes("two")).ok());
  EXPECT_EQ(file->size(), 7u);
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(Read(path_), "one two");
  EXPECT_EQ(NumFiles(), 1u);
  EXPECT_EQ(file->Commit().error().code, ErrorCode::kInternal);
}

TEST_F(AtomicFileTest, LeavesNothingWithoutCommit) {
  Write(path_, "old");
  {
    auto file = AtomicFile::Create(path_, true);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->Append(Bytes("new")).ok());
    AtomicFile moved = std::move(*file);
    EXPECT_EQ(NumFiles(), HasUnnamedFiles() ? 1u : 2u);
  }
  EXPECT_EQ(NumFiles(), 1u);
  EXPECT_EQ(Read(path_), "old");
}

TEST_F(AtomicFileTest, ReplacesAndKeepsPermissions) {
  Write(path_, "old");
  ASSERT_EQ(::chmod(path_.c_str(), 0640), 0);
  auto file = AtomicFile::Create(path_, true);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->Append(Bytes("new")).ok());
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(Read(path_), "new");
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST_F(AtomicFileTest, RefusesAnExistingFileEarlyAndLate) {
  {
    auto file = AtomicFile::Create(path_, false);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->Append(Bytes("mine")).ok());
    Write(path_, "theirs");
    EXPECT_EQ(file->Commit().error().code, ErrorCode::kAlreadyExists);
  }
  EXPECT_EQ(Read(path_), "theirs");
  EXPECT_EQ(NumFiles(), 1u);
  const auto second = AtomicFile::Create(path_, false);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
  EXPECT_NE(second.error().message.find(path_.string()), std::string::npos);
}

TEST_F(AtomicFileTest, FollowsLinksAndRefusesWhatIsNoFile) {
  Write(directory_ / "target", "old");
  fs::create_symlink("target", path_);
  auto file = AtomicFile::Create(path_, true);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->Append(Bytes("new")).ok());
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(Read(directory_ / "target"), "new");

  EXPECT_EQ(AtomicFile::Create(directory_, true).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(AtomicFile::Create("/dev/null", true).error().code, ErrorCode::kInvalidArgument);
  fs::create_symlink("nowhere", directory_ / "dangling");
  EXPECT_EQ(AtomicFile::Create(directory_ / "dangling", true).error().code, ErrorCode::kIo);
}

TEST_F(AtomicFileTest, NamesAMissingOrUnwritableDirectory) {
  const auto missing = AtomicFile::Create(directory_ / "no" / "x", false);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().message.find((directory_ / "no").string()), std::string::npos);
  if (::geteuid() == 0) GTEST_SKIP() << "permissions do not bind root";
  ASSERT_EQ(::chmod(directory_.c_str(), 0500), 0);
  EXPECT_EQ(AtomicFile::Create(path_, false).error().code, ErrorCode::kIo);
  ASSERT_EQ(::chmod(directory_.c_str(), 0700), 0);
}

TEST_F(AtomicFileTest, LongNamesWork) {
  path_ = directory_ / std::string(250, 'n');
  auto file = AtomicFile::Create(path_, false);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_TRUE(file->Commit().ok());
  EXPECT_TRUE(fs::exists(path_));
}

// What the file system does not offer everywhere, done with a name from the start.
TEST_F(AtomicFileTest, WorksWithATemporaryName) {
  constexpr auto kNamed = AtomicFile::Temporary::kNamed;
  for (const bool overwrite : {false, true}) {
    auto file = AtomicFile::Create(path_, overwrite, kNamed);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(NumFiles(), overwrite ? 2u : 1u);
    ASSERT_TRUE(file->Append(Bytes(overwrite ? "new" : "old")).ok());
    ASSERT_TRUE(file->Commit().ok());
    EXPECT_EQ(Read(path_), overwrite ? "new" : "old");
    EXPECT_EQ(NumFiles(), 1u);
  }
  fs::remove(path_);
  {
    auto file = AtomicFile::Create(path_, false, kNamed);
    ASSERT_TRUE(file.ok());
    Write(path_, "theirs");
    EXPECT_EQ(file->Commit().error().code, ErrorCode::kAlreadyExists);
  }
  EXPECT_EQ(Read(path_), "theirs");
  EXPECT_EQ(NumFiles(), 1u);
}

TEST_F(AtomicFileTest, KilledProcessLeavesNothing) {
  if (!HasUnnamedFiles()) GTEST_SKIP() << "the file system has no files without a name";
  Write(path_, "old");
  const pid_t child = ::fork();
  if (child == 0) {
    auto file = AtomicFile::Create(path_, true);
    const bool written = file.ok() && file->Append(Bytes("new")).ok();
    ::_exit(written ? 0 : 1);  // no destructor runs
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Read(path_), "old");
  EXPECT_EQ(NumFiles(), 1u);
}

TEST_F(AtomicFileTest, CopiesAScratchFileThatHasNoName) {
  auto scratch = ScratchFile::CreateBeside(path_);
  ASSERT_TRUE(scratch.ok());
  EXPECT_EQ(NumFiles(), 0u);
  std::string text;
  for (int i = 0; i < 400'000; ++i) text += std::to_string(i);
  ASSERT_TRUE(scratch->Append(Bytes(text).first(5)).ok());
  ASSERT_TRUE(scratch->Append(Bytes(text).subspan(5)).ok());
  EXPECT_EQ(scratch->size(), text.size());
  auto file = AtomicFile::Create(path_, false);
  ASSERT_TRUE(file->Append(Bytes("head ")).ok());
  ASSERT_TRUE(file->Append(scratch->range(0, scratch->size())).ok());
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(Read(path_), "head " + text);
}

// Runs in a child process that mounted a file system of 64 KiB on `directory`; 0 if all is well.
int FillTinyFileSystem(const fs::path& directory) {
  const fs::path path = directory / "model.ecq";
  Write(path, "old");
  {
    auto file = AtomicFile::Create(path, true);
    if (!file.ok()) return 10;
    const std::vector<uint8_t> much(1 << 20);
    const Status status = file->Append(much);
    if (status.ok() || status.error().code != ErrorCode::kNoSpace) return 11;
    if (file->Commit().ok()) return 12;
  }
  if (Read(path) != "old") return 13;
  if (std::distance(fs::directory_iterator(directory), fs::directory_iterator()) != 1) return 14;
  return 0;
}

TEST_F(AtomicFileTest, FullDiskLeavesTheOldFile) {
  constexpr int kCannotMount = 77;
  const pid_t child = ::fork();
  if (child == 0) {
    const bool mounted = ::unshare(CLONE_NEWNS) == 0 &&
                         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                         ::mount("tmpfs", directory_.c_str(), "tmpfs", 0, "size=65536") == 0;
    ::_exit(mounted ? FillTinyFileSystem(directory_) : kCannotMount);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kCannotMount) GTEST_SKIP() << "may not mount a file system here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace ecq

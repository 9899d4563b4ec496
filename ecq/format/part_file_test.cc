// Part files: what was written comes back, as far as it is intact, and nothing else does.
#include "ecq/format/part_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <vector>

namespace ecq {
namespace {

namespace fs = std::filesystem;
using Existing = PartFile::Existing;

constexpr std::string_view kText = "producer ecq test\nbpw 4\n";

std::vector<uint8_t> BodyOf(uint32_t kind) {
  std::vector<uint8_t> body(kind * 7);
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<uint8_t>(kind * 31 + i);
  return body;
}

std::string Read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void Write(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

ErrorCode CodeOf(const Status& status) {
  return status.ok() ? ErrorCode::kInternal : status.error().code;
}

class PartFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "ecq-part-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = directory_ / "m.ecq.part";
  }
  void TearDown() override { fs::remove_all(directory_); }

  PartFile Open(Existing existing) {
    auto part = PartFile::Open(path_, existing);
    EXPECT_TRUE(part.ok()) << part.error().message;
    return std::move(part).value();
  }

  // A log of the records 1 to `count`; returns its bytes.
  std::string MakeLog(uint32_t count) {
    PartFile part = Open(Existing::kDiscard);
    EXPECT_TRUE(part.Begin(kText).ok());
    for (uint32_t kind = 1; kind <= count; ++kind) {
      EXPECT_TRUE(part.Append(kind, BodyOf(kind)).ok());
    }
    return Read(path_);
  }

  // Continues the log and returns how many records it holds, which must be 1, 2, 3, ...
  uint32_t NumIntact() {
    PartFile part = Open(Existing::kContinue);
    const Status begun = part.Begin(kText);
    EXPECT_TRUE(begun.ok()) << begun.error().message;
    uint32_t count = 0;
    while (const auto record = part.Read()) {
      ++count;
      EXPECT_EQ(record->kind, count);
      const std::vector<uint8_t> expected = BodyOf(count);
      EXPECT_TRUE(std::equal(record->body().begin(), record->body().end(), expected.begin(),
                             expected.end()));
    }
    return count;
  }

  fs::path directory_;
  fs::path path_;
};

TEST_F(PartFileTest, ComesBackAndGoesOn) {
  MakeLog(3);
  {
    PartFile part = Open(Existing::kContinue);
    ASSERT_TRUE(part.Begin(kText).ok());
    EXPECT_TRUE(part.continued());
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(part.Read().has_value());
    ASSERT_FALSE(part.Read().has_value());
    const auto range = part.Append(4, BodyOf(4));
    ASSERT_TRUE(range.ok());
    const std::vector<uint8_t> body = BodyOf(4);
    EXPECT_EQ(Read(path_).substr(range->offset), std::string(body.begin(), body.end()));
  }
  EXPECT_EQ(NumIntact(), 4u);
}

TEST_F(PartFileTest, EveryTruncationLeavesWholeRecords) {
  const std::string log = MakeLog(5);
  std::vector<size_t> ends;  // of records 1 to 5
  for (size_t end = log.size(), kind = 5; kind >= 1; end -= 24 + kind * 7, --kind) {
    ends.insert(ends.begin(), end);
  }
  for (size_t size = 0; size <= log.size(); ++size) {
    Write(path_, log.substr(0, size));
    const auto intact = std::upper_bound(ends.begin(), ends.end(), size) - ends.begin();
    EXPECT_EQ(NumIntact(), static_cast<uint32_t>(intact)) << size;
    EXPECT_EQ(fs::exists(path_), intact > 0) << "a log without work must go";
  }
}

TEST_F(PartFileTest, EveryFlippedBitEndsTheLogThere) {
  const std::string log = MakeLog(3);
  const size_t magic_bytes = 16;
  size_t end = log.size();
  std::vector<size_t> ends;
  for (size_t kind = 3; kind >= 1; end -= 24 + kind * 7, --kind) ends.insert(ends.begin(), end);
  for (size_t bit = 0; bit < 8 * log.size(); ++bit) {
    std::string damaged = log;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    Write(path_, damaged);
    if (bit / 8 < magic_bytes) {
      EXPECT_EQ(PartFile::Open(path_, Existing::kContinue).error().code,
                ErrorCode::kInvalidArgument);
      EXPECT_EQ(Read(path_), damaged);
      continue;
    }
    const auto intact =
        bit / 8 < end ? 0 : std::upper_bound(ends.begin(), ends.end(), bit / 8) - ends.begin();
    EXPECT_EQ(NumIntact(), static_cast<uint32_t>(intact)) << bit;
  }
}

TEST_F(PartFileTest, WritingDropsWhatFollows) {
  const std::string log = MakeLog(3);
  {
    PartFile part = Open(Existing::kContinue);
    ASSERT_TRUE(part.Begin(kText).ok());
    const PartFile::Mark begin = part.mark();
    ASSERT_TRUE(part.Read().has_value());
    part.Seek(begin);
    std::vector<uint8_t> other = BodyOf(1);
    other[0] ^= 1;
    ASSERT_TRUE(part.Append(1, other).ok());
    EXPECT_FALSE(part.Read().has_value());
  }
  // The old records behind the new one would check, were they not tied to what preceded them.
  const std::string shorter = Read(path_);
  Write(path_, shorter + log.substr(shorter.size()));
  PartFile part = Open(Existing::kContinue);
  ASSERT_TRUE(part.Begin(kText).ok());
  EXPECT_TRUE(part.Read().has_value());
  EXPECT_FALSE(part.Read().has_value());
}

TEST_F(PartFileTest, RefusesWorkThatItWasNotToldToContinueOrDiscard) {
  const std::string log = MakeLog(1);
  EXPECT_EQ(PartFile::Open(path_, Existing::kRefuse).error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(Read(path_), log);
  { const PartFile unused = Open(Existing::kDiscard); }
  EXPECT_EQ(Read(path_), log) << "nothing is given up before the new log begins";
  { EXPECT_TRUE(Open(Existing::kDiscard).Begin(kText).ok()); }
  EXPECT_FALSE(fs::exists(path_));
  MakeLog(0);
  EXPECT_FALSE(fs::exists(path_));
  { EXPECT_TRUE(Open(Existing::kRefuse).Begin(kText).ok()); }
}

TEST_F(PartFileTest, NamesWhatDiffersFromTheLog) {
  const std::string log = MakeLog(2);
  const auto message = [&](std::string_view text) {
    PartFile part = Open(Existing::kContinue);
    const Status status = part.Begin(text);
    EXPECT_EQ(CodeOf(status), ErrorCode::kInvalidArgument);
    return status.ok() ? "" : status.error().message;
  };
  EXPECT_NE(message("producer ecq test\nbpw 5\n").find("expected \"bpw 5\", got \"bpw 4\""),
            std::string::npos);
  EXPECT_NE(message("producer ecq 9\nbpw 4\n").find("\"producer ecq 9\""), std::string::npos);
  EXPECT_NE(message("producer ecq test\n").find("expected \"\", got \"bpw 4\""), std::string::npos);
  EXPECT_NE(message("").find("got \"producer ecq test\""), std::string::npos);
  EXPECT_EQ(Read(path_), log);
}

TEST_F(PartFileTest, LeavesAloneWhatIsNoPartFile) {
  Write(path_, "a letter to somebody");
  for (const Existing existing : {Existing::kRefuse, Existing::kDiscard, Existing::kContinue}) {
    EXPECT_EQ(PartFile::Open(path_, existing).error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(Read(path_), "a letter to somebody");
  fs::remove(path_);
  Write(directory_ / "target", "");
  fs::create_symlink("target", path_);
  EXPECT_EQ(PartFile::Open(path_, Existing::kDiscard).error().code, ErrorCode::kIo);
  fs::remove(path_);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(PartFile::Open(path_, Existing::kDiscard).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(fs::exists(path_));
  fs::remove(path_);
  fs::create_directory(path_);
  EXPECT_FALSE(PartFile::Open(path_, Existing::kDiscard).ok());
  EXPECT_EQ(PartFile::Open(directory_ / "no" / "x", Existing::kRefuse).error().code,
            ErrorCode::kNotFound);
}

TEST_F(PartFileTest, OneRunAtATime) {
  {
    PartFile first = Open(Existing::kRefuse);
    const auto second = PartFile::Open(path_, Existing::kRefuse);
    ASSERT_FALSE(second.ok());
    EXPECT_NE(second.error().message.find("another run"), std::string::npos);
    EXPECT_TRUE(first.Begin(kText).ok());
    EXPECT_TRUE(first.Append(1, BodyOf(1)).ok());
  }
  EXPECT_EQ(NumIntact(), 1u);
}

TEST_F(PartFileTest, RemovedWhenTheWorkIsDone) {
  PartFile part = Open(Existing::kRefuse);
  ASSERT_TRUE(part.Begin(kText).ok());
  ASSERT_TRUE(part.Append(1, BodyOf(1)).ok());
  part.Remove();
  EXPECT_FALSE(fs::exists(path_));
  Open(Existing::kRefuse);
}

// In a child process whose files may not grow beyond 1000 bytes; 0 if all is well.
int FillUp(PartFile& part) {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = 1000;
  if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 10;
  if (!part.Append(1, BodyOf(1)).ok()) return 11;
  const PartFile::Mark mark = part.mark();
  if (part.Append(2, std::vector<uint8_t>(2000)).ok()) return 12;
  if (fs::file_size(part.path()) != mark.offset) return 13;
  if (!part.Append(2, BodyOf(2)).ok()) return 14;
  return 0;
}

TEST_F(PartFileTest, FailedWriteLeavesTheLogAsItWas) {
  PartFile part = Open(Existing::kRefuse);
  ASSERT_TRUE(part.Begin(kText).ok());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(FillUp(part));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  ASSERT_TRUE(part.Read().has_value());
  ASSERT_TRUE(part.Read().has_value());
}

}  // namespace
}  // namespace ecq

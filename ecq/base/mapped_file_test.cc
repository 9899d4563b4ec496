// MappedFile: contents, readable padding, and everything that is no regular file.
#include "ecq/base/mapped_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace ecq {
namespace {

class MappedFileTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::path(testing::TempDir()) /
           ("mapped_file_test." + std::to_string(getpid()));
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::filesystem::path Write(const std::string& contents) {
    const std::filesystem::path path = dir_ / "file";
    std::ofstream(path, std::ios::binary).write(contents.data(), contents.size());
    return path;
  }

  std::filesystem::path dir_;
};

// Reads every byte of the padding: a fault would end the test.
uint64_t SumOfPadding(const MappedFile& file) {
  uint64_t sum = 0;
  const uint8_t* const end = file.bytes().data() + file.bytes().size();
  for (size_t i = 0; i < MappedFile::kReadPadding; ++i) {
    sum += *static_cast<const volatile uint8_t*>(end + i);
  }
  return sum;
}

TEST_F(MappedFileTest, MapsContentsWithReadablePadding) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (const size_t size : {size_t{1}, size_t{100}, page - 1, page, page + 1, 3 * page}) {
    std::string contents(size, '\0');
    for (size_t i = 0; i < size; ++i) contents[i] = static_cast<char>(i * 31 + 7);
    const auto path = Write(contents);
    const auto file = MappedFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->path(), path.string());
    ASSERT_EQ(file->bytes().size(), size);
    EXPECT_TRUE(std::equal(contents.begin(), contents.end(), file->bytes().begin(),
                           [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; }));
    SumOfPadding(*file);
  }
}

TEST_F(MappedFileTest, MapsAnEmptyFile) {
  const auto file = MappedFile::Open(Write(""));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_TRUE(file->bytes().empty());
  EXPECT_EQ(SumOfPadding(*file), 0u);
}

TEST_F(MappedFileTest, OutlivesItsNameAndMoves) {
  const auto path = Write("abc");
  auto opened = MappedFile::Open(path);
  ASSERT_TRUE(opened.ok());
  std::filesystem::remove(path);
  MappedFile first = std::move(opened).value();
  MappedFile second(std::move(first));
  ASSERT_EQ(second.bytes().size(), 3u);
  EXPECT_EQ(second.bytes()[2], 'c');
}

TEST_F(MappedFileTest, ReportsAMissingFile) {
  const auto file = MappedFile::Open(dir_ / "missing");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_NE(file.error().message.find("missing"), std::string::npos);
}

TEST_F(MappedFileTest, RefusesADirectory) {
  const auto file = MappedFile::Open(dir_);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(MappedFileTest, RefusesADevice) {
  const auto file = MappedFile::Open("/dev/null");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace ecq

// What happens to a run whose source is cut or changed under it.
#include "app/source_guard.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "ecq/base/mapped_file.h"

namespace ecq {
namespace {

namespace fs = std::filesystem;

class SourceGuardTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "ecq-guard-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    path_ = directory_ / "model.bin";
    std::ofstream(path_) << std::string(100'000, 'x');
  }
  void TearDown() override { fs::remove_all(directory_); }

  fs::path directory_;
  fs::path path_;
};

TEST_F(SourceGuardTest, ReadingBehindTheEndIsOneLineAndExitCode1) {
  const auto read_all = [&] {
    const SourceGuard guard("dir/model", {path_.string()}, "do this");
    const auto file = MappedFile::Open(path_);
    fs::resize_file(path_, 10);
    const auto bytes = file->bytes();
    ::_exit(std::accumulate(bytes.begin(), bytes.end(), 0) == 0 ? 2 : 3);
  };
  EXPECT_EXIT(read_all(), testing::ExitedWithCode(1), "^ecq: dir/model: .*cut short.*; do this\n$");
}

TEST_F(SourceGuardTest, NoticesWhatChanged) {
  const SourceGuard guard("m", {path_.string()}, "");
  EXPECT_TRUE(guard.Check().ok());
  const auto message = [&] {
    const Status status = guard.Check();
    return status.ok() ? "" : status.error().message;
  };
  fs::resize_file(path_, 99'999);
  EXPECT_NE(message().find("model.bin: was changed"), std::string::npos);
  fs::remove(path_);
  EXPECT_NE(message().find("model.bin: went away"), std::string::npos);
}

}  // namespace
}  // namespace ecq

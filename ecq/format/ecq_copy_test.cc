// Copies with the same and with other side files.
#include "ecq/format/ecq_copy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "ecq/base/rng.h"
#include "ecq/format/ecq_reader.h"
#include "ecq/format/ecq_writer.h"
#include "ecq/pack/pack.h"

namespace ecq {
namespace {

namespace fs = std::filesystem;

std::vector<uint8_t> Bytes(std::string_view text) { return {text.begin(), text.end()}; }

std::vector<uint8_t> ReadAll(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class EcqCopyTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "ecq-copy-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    WriteSource();
  }
  void TearDown() override { fs::remove_all(directory_); }

  // Names, sizes and order such that neither sorting by name nor by place in the file gives the
  // order in which they are added.
  void WriteSource() {
    const EcqFileInfo info{"ecq test 1", "gguf", {{"m.gguf", 7, std::string(64, 'a')}}};
    auto writer = EcqWriter::Create(source(), info, false);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(AddMatrix(*writer, "z.weight", 5, 33).ok());
    ASSERT_TRUE(writer->AddPlain("y.bias", DType::kF16, {3}, Bytes("abcdef")).ok());
    ASSERT_TRUE(writer->AddFile("tokenizer.json", Bytes("{}")).ok());
    ASSERT_TRUE(writer->AddPlain("x.weight", DType::kF32, {4}, Bytes("0123456789abcdef")).ok());
    ASSERT_TRUE(AddMatrix(*writer, "a.weight", 40, 16).ok());
    ASSERT_TRUE(writer->AddFile("config.json", Bytes("{\"sixteen bytes\"")).ok());
    ASSERT_TRUE(writer->AddPlain("b.bias", DType::kF32, {1}, Bytes("wxyz")).ok());
    ASSERT_TRUE(writer->Finish().ok());
  }

  static Status AddMatrix(EcqWriter& writer, std::string_view name, uint32_t rows, uint32_t cols) {
    Rng rng(rows);
    QuantizedTensor tensor;
    tensor.rows = rows;
    tensor.cols = cols;
    tensor.grid = "test";
    for (uint32_t i = 0; i < rows * cols; ++i) {
      tensor.levels.push_back(static_cast<int8_t>(std::lround(2 * rng.Gaussian())));
    }
    tensor.levels[1] = 127;
    tensor.scales.assign(rows, 0x3c00);
    ThreadPool pool(1);
    ECQ_TRY(const PackedTensor packed, Pack(tensor, {}, pool));
    return writer.AddMatrix(name, packed);
  }

  fs::path source() const { return directory_ / "source.ecq"; }
  fs::path target() const { return directory_ / "target.ecq"; }

  fs::path directory_;
  const std::vector<NamedContents> same_files_{{"config.json", Bytes("{\"sixteen bytes\"")},
                                               {"tokenizer.json", Bytes("{}")}};
};

TEST_F(EcqCopyTest, WithTheSameFilesIsEqualToTheLastByte) {
  const auto size = CopyEcq(source(), same_files_, target(), false);
  ASSERT_TRUE(size.ok()) << size.error().message;
  EXPECT_EQ(*size, fs::file_size(source()));
  EXPECT_EQ(ReadAll(source()), ReadAll(target()));
  EXPECT_EQ(CopyEcq(source(), same_files_, target(), false).error().code,
            ErrorCode::kAlreadyExists);
  const auto before = ReadAll(source());
  ASSERT_TRUE(CopyEcq(source(), same_files_, source(), true).ok());
  EXPECT_EQ(ReadAll(source()), before);
}

TEST_F(EcqCopyTest, ReplacesAddsAndDropsSideFiles) {
  const std::vector<NamedContents> files{{"new.jinja", Bytes("n")}, {"config.json", Bytes("{}")}};
  ASSERT_TRUE(CopyEcq(source(), files, target(), false).ok());
  const auto original = EcqFile::Open(source());
  const auto copy = EcqFile::Open(target());
  ASSERT_TRUE(copy.ok()) << copy.error().message;
  ThreadPool pool(1);
  EXPECT_TRUE(copy->VerifyHashes(pool).ok());
  EXPECT_EQ(copy->side_files().size(), 2u);
  EXPECT_EQ(copy->side_file("config.json")->size(), 2u);
  EXPECT_EQ(copy->side_file("new.jinja")->size(), 1u);
  EXPECT_EQ(copy->info(), original->info());
  EXPECT_EQ(copy->plain_tensors().size(), 3u);
  ASSERT_EQ(copy->matrices(), original->matrices());
  for (const std::string& name : copy->matrices()) {
    const auto a = original->matrix(name);
    const auto b = copy->matrix(name);
    EXPECT_TRUE(std::ranges::equal(a->payload, b->payload)) << name;
    EXPECT_EQ(a->tables, b->tables) << name;
  }
}

TEST_F(EcqCopyTest, NeedsConfigAndValidNames) {
  EXPECT_FALSE(CopyEcq(source(), {}, target(), false).ok());
  const std::vector<NamedContents> escaping{{"config.json", {}}, {"../x", {}}};
  EXPECT_FALSE(CopyEcq(source(), escaping, target(), false).ok());
  EXPECT_EQ(CopyEcq(directory_ / "none", same_files_, target(), false).error().code,
            ErrorCode::kNotFound);
  EXPECT_FALSE(fs::exists(target()));
}

}  // namespace
}  // namespace ecq

// The golden .ecq files: the writer still makes them byte for byte, the reader gives back what went
// in, also from files that another safetensors tool saved again.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "ecq/backend/packed_matrix.h"
#include "ecq/base/thread_pool.h"
#include "ecq/format/ecq_reader.h"
#include "tests/golden_models.h"

namespace ecq {
namespace {

namespace fs = std::filesystem;

const fs::path kDirectory = fs::path(ECQ_SOURCE_DIR) / "tests/golden/files";

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

template <typename T>
void ExpectSame(std::span<const T> got, std::span<const T> expected, const char* what) {
  EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin(), expected.end())) << what;
}

void ExpectSameMatrix(const PackedTensor& got, const PackedTensor& expected) {
  EXPECT_EQ(got.grid, expected.grid);
  EXPECT_EQ(got.desc.rows, expected.desc.rows);
  EXPECT_EQ(got.desc.cols, expected.desc.cols);
  EXPECT_EQ(got.desc.lanes, expected.desc.lanes);
  EXPECT_EQ(got.desc.blocks_per_tile, expected.desc.blocks_per_tile);
  EXPECT_EQ(got.desc.num_tiles, expected.desc.num_tiles);
  EXPECT_EQ(got.desc.num_spans, expected.desc.num_spans);
  EXPECT_EQ(got.desc.codec, expected.desc.codec);
  EXPECT_EQ(got.desc.raw_bits, expected.desc.raw_bits);
  EXPECT_EQ(got.desc.raw_level_min, expected.desc.raw_level_min);
  EXPECT_EQ(got.desc.has_memory, expected.desc.has_memory);
  EXPECT_EQ(got.desc.rotation, expected.desc.rotation);
  EXPECT_EQ(got.desc.scale_groups, expected.desc.scale_groups);
  EXPECT_EQ(got.desc.group_size, expected.desc.group_size);
  EXPECT_EQ(got.desc.has_bias, expected.desc.has_bias);
  EXPECT_EQ(got.scale_kind, expected.scale_kind);
  EXPECT_EQ(got.scale_exponent, expected.scale_exponent);
  EXPECT_EQ(got.tables, expected.tables);
  EXPECT_EQ(got.windows, expected.windows);
  ASSERT_EQ(got.spans.size(), expected.spans.size());
  for (size_t i = 0; i < got.spans.size(); ++i) {
    EXPECT_EQ(got.spans[i].end, expected.spans[i].end);
    EXPECT_EQ(got.spans[i].prob_bits, expected.spans[i].prob_bits);
  }
  ExpectSame(got.payload, expected.payload, "payload");
  ExpectSame(got.index, expected.index, "index");
  ExpectSame(got.scales, expected.scales, "scales");
  ExpectSame(got.biases, expected.biases, "biases");
  ExpectSame(got.fixes, expected.fixes, "fixes");
  ExpectSame(got.col_scales, expected.col_scales, "column scales");
  ExpectSame(got.col_order, expected.col_order, "column order");
}

void ExpectFileHolds(const fs::path& path, const GoldenModel& model) {
  SCOPED_TRACE(path);
  ThreadPool pool(2);
  const auto file = EcqFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_TRUE(file->VerifyHashes(pool).ok());
  EXPECT_EQ(file->matrices().size(), model.matrices.size());
  for (const GoldenMatrix& matrix : model.matrices) {
    SCOPED_TRACE(matrix.name);
    const auto read = file->matrix(matrix.name);
    ASSERT_TRUE(read.ok()) << read.error().message;
    ExpectSameMatrix(*read, matrix.packed);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(read->payload.data()) % kPayloadAlignment, 0u);
    std::vector<int32_t> integers(matrix.integers.size());
    EXPECT_TRUE(PackedMatrix(*read).DecodeIntegers(0, read->desc.rows, integers.data()).ok());
    EXPECT_EQ(integers, matrix.integers);
  }
  ASSERT_EQ(file->plain_tensors().size(), 1u);
  EXPECT_EQ(file->plain_tensors()[0].name, "norm");
  EXPECT_EQ(file->side_files(), std::vector<std::string>{"config.json"});
  EXPECT_EQ(file->info().producer, "ecq golden");
  EXPECT_EQ(file->info().source_files.size(), 1u);
}

TEST(GoldenFilesTest, WriterMakesThemByteForByte) {
  std::string name = (fs::temp_directory_path() / "ecq-golden-XXXXXX").string();
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  for (const GoldenModel& model : GoldenModels()) {
    const fs::path path = fs::path(name) / model.file;
    const Status status = WriteGoldenModel(model, path);
    ASSERT_TRUE(status.ok()) << status.error().message;
    EXPECT_TRUE(ReadFile(path) == ReadFile(kDirectory / model.file)) << model.file;
  }
  fs::remove_all(name);
}

TEST(GoldenFilesTest, ReaderGivesBackWhatWentIn) {
  for (const GoldenModel& model : GoldenModels()) {
    ExpectFileHolds(kDirectory / model.file, model);
    const auto file = EcqFile::Open(kDirectory / model.file);
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(file->header_bytes() % kEcqDataAlignment, 0u);
    for (size_t i = 0; i < model.matrices.size(); ++i) {
      EXPECT_EQ(file->matrices()[i], model.matrices[i].name);
    }
  }
}

// The second decoder must find the same weights (check_golden.py).
TEST(GoldenFilesTest, WeightsOfRotatedMatricesAreThoseOfTheManifest) {
  std::ifstream manifest(kDirectory / "manifest.txt");
  int found = 0;
  for (std::string line; std::getline(manifest, line);) {
    std::istringstream fields(line);
    std::string name, matrix, integers, weights;
    fields >> name >> matrix >> integers >> weights;
    const auto file = EcqFile::Open(kDirectory / name);
    ASSERT_TRUE(file.ok()) << file.error().message;
    const auto read = file->matrix(matrix);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(weights.empty(), read->desc.rotation == 0) << line;
    if (weights.empty()) continue;
    ++found;
    const auto sha = WeightsSha256(*read);
    ASSERT_TRUE(sha.ok()) << sha.error().message;
    EXPECT_EQ(*sha, weights) << matrix;
  }
  EXPECT_EQ(found, 2);
}

TEST(GoldenFilesTest, ReaderTakesMisalignedTensors) {
  const auto models = GoldenModels();
  const auto model = std::find_if(models.begin(), models.end(),
                                  [](const GoldenModel& m) { return m.file == "columns.ecq"; });
  ASSERT_NE(model, models.end());
  ExpectFileHolds(kDirectory / "columns-resaved.ecq", *model);
}

TEST(GoldenFilesTest, ReaderTakesTheFormsOfOlderVersions) {
  const auto models = GoldenModels();
  for (const auto& [file, older] :
       {std::pair("columns.ecq", "columns-v1.ecq"), std::pair("window.ecq", "window-v2.ecq"),
        std::pair("rans16.ecq", "rans16-v2.ecq")}) {
    const auto model = std::find_if(models.begin(), models.end(),
                                    [&](const GoldenModel& m) { return m.file == file; });
    ASSERT_NE(model, models.end());
    ExpectFileHolds(kDirectory / older, *model);
    EXPECT_NE(ReadFile(kDirectory / older), ReadFile(kDirectory / file));
  }
}

TEST(GoldenFilesTest, MatricesOutliveTheFile) {
  std::optional<PackedTensor> matrix;
  {
    auto file = EcqFile::Open(kDirectory / "raw.ecq");
    ASSERT_TRUE(file.ok());
    matrix = *file->matrix("wide.weight");
  }
  const auto models = GoldenModels();
  ExpectSameMatrix(*matrix, models[1].matrices[1].packed);
}

}  // namespace
}  // namespace ecq

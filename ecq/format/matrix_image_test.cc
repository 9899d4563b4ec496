// Images of coded matrices: round trips of every part, damage, and files made from images.
#include "ecq/format/matrix_image.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "ecq/base/rng.h"
#include "ecq/format/ecq_writer.h"
#include "ecq/format/stored_matrix.h"
#include "ecq/pack/pack.h"
#include "ecq/pack/random_window_for_test.h"

namespace ecq {
namespace {

namespace fs = std::filesystem;

// Matrices that among them have every part: fixes, group scales, biases, column scales and order,
// several tables, raw codestreams, window tables, rotations.
std::vector<PackedTensor> EveryKind() {
  std::vector<PackedTensor> matrices;
  ThreadPool pool(1);
  for (const bool raw : {false, true}) {
    for (const bool grouped : {false, true}) {
      Rng rng(7);
      QuantizedTensor tensor;
      tensor.rows = 33;
      tensor.cols = 40;
      tensor.grid = "test";
      for (size_t i = 0; i < 33 * 40; ++i) {
        tensor.levels.push_back(static_cast<int8_t>(std::lround(2 * rng.Gaussian())));
      }
      tensor.scale_exponent = -3;
      if (grouped) {
        tensor.scale_kind = ScaleKind::kGroup;
        tensor.group_size = 16;
        tensor.biases.assign(33 * 3, 0x3800);
        tensor.scales.assign(33 * 3, 0x3c00);
        tensor.rotation = 8;
      } else {
        tensor.scales.assign(33, 0x3c00);
        tensor.fixes = {{1, 2, 300}, {30, 39, -500}};
        tensor.col_scales.assign(40, 0x4000);
        for (uint32_t c = 0; c < 40; ++c) tensor.col_order.push_back(39 - c);
        tensor.span_ends = {10, 40};
      }
      PackOptions options;
      options.codec = raw ? CodecId::kRaw : CodecId::kRans;
      auto packed = Pack(tensor, options, pool);
      EXPECT_TRUE(packed.ok()) << packed.error().message;
      matrices.push_back(std::move(packed).value());
    }
  }
  Rng rng(8);
  RandomWindowOptions options;
  options.rows = 33;
  options.cols = 40;
  options.span_ends = {32, 40};
  options.tuple_bits = {10, 6};
  for (const uint32_t rotation : {0u, 4u}) {
    QuantizedTensor tensor = RandomWindowTensor(rng, options);
    tensor.rotation = rotation;
    auto packed = Pack(tensor, {}, pool);
    EXPECT_TRUE(packed.ok()) << packed.error().message;
    matrices.push_back(std::move(packed).value());
  }
  return matrices;
}

std::shared_ptr<const AlignedBuffer<uint8_t>> Encode(std::string_view name,
                                                     const PackedTensor& matrix) {
  const std::vector<uint8_t> note{1, 2, 3};
  auto image = EncodeMatrixImage(name, note, matrix);
  EXPECT_TRUE(image.ok());
  return std::make_shared<const AlignedBuffer<uint8_t>>(std::move(image).value());
}

size_t SizeOf(const std::shared_ptr<const AlignedBuffer<uint8_t>>& image) {
  return image->size() - kPayloadReadPadding;
}

template <typename T>
bool Same(std::span<const T> a, std::span<const T> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

TEST(MatrixImageTest, EveryPartComesBack) {
  for (const PackedTensor& matrix : EveryKind()) {
    const auto buffer = Encode("a \"b\".weight", matrix);
    const auto image = DecodeMatrixImage(buffer, SizeOf(buffer), "image");
    ASSERT_TRUE(image.ok()) << image.error().message;
    EXPECT_EQ(image->name, "a \"b\".weight");
    EXPECT_EQ(std::vector<uint8_t>(image->note.begin(), image->note.end()),
              (std::vector<uint8_t>{1, 2, 3}));
    const PackedTensor& read = image->matrix;
    EXPECT_EQ(read.grid, matrix.grid);
    EXPECT_EQ(MatrixRecordText(RecordOf(read)), MatrixRecordText(RecordOf(matrix)));
    EXPECT_EQ(read.desc.has_bias, matrix.desc.has_bias);
    EXPECT_EQ(read.tables, matrix.tables);
    EXPECT_EQ(read.windows, matrix.windows);
    EXPECT_EQ(read.desc.has_memory, matrix.desc.has_memory);
    EXPECT_EQ(read.desc.rotation, matrix.desc.rotation);
    EXPECT_EQ(read.total_bytes(), matrix.total_bytes());
    EXPECT_TRUE(Same(read.payload, matrix.payload));
    EXPECT_TRUE(Same(read.index, matrix.index));
    EXPECT_TRUE(Same(read.scales, matrix.scales));
    EXPECT_TRUE(Same(read.biases, matrix.biases));
    EXPECT_TRUE(Same(read.fixes, matrix.fixes));
    EXPECT_TRUE(Same(read.col_scales, matrix.col_scales));
    EXPECT_TRUE(Same(read.col_order, matrix.col_order));
  }
}

TEST(MatrixImageTest, RefusesEveryTruncation) {
  const PackedTensor matrix = EveryKind().front();
  const auto whole = Encode("w", matrix);
  for (size_t size = 0; size < SizeOf(whole); ++size) {
    AlignedBuffer<uint8_t> cut(size + kPayloadReadPadding);
    std::copy_n(whole->data(), size, cut.data());
    const auto buffer = std::make_shared<const AlignedBuffer<uint8_t>>(std::move(cut));
    EXPECT_FALSE(DecodeMatrixImage(buffer, size, "image").ok()) << size;
  }
}

// A hash guards images in a log; whoever forges one gets a valid matrix or an error.
TEST(MatrixImageTest, FlippedBitsGiveAValidMatrixOrAnError) {
  for (const PackedTensor& matrix : EveryKind()) {
    const auto whole = Encode("w", matrix);
    for (size_t bit = 0; bit < 8 * SizeOf(whole); bit += 3) {
      AlignedBuffer<uint8_t> copy(whole->size());
      std::copy(whole->begin(), whole->end(), copy.begin());
      copy[bit / 8] = static_cast<uint8_t>(copy[bit / 8] ^ (1u << (bit % 8)));
      const auto buffer = std::make_shared<const AlignedBuffer<uint8_t>>(std::move(copy));
      const auto image = DecodeMatrixImage(buffer, SizeOf(buffer), "image");
      if (!image.ok()) continue;
      EXPECT_TRUE(ValidateStoredMatrix(image->matrix, "image").ok()) << bit;
    }
  }
}

TEST(MatrixImageTest, RefusesNamesThatAreNoText) {
  EXPECT_EQ(EncodeMatrixImage("\xff", {}, EveryKind().front()).error().code,
            ErrorCode::kInvalidArgument);
}

// The same file, whether the writer stores the matrices or takes them from where they lie.
TEST(MatrixImageTest, WriterTakesStoredBytes) {
  std::string name = (fs::temp_directory_path() / "ecq-image-XXXXXX").string();
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  const fs::path directory = name;
  const std::vector<PackedTensor> matrices = EveryKind();
  const auto write = [&](const fs::path& path, bool stored) {
    auto log = ScratchFile::CreateBeside(path);
    auto writer = EcqWriter::Create(path, {"ecq test", "none", {}}, false);
    ASSERT_TRUE(log.ok() && writer.ok());
    const std::string_view config = "{}";
    for (size_t i = 0; i < matrices.size(); ++i) {
      const std::string matrix_name = "m" + std::to_string(i);
      if (!stored) {
        ASSERT_TRUE(writer->AddMatrix(matrix_name, matrices[i]).ok());
        continue;
      }
      const auto buffer = Encode(matrix_name, matrices[i]);
      const auto image = DecodeMatrixImage(buffer, SizeOf(buffer), "image");
      ASSERT_TRUE(image.ok());
      const auto bytes = buffer->span().first(SizeOf(buffer));
      const FileRange range = log->range(log->size(), bytes.size());
      ASSERT_TRUE(log->Append(bytes).ok());
      ASSERT_TRUE(writer->AddMatrix(matrix_name, image->matrix, {bytes, range}).ok());
    }
    ASSERT_TRUE(
        writer->AddFile("config.json", {reinterpret_cast<const uint8_t*>(config.data()), 2}).ok());
    ASSERT_TRUE(writer->Seal().ok());
    EXPECT_FALSE(writer->IsAt(path));
    ASSERT_TRUE(writer->Finish().ok());
    EXPECT_TRUE(writer->IsAt(path));
    std::ofstream(path, std::ios::app) << "x";
    EXPECT_FALSE(writer->IsAt(path));
  };
  write(directory / "copied", false);
  write(directory / "stored", true);
  const auto read = [](const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string{std::istreambuf_iterator<char>(in), {}};
  };
  EXPECT_EQ(read(directory / "copied"), read(directory / "stored"));
  fs::remove_all(directory);
}

}  // namespace
}  // namespace ecq

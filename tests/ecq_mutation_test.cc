// Damaged .ecq files: every truncation and every flipped bit of a golden file gives an error or the
// same matrices by name and shape; VerifyHashes() finds every change of a tensor, and damaged
// codestreams decode to an error or to wrong integers.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ecq/backend/packed_matrix.h"
#include "ecq/base/thread_pool.h"
#include "ecq/format/ecq_reader.h"

namespace ecq {
namespace {

struct NamedShape {
  std::string name;
  uint32_t rows;
  uint32_t cols;

  bool operator==(const NamedShape&) const = default;
};

std::vector<NamedShape> ShapesOf(const EcqFile& file) {
  std::vector<NamedShape> shapes;
  for (const std::string& name : file.matrices()) {
    const auto matrix = file.matrix(name);
    EXPECT_TRUE(matrix.ok());
    shapes.push_back({name, matrix->desc.rows, matrix->desc.cols});
  }
  return shapes;
}

// Decodes every matrix, whatever comes out.
void DecodeAll(const EcqFile& file) {
  for (const std::string& name : file.matrices()) {
    const PackedMatrix matrix(*file.matrix(name));
    std::vector<int32_t> integers(matrix.rows() * matrix.cols());
    const Status status =
        matrix.DecodeIntegers(0, static_cast<uint32_t>(matrix.rows()), integers.data());
    EXPECT_TRUE(status.ok() || status.error().code == ErrorCode::kCorrupt);
  }
}

class EcqMutationTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto path = std::filesystem::path(ECQ_SOURCE_DIR) / "tests/golden/files" / GetParam();
    std::ifstream in(path, std::ios::binary);
    ASSERT_TRUE(in.good()) << path;
    const std::vector<char> chars{std::istreambuf_iterator<char>(in), {}};
    bytes_.assign(chars.begin(), chars.end());
    size_ = bytes_.size();
    bytes_.resize(size_ + kPayloadReadPadding);
    const auto file = Parse();
    ASSERT_TRUE(file.ok()) << file.error().message;
    shapes_ = ShapesOf(*file);
    data_begin_ = file->header_bytes();
    text_end_ = data_begin_;
    while (bytes_[text_end_ - 1] == ' ') --text_end_;
  }

  Result<EcqFile> Parse() const { return EcqFile::Parse(std::span(bytes_).first(size_), "f"); }

  // The file if the damage went unnoticed; then the shapes must be the same.
  std::optional<EcqFile> OpenDamaged() const {
    auto file = Parse();
    if (!file.ok()) {
      EXPECT_FALSE(file.error().message.empty());
      return std::nullopt;
    }
    EXPECT_EQ(ShapesOf(*file), shapes_);
    return std::move(file).value();
  }

  std::vector<uint8_t> bytes_;  // the file and its padding
  size_t size_ = 0;
  size_t data_begin_ = 0;
  size_t text_end_ = 0;  // where the padding of the header begins
  std::vector<NamedShape> shapes_;
};

TEST_P(EcqMutationTest, EveryTruncationIsAnError) {
  const auto expect_truncated = [&](size_t size) {
    // An exact copy lets AddressSanitizer see every read past the end.
    const std::vector<uint8_t> cut(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(size));
    const auto file = EcqFile::Parse(cut, "f");
    ASSERT_FALSE(file.ok()) << size;
    EXPECT_EQ(file.error().code, ErrorCode::kTruncated) << size << ": " << file.error().message;
  };
  for (size_t size = 0; size < data_begin_; size += size < text_end_ ? 1 : 97) {
    expect_truncated(size);
  }
  for (size_t size = data_begin_; size < size_; size += 13) expect_truncated(size);
  expect_truncated(size_ - 1);
}

TEST_P(EcqMutationTest, FlippedHeaderBitsNeverChangeShapes) {
  for (size_t i = 0; i < data_begin_; i += i < text_end_ ? 1 : 509) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes_[i] ^= static_cast<uint8_t>(1 << bit);
      (void)OpenDamaged();
      // Behind the hash of the records: any verdict, but no crash.
      if (bit % 4 == 0) {
        (void)EcqFile::Parse(std::span(bytes_).first(size_), "f", {.check_records_hash = false});
      }
      ASSERT_FALSE(HasFailure()) << "byte " << i << ", bit " << bit;
      bytes_[i] ^= static_cast<uint8_t>(1 << bit);
    }
  }
}

TEST_P(EcqMutationTest, FlippedDataBitsAreFoundByTheHashes) {
  ThreadPool pool(1);
  const auto whole = Parse();
  ASSERT_TRUE(whole.ok());
  std::vector<bool> is_payload(size_);
  for (const std::string& name : whole->matrices()) {
    const auto matrix = whole->matrix(name);
    const ptrdiff_t begin = matrix->payload.data() - bytes_.data();
    if (begin < 0 || begin >= static_cast<ptrdiff_t>(size_)) continue;  // a copy
    std::fill_n(is_payload.begin() + begin, matrix->payload.size(), true);
  }
  for (size_t i = data_begin_; i < size_; ++i) {
    if (is_payload[i] && i % 11 != 0) continue;
    for (int bit = 0; bit < 8; ++bit) {
      bytes_[i] ^= static_cast<uint8_t>(1 << bit);
      if (const auto file = OpenDamaged()) {
        if (bit == 0) DecodeAll(*file);
        const Status status = file->VerifyHashes(pool);
        ASSERT_FALSE(status.ok()) << "byte " << i << ", bit " << bit;
        EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
      }
      ASSERT_FALSE(HasFailure()) << "byte " << i << ", bit " << bit;
      bytes_[i] ^= static_cast<uint8_t>(1 << bit);
    }
  }
}

TEST_P(EcqMutationTest, BytesAfterTheEndAreAnError) {
  size_ += 1;
  const auto file = Parse();
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, ErrorCode::kBadLayout);
}

INSTANTIATE_TEST_SUITE_P(Files, EcqMutationTest,
                         testing::Values("example.ecq", "groups.ecq", "columns-resaved.ecq",
                                         "window.ecq"),
                         [](const auto& param) {
                           std::string name = param.param;
                           for (char& c : name) c = c == '-' || c == '.' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace ecq

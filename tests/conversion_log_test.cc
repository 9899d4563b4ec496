// The log of a conversion: matrices and passes come back in their order, and only there.
#include "app/conversion_log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "ecq/pack/pack.h"

namespace ecq {
namespace {

namespace fs = std::filesystem;

PackedTensor MakeMatrix(uint32_t rows, uint32_t cols) {
  QuantizedTensor tensor;
  tensor.rows = rows;
  tensor.cols = cols;
  tensor.grid = "test";
  for (uint32_t i = 0; i < rows * cols; ++i) {
    tensor.levels.push_back(static_cast<int8_t>(i * i % 7));
  }
  tensor.scales.assign(rows, 0x3c00);
  ThreadPool pool(1);
  auto packed = Pack(tensor, {}, pool);
  EXPECT_TRUE(packed.ok()) << packed.error().message;
  return std::move(packed).value();
}

class ConversionLogTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "ecq-log-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { fs::remove_all(directory_); }

  // Pre: no other log is open.
  ConversionLog Resume() {
    auto log = ConversionLog::Open((directory_ / "m.ecq").string(), true, false);
    EXPECT_TRUE(log.ok()) << log.error().message;
    EXPECT_TRUE(log->Begin("bpw 4\n", guard_).ok());
    return std::move(log).value();
  }

  void Append(ConversionLog& log, const SourceTensor& tensor, double error) {
    EXPECT_TRUE(log.Append(tensor.name,
                           MakeMatrix(static_cast<uint32_t>(tensor.shape[0]),
                                      static_cast<uint32_t>(tensor.shape[1])),
                           error)
                    .ok());
  }

  fs::path directory_;
  const SourceGuard guard_{"m", {}, ""};
  const SourceTensor a_{"a.weight", {40, 24}, "F32", 0};
  const SourceTensor b_{"b.weight", {24, 40}, "F32", 0};
};

TEST_F(ConversionLogTest, MatricesComeBackInOrder) {
  {
    ConversionLog log = Resume();
    EXPECT_FALSE(log.continued());
    EXPECT_FALSE(log.Next(a_).has_value());
    Append(log, a_, 0.25);
    Append(log, b_, 0.5);
  }
  ConversionLog log = Resume();
  EXPECT_TRUE(log.continued());
  EXPECT_FALSE(log.Next(b_).has_value()) << "out of order";
  EXPECT_FALSE(log.Next({"a.weight", {24, 40}, "F32", 0}).has_value()) << "another shape";
  const auto a = log.Next(a_);
  ASSERT_TRUE(a.has_value());
  EXPECT_EQ(a->relative_error, 0.25);
  const PackedTensor expected = MakeMatrix(40, 24);
  EXPECT_TRUE(std::equal(a->packed.payload.begin(), a->packed.payload.end(),
                         expected.payload.begin(), expected.payload.end()));
  EXPECT_TRUE(log.Next(b_).has_value());
  EXPECT_FALSE(log.Next(b_).has_value());
  EXPECT_EQ(log.num_taken(), 2u);
}

TEST_F(ConversionLogTest, PassesReplaceTheirMatrices) {
  {
    ConversionLog log = Resume();
    EXPECT_FALSE(log.NextPass(4).has_value());
    Append(log, a_, 0.25);
    ASSERT_TRUE(log.EndPass(4, {1000, 900}).ok());
    EXPECT_FALSE(log.NextPass(3.5).has_value());
    Append(log, a_, 0.5);
    Append(log, b_, 0.5);
    ASSERT_TRUE(log.EndPass(3.5, {800, 700}).ok());
    Append(log, b_, 0.75);
  }
  {
    ConversionLog log = Resume();
    const auto first = log.NextPass(4);
    ASSERT_TRUE(first.has_value());
    EXPECT_EQ(first->file_bytes, 1000u);
    EXPECT_EQ(first->matrix_bytes, 900u);
    ASSERT_TRUE(log.NextPass(3.5).has_value());
    EXPECT_FALSE(log.NextPass(3).has_value());
    const auto b = log.Next(b_);
    ASSERT_TRUE(b.has_value());
    EXPECT_EQ(b->relative_error, 0.75);
  }
  ConversionLog log = Resume();
  EXPECT_FALSE(log.NextPass(4.25).has_value()) << "another rate";
  EXPECT_FALSE(log.Next(a_).has_value());
}

TEST_F(ConversionLogTest, CompleteLogsOnly) {
  ConversionLog log = Resume();
  Append(log, a_, 0.25);
  log.ExpectComplete({ErrorCode::kAlreadyExists, "there"});
  EXPECT_EQ(log.Append("b.weight", MakeMatrix(24, 40), 0).error().code, ErrorCode::kAlreadyExists);
}

TEST_F(ConversionLogTest, ErrorsNameTheRemedy) {
  const fs::path part = directory_ / "m.ecq.part";
  {
    ConversionLog log = Resume();
    EXPECT_EQ(log.Explain({ErrorCode::kNoSpace, "full"}).message, "full") << "nothing is done";
  }
  EXPECT_FALSE(fs::exists(part));
  {
    ConversionLog log = Resume();
    Append(log, a_, 0.25);
    EXPECT_NE(log.Explain({ErrorCode::kNoSpace, "full"}).message.find("--resume"),
              std::string::npos);
  }
  EXPECT_TRUE(fs::exists(part));
  { EXPECT_EQ(Resume().Explain({ErrorCode::kInvalidArgument, "no"}).message, "no"); }
  EXPECT_FALSE(fs::exists(part)) << "it would fail again";
}

}  // namespace
}  // namespace ecq

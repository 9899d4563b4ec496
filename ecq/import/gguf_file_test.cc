// GGUF reader: values and tensors, every truncation, and hostile headers by name.
#include "ecq/import/gguf_file.h"

#include <gtest/gtest.h>

#include "ecq/import/import_test_util.h"

namespace ecq {
namespace {

using import_test::ByteWriter;
using import_test::GgufBuilder;

GgufBuilder SmallFile() {
  GgufBuilder builder;
  builder.String("s", "text")
      .U32("u", 7)
      .F32("f", 0.5f)
      .Bool("b", true)
      .Strings("ss", {"a", "", "ccc"})
      .Ints("is", {-1, 2})
      .Floats("fs", {1.5f})
      .TensorF32("t", {2, 3}, {1, 2, 3, 4, 5, 6})
      .Tensor("q", {32, 1}, 8, std::vector<uint8_t>(34, 1));
  return builder;
}

TEST(GgufFileTest, ReadsValuesAndTensors) {
  const auto bytes = SmallFile().Build();
  const auto file = GgufFile::Parse(bytes, "f");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(*file->GetString("s"), "text");
  EXPECT_EQ(*file->GetUnsigned("u"), 7u);
  EXPECT_EQ(*file->GetFloat("f"), 0.5f);
  EXPECT_EQ(*file->GetBool("b"), true);
  EXPECT_EQ(*file->GetStrings("ss"), (std::vector<std::string_view>{"a", "", "ccc"}));
  EXPECT_EQ(*file->GetInts("is"), (std::vector<int32_t>{-1, 2}));
  EXPECT_EQ(*file->GetFloats("fs"), (std::vector<float>{1.5f}));
  ASSERT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ(file->tensors()[0].shape, (Shape{3, 2}));
  EXPECT_EQ(LoadLe<float>(file->tensors()[0].bytes.data() + 20), 6.0f);
  EXPECT_EQ(file->tensors()[1].bytes.size(), 34u);
}

TEST(GgufFileTest, AbsentKeysAreNotErrors) {
  const auto bytes = SmallFile().Build();
  const auto file = GgufFile::Parse(bytes, "f");
  ASSERT_TRUE(file.ok());
  EXPECT_FALSE(file->GetUnsigned("x")->has_value());
  EXPECT_FALSE(file->GetString("x")->has_value());
  EXPECT_TRUE(file->GetStrings("x")->empty());
  EXPECT_TRUE(file->GetInts("x")->empty());
}

TEST(GgufFileTest, WrongKindsAreErrors) {
  const auto bytes = SmallFile().Build();
  const auto file = GgufFile::Parse(bytes, "f");
  ASSERT_TRUE(file.ok());
  EXPECT_FALSE(file->GetUnsigned("s").ok());
  EXPECT_FALSE(file->GetUnsigned("is").ok());
  EXPECT_FALSE(file->GetFloat("u").ok());
  EXPECT_FALSE(file->GetBool("u").ok());
  EXPECT_FALSE(file->GetString("ss").ok());
  EXPECT_FALSE(file->GetStrings("s").ok());
  EXPECT_FALSE(file->GetInts("fs").ok());
  EXPECT_FALSE(file->GetFloats("is").ok());
}

TEST(GgufFileTest, IntegersOfEveryWidth) {
  ByteWriter w;
  w.PutText("GGUF").Put<uint32_t>(2).Put<uint64_t>(0).Put<uint64_t>(9);
  w.PutString("u8").Put<uint32_t>(0).Put<uint8_t>(255);
  w.PutString("i8").Put<uint32_t>(1).Put<int8_t>(127);
  w.PutString("u16").Put<uint32_t>(2).Put<uint16_t>(65535);
  w.PutString("i16").Put<uint32_t>(3).Put<int16_t>(32767);
  w.PutString("u32").Put<uint32_t>(4).Put<uint32_t>(~0u);
  w.PutString("i32").Put<uint32_t>(5).Put<int32_t>(5);
  w.PutString("u64").Put<uint32_t>(10).Put<uint64_t>(~uint64_t{0});
  w.PutString("i64").Put<uint32_t>(11).Put<int64_t>(int64_t{1} << 40);
  w.PutString("neg").Put<uint32_t>(5).Put<int32_t>(-1);
  const auto file = GgufFile::Parse(w.bytes(), "f");
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(*file->GetUnsigned("u8"), 255u);
  EXPECT_EQ(*file->GetUnsigned("i8"), 127u);
  EXPECT_EQ(*file->GetUnsigned("u16"), 65535u);
  EXPECT_EQ(*file->GetUnsigned("i16"), 32767u);
  EXPECT_EQ(*file->GetUnsigned("u32"), ~0u);
  EXPECT_EQ(*file->GetUnsigned("i32"), 5u);
  EXPECT_EQ(*file->GetUnsigned("u64"), ~uint64_t{0});
  EXPECT_EQ(*file->GetUnsigned("i64"), uint64_t{1} << 40);
  EXPECT_FALSE(file->GetUnsigned("neg").ok());
}

TEST(GgufFileTest, EveryTruncationIsAnError) {
  const auto bytes = SmallFile().Build();
  for (size_t n = 0; n < bytes.size(); ++n) {
    const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
    const auto file = GgufFile::Parse(cut, "f");
    ASSERT_FALSE(file.ok()) << n;
    EXPECT_EQ(file.error().code, ErrorCode::kTruncated) << n << ": " << file.error().message;
  }
}

TEST(GgufFileTest, EveryByteSetToEveryExtremeIsHandled) {
  const auto bytes = SmallFile().Build();
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const uint8_t value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      auto changed = bytes;
      changed[i] = value;
      const auto file = GgufFile::Parse(changed, "f");
      if (!file.ok()) continue;
      for (const GgufTensor& tensor : file->tensors()) {
        EXPECT_GE(tensor.bytes.data(), changed.data());
        EXPECT_LE(tensor.bytes.data() + tensor.bytes.size(), changed.data() + changed.size());
      }
    }
  }
}

// Preamble with the given counts; the rest is up to the test.
ByteWriter Start(uint64_t num_tensors, uint64_t num_values, uint32_t version = 3) {
  ByteWriter w;
  w.PutText("GGUF").Put(version).Put(num_tensors).Put(num_values);
  return w;
}

// One tensor description, then room for data.
ByteWriter OneTensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type,
                     uint64_t offset, size_t data_bytes) {
  ByteWriter w = Start(1, 0);
  w.PutString(name).Put(static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) w.Put(dim);
  w.Put(type).Put(offset).AlignTo(32);
  return w.PutBytes(std::vector<uint8_t>(data_bytes));
}

ByteWriter TwoTensors(std::string_view first, std::string_view second, uint64_t second_offset) {
  ByteWriter w = Start(2, 0);
  w.PutString(first).Put<uint32_t>(1).Put<uint64_t>(16).Put<uint32_t>(0).Put<uint64_t>(0);
  w.PutString(second).Put<uint32_t>(1).Put<uint64_t>(16).Put<uint32_t>(0).Put(second_offset);
  return w.AlignTo(32).PutBytes(std::vector<uint8_t>(256));
}

ByteWriter Alignment(uint32_t value) {
  return Start(0, 1).PutString("general.alignment").Put<uint32_t>(4).Put(value);
}

struct Hostile {
  const char* name;
  ByteWriter file;
  ErrorCode code;
};

class HostileGgufTest : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileGgufTest, IsRefused) {
  const auto file = GgufFile::Parse(GetParam().file.bytes(), "f");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, GetParam().code) << file.error().message;
  EXPECT_EQ(file.error().message.rfind("f: GGUF: ", 0), 0u) << file.error().message;
}

constexpr uint64_t kHuge = ~uint64_t{0};
constexpr uint64_t kHalf = uint64_t{1} << 63;
const std::vector<uint8_t> kPadding(256);

INSTANTIATE_TEST_SUITE_P(
    Headers, HostileGgufTest,
    ::testing::Values(
        Hostile{"OtherMagic", ByteWriter().PutText("GGML").PutBytes(kPadding),
                ErrorCode::kBadMagic},
        Hostile{"Version1", Start(0, 0, 1), ErrorCode::kUnsupportedVersion},
        Hostile{"Version4", Start(0, 0, 4), ErrorCode::kUnsupportedVersion},
        Hostile{"BigEndian", Start(0, 0, 0x03000000), ErrorCode::kUnsupportedVersion},
        Hostile{"TensorCount", Start(kHuge, 0).PutBytes(kPadding), ErrorCode::kTruncated},
        Hostile{"TensorCountSignBit", Start(kHalf, 0).PutBytes(kPadding), ErrorCode::kTruncated},
        Hostile{"TensorCountWrapsTimesSize", Start(kHuge / 32 + 2, 0).PutBytes(kPadding),
                ErrorCode::kTruncated},
        Hostile{"KeyCount", Start(0, kHuge).PutBytes(kPadding), ErrorCode::kTruncated},
        Hostile{"KeyCountSlightlyTooLarge", Start(0, 20).PutBytes(kPadding), ErrorCode::kTruncated},
        Hostile{"KeyLength", Start(0, 1).Put(kHuge).PutBytes(kPadding), ErrorCode::kTruncated},
        Hostile{"KeyLengthWraps", Start(0, 1).Put(kHuge - 31).PutBytes(kPadding),
                ErrorCode::kTruncated},
        Hostile{"EmptyKey", Start(0, 1).PutString("").PutBytes(kPadding), ErrorCode::kBadHeader},
        Hostile{"LongKey", Start(0, 1).PutString(std::string(65536, 'k')).PutBytes(kPadding),
                ErrorCode::kBadHeader},
        Hostile{"KeyNotUtf8", Start(0, 1).PutString("\xff").PutBytes(kPadding),
                ErrorCode::kBadHeader},
        Hostile{"DuplicateKey",
                Start(0, 2)
                    .PutString("k")
                    .Put<uint32_t>(0)
                    .Put<uint8_t>(1)
                    .PutString("k")
                    .Put<uint32_t>(0)
                    .Put<uint8_t>(1)
                    .PutBytes(kPadding),
                ErrorCode::kBadHeader},
        Hostile{"UnknownValueType", Start(0, 1).PutString("k").Put<uint32_t>(13).PutBytes(kPadding),
                ErrorCode::kBadHeader},
        Hostile{"ValueStringLength",
                Start(0, 1).PutString("k").Put<uint32_t>(8).Put(kHuge).PutBytes(kPadding),
                ErrorCode::kTruncated},
        Hostile{"ArrayCount",
                Start(0, 1).PutString("k").Put<uint32_t>(9).Put<uint32_t>(10).Put(kHuge).PutBytes(
                    kPadding),
                ErrorCode::kTruncated},
        Hostile{
            "ArrayCountWrapsTimesSize",
            Start(0, 1).PutString("k").Put<uint32_t>(9).Put<uint32_t>(10).Put(kHalf + 1).PutBytes(
                kPadding),
            ErrorCode::kTruncated},
        Hostile{"StringArrayCount",
                Start(0, 1).PutString("k").Put<uint32_t>(9).Put<uint32_t>(8).Put(kHalf).PutBytes(
                    kPadding),
                ErrorCode::kTruncated},
        Hostile{
            "ArrayOfArrays",
            Start(0, 1).PutString("k").Put<uint32_t>(9).Put<uint32_t>(9).Put<uint64_t>(1).PutBytes(
                kPadding),
            ErrorCode::kBadHeader},
        Hostile{
            "ArrayOfUnknownType",
            Start(0, 1).PutString("k").Put<uint32_t>(9).Put<uint32_t>(99).Put<uint64_t>(1).PutBytes(
                kPadding),
            ErrorCode::kBadHeader},
        Hostile{"BooleanTwo",
                Start(0, 1).PutString("k").Put<uint32_t>(7).Put<uint8_t>(2).PutBytes(kPadding),
                ErrorCode::kBadHeader},
        Hostile{"AlignmentZero", Alignment(0), ErrorCode::kBadHeader},
        Hostile{"AlignmentThree", Alignment(3), ErrorCode::kBadHeader},
        Hostile{"AlignmentAllOnes", Alignment(~0u), ErrorCode::kBadHeader},
        Hostile{"AlignmentIsText",
                Start(0, 1).PutString("general.alignment").Put<uint32_t>(8).PutString("32"),
                ErrorCode::kBadHeader},
        Hostile{"NoDimensions", OneTensor("t", {}, 0, 0, 64), ErrorCode::kBadHeader},
        Hostile{"FiveDimensions", OneTensor("t", {1, 1, 1, 1, 1}, 0, 0, 64), ErrorCode::kBadHeader},
        Hostile{"ZeroDimension", OneTensor("t", {0}, 0, 0, 64), ErrorCode::kBadLayout},
        Hostile{"DimensionsOverflow", OneTensor("t", {kHalf, 2, 1, 1}, 0, 0, 64),
                ErrorCode::kBadLayout},
        Hostile{"DimensionsOverflowToSmall",
                OneTensor("t", {uint64_t{1} << 32, (uint64_t{1} << 32) + 1}, 0, 0, 64),
                ErrorCode::kBadLayout},
        Hostile{"BytesOverflow", OneTensor("t", {uint64_t{1} << 62, 1}, 0, 0, 64),
                ErrorCode::kBadLayout},
        Hostile{"PartialBlock", OneTensor("t", {33}, 8, 0, 256), ErrorCode::kBadLayout},
        Hostile{"RowOfPartialBlocks", OneTensor("t", {16, 2}, 8, 0, 256), ErrorCode::kBadLayout},
        Hostile{"UnreadType", OneTensor("t", {256}, 17, 0, 256), ErrorCode::kUnsupportedType},
        Hostile{"UnknownType", OneTensor("t", {256}, 1000, 0, 256), ErrorCode::kUnsupportedType},
        Hostile{"RemovedType", OneTensor("t", {256}, 4, 0, 256), ErrorCode::kUnsupportedType},
        Hostile{"OffsetBeyondFile", OneTensor("t", {4}, 0, 1024, 64), ErrorCode::kTruncated},
        Hostile{"OffsetPlusSizeWraps", OneTensor("t", {16}, 0, kHuge - 31, 64),
                ErrorCode::kTruncated},
        Hostile{"SizeBeyondFile", OneTensor("t", {17}, 0, 0, 64), ErrorCode::kTruncated},
        Hostile{"OffsetUnaligned", OneTensor("t", {4}, 0, 4, 64), ErrorCode::kBadLayout},
        Hostile{"EmptyTensorName", OneTensor("", {4}, 0, 0, 64), ErrorCode::kBadHeader},
        Hostile{"LongTensorName", OneTensor(std::string(65, 'n'), {4}, 0, 0, 64),
                ErrorCode::kBadHeader},
        Hostile{"TensorNameNotUtf8", OneTensor("\xc0\x80", {4}, 0, 0, 64), ErrorCode::kBadHeader},
        Hostile{"TensorNameLength", Start(1, 0).Put(kHuge).PutBytes(kPadding),
                ErrorCode::kTruncated},
        Hostile{"DuplicateTensor", TwoTensors("t", "t", 64), ErrorCode::kBadHeader},
        Hostile{"OverlappingTensors", TwoTensors("t", "u", 32), ErrorCode::kBadLayout},
        Hostile{"SameOffset", TwoTensors("t", "u", 0), ErrorCode::kBadLayout}),
    [](const auto& test) { return test.param.name; });

TEST(GgufFileTest, UnreadTypesAreNamedWithTheKnownOnes) {
  const auto file = OneTensor("blk.0.w", {256}, 17, 0, 256);
  const auto parsed = GgufFile::Parse(file.bytes(), "f");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().message,
            "f: GGUF: tensor blk.0.w has type IQ2_XS; ECQ reads " + KnownGgmlTypes());
}

}  // namespace
}  // namespace ecq

// Safetensors reader: a well-formed file, every truncation of it, and hostile headers by name.
#include "ecq/tensor/safetensors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

namespace ecq {
namespace {

std::vector<uint8_t> MakeFile(std::string_view header, size_t data_bytes) {
  std::vector<uint8_t> file(8 + header.size() + data_bytes);
  StoreLe<uint64_t>(file.data(), header.size());
  std::memcpy(file.data() + 8, header.data(), header.size());
  for (size_t i = 0; i < data_bytes; ++i) file[8 + header.size() + i] = static_cast<uint8_t>(i);
  return file;
}

constexpr std::string_view kGood = R"({"__metadata__":{"format":"pt","k":"ü"},)"
                                   R"("b":{"dtype":"F32","shape":[2,1],"data_offsets":[3,11]},)"
                                   R"("a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                                   R"("s":{"data_offsets":[11,13],"dtype":"BF16","shape":[]}}  )";

TEST(SafetensorsTest, ReadsNamesShapesAndUnalignedData) {
  const auto file = MakeFile(kGood, 13);
  const auto parsed = Safetensors::Parse(file, "f");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  ASSERT_EQ(parsed->tensors().size(), 3u);
  EXPECT_EQ(parsed->tensors()[0].name, "a");
  EXPECT_EQ(parsed->tensors()[1].name, "b");
  EXPECT_EQ(parsed->tensors()[2].name, "s");
  EXPECT_EQ(parsed->metadata().at("format"), "pt");
  EXPECT_EQ(parsed->data_offset(), 8 + kGood.size());
  const SafetensorsEntry* b = parsed->Find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->view.dtype, DType::kF32);
  EXPECT_EQ(b->view.shape, (Shape{2, 1}));
  EXPECT_EQ(b->view.bytes.size(), 8u);
  EXPECT_EQ(b->view.bytes[0], 3);
  EXPECT_EQ(parsed->Find("c"), nullptr);
  EXPECT_EQ(parsed->Find(""), nullptr);
}

TEST(SafetensorsTest, AcceptsNoTensorsAndEmptyTensors) {
  EXPECT_TRUE(Safetensors::Parse(MakeFile("{}", 0), "f").ok());
  EXPECT_TRUE(Safetensors::Parse(MakeFile(R"({"__metadata__":null})", 0), "f").ok());
  const auto file = MakeFile(R"({"z":{"dtype":"F32","shape":[0,4],"data_offsets":[4,4]},)"
                             R"("e":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},)"
                             R"("x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                             4);
  const auto parsed = Safetensors::Parse(file, "f");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(parsed->Find("z")->view.bytes.size(), 0u);
}

TEST(SafetensorsTest, EveryTruncationIsAnError) {
  const auto file = MakeFile(kGood, 13);
  for (size_t n = 0; n < file.size(); ++n) {
    const std::vector<uint8_t> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(n));
    const auto parsed = Safetensors::Parse(cut, "f");
    ASSERT_FALSE(parsed.ok()) << n;
    EXPECT_EQ(parsed.error().code, ErrorCode::kTruncated) << n << ": " << parsed.error().message;
  }
}

TEST(SafetensorsTest, EveryShorterHeaderLengthIsAnError) {
  auto file = MakeFile(kGood.substr(0, kGood.size() - 2), 13);
  for (uint64_t n = 0; n < kGood.size() - 2; ++n) {
    StoreLe<uint64_t>(file.data(), n);
    EXPECT_FALSE(Safetensors::Parse(file, "f").ok()) << n;
  }
}

TEST(SafetensorsTest, HugeHeaderLength) {
  auto file = MakeFile("{}", 0);
  for (const uint64_t n : {uint64_t{100'000'001}, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    StoreLe<uint64_t>(file.data(), n);
    const auto parsed = Safetensors::Parse(file, "f");
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.error().code, ErrorCode::kBadHeader);
  }
}

TEST(SafetensorsTest, MessagesStayOnOneLine) {
  const auto parsed = Safetensors::Parse(
      MakeFile(R"({"a\nb":{"dtype":"F9","shape":[],"data_offsets":[0,0]}})", 0), "f");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().message, "f: safetensors: tensor \"a?b\": unknown dtype \"F9\"");
}

struct Hostile {
  const char* name;
  std::string header;
  size_t data_bytes;
  ErrorCode code;
};

class HostileSafetensorsTest : public ::testing::TestWithParam<Hostile> {};

TEST_P(HostileSafetensorsTest, IsRefused) {
  const auto parsed = Safetensors::Parse(MakeFile(GetParam().header, GetParam().data_bytes), "f");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().code, GetParam().code) << parsed.error().message;
  EXPECT_EQ(parsed.error().message.rfind("f: safetensors: ", 0), 0u) << parsed.error().message;
}

std::string Tensor(const char* name, const char* dtype, const char* shape, const char* offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape,
                     offsets);
}
std::string One(const char* dtype, const char* shape, const char* offsets) {
  return fmt::format("{{{}}}", Tensor("x", dtype, shape, offsets));
}
std::string Two(const char* first_offsets, const char* second_name, const char* second_offsets) {
  return fmt::format("{{{},{}}}", Tensor("x", "U8", "[4]", first_offsets),
                     Tensor(second_name, "U8", "[4]", second_offsets));
}

constexpr ErrorCode kHeader = ErrorCode::kBadHeader;
constexpr ErrorCode kLayout = ErrorCode::kBadLayout;

INSTANTIATE_TEST_SUITE_P(
    Headers, HostileSafetensorsTest,
    ::testing::Values(
        Hostile{"Empty", "", 0, kHeader}, Hostile{"NotAnObject", "[]", 0, kHeader},
        Hostile{"LeadingSpace", " {}", 0, kHeader}, Hostile{"TrailingGarbage", "{}x", 0, kHeader},
        Hostile{"TwoObjects", "{}{}", 0, kHeader},
        Hostile{"HiddenAfterNul", std::string("{}\0{\"x\":1}", 10), 0, kHeader},
        Hostile{"BadUtf8", "{\"__metadata__\":{\"a\":\"\xc0\xaf\"}}", 0, kHeader},
        Hostile{"LoneSurrogate", R"({"__metadata__":{"a":"\ud800"}})", 0, kHeader},
        Hostile{"DeepNesting", std::string(100000, '[') + std::string(100000, ']'), 0, kHeader},
        Hostile{"DeepNestingInTensor", "{\"x\":{\"shape\":" + std::string(100000, '['), 0, kHeader},
        Hostile{"ObjectInMetadata", R"({"__metadata__":{"a":{}}})", 0, kHeader},
        Hostile{"NumberInMetadata", R"({"__metadata__":{"a":1}})", 0, kHeader},
        Hostile{"MetadataTwice", R"({"__metadata__":{},"__metadata__":{}})", 0, kHeader},
        Hostile{"MetadataKeyTwice", R"({"__metadata__":{"a":"","a":""}})", 0, kHeader},
        Hostile{"TensorIsString", R"({"x":"F32"})", 0, kHeader},
        Hostile{"MetadataNullTwice", R"({"__metadata__":null,"__metadata__":{}})", 0, kHeader},
        Hostile{"NullInMetadata", R"({"__metadata__":{"a":null}})", 0, kHeader},
        Hostile{"TensorIsNull", R"({"x":null})", 0, kHeader},
        Hostile{"DuplicateName", Two("[0,4]", "x", "[4,8]"), 8, kHeader},
        Hostile{"DuplicateDtype",
                R"({"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
                kHeader},
        Hostile{"DuplicateShape",
                R"({"x":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1, kHeader},
        Hostile{"MissingDtype", R"({"x":{"shape":[1],"data_offsets":[0,1]}})", 1, kHeader},
        Hostile{"MissingShape", R"({"x":{"dtype":"U8","data_offsets":[0,1]}})", 1, kHeader},
        Hostile{"MissingOffsets", R"({"x":{"dtype":"U8","shape":[1]}})", 1, kHeader},
        Hostile{"UnknownField", R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"y":"z"}})",
                1, kHeader},
        Hostile{"UnknownDtype", One("F9", "[1]", "[0,1]"), 1, ErrorCode::kUnsupportedType},
        Hostile{"NegativeDim", One("U8", "[-1]", "[0,1]"), 1, kHeader},
        Hostile{"FloatDim", One("U8", "[1.0]", "[0,1]"), 1, kHeader},
        Hostile{"DimBeyond64Bits", One("U8", "[18446744073709551616]", "[0,1]"), 1, kHeader},
        Hostile{"TooManyDims", One("U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]"), 1,
                kHeader},
        Hostile{"ShapeOverflow", One("U8", "[4294967296,4294967296]", "[0,0]"), 0, kLayout},
        Hostile{"ByteSizeOverflow", One("F64", "[2305843009213693953]", "[0,8]"), 8, kLayout},
        Hostile{"OneOffset", One("U8", "[1]", "[1]"), 1, kHeader},
        Hostile{"ThreeOffsets", One("U8", "[1]", "[0,1,1]"), 1, kHeader},
        Hostile{"OffsetsBackwards", One("U8", "[1]", "[1,0]"), 1, kLayout},
        Hostile{"SizeMismatch", One("F32", "[1]", "[0,3]"), 3, kLayout},
        Hostile{"BeyondTheFile", One("U8", "[4]", "[0,4]"), 3, ErrorCode::kTruncated},
        Hostile{"OffsetNear64Bits", One("U8", "[4]", "[18446744073709551611,18446744073709551615]"),
                3, ErrorCode::kTruncated},
        Hostile{"Overlap", Two("[0,4]", "y", "[2,6]"), 6, kLayout},
        Hostile{"SameRange", Two("[0,4]", "y", "[0,4]"), 4, kLayout},
        Hostile{"HoleAtFront", Two("[1,5]", "y", "[5,9]"), 9, kLayout},
        Hostile{"HoleBetween", Two("[0,4]", "y", "[5,9]"), 9, kLayout},
        Hostile{"RestAtEnd", Two("[0,4]", "y", "[4,8]"), 9, kLayout}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace ecq

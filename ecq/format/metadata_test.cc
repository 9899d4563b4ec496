// The JSON texts of the metadata: what is written is read back, and everything else is refused with
// the right code.
#include "ecq/format/metadata.h"

#include <gtest/gtest.h>

#include <string>

namespace ecq {
namespace {

constexpr std::string_view kRans =
    R"({"shape":[70,48],"grid":"ecq","codec":"rans","lanes":32,"blocks_per_tile":1,)"
    R"("spans":[[40,1],[8,0]],"scale":"row","scale_exponent":-8})";
constexpr std::string_view kRaw =
    R"({"shape":[3,10],"grid":"q","codec":"raw","lanes":1,"blocks_per_tile":4096,"bits":4,)"
    R"("level_min":-8,"scale":"group","group_size":4,"scale_exponent":0})";
constexpr std::string_view kWindow =
    R"({"shape":[70,48],"grid":"w","codec":"window","lanes":32,"blocks_per_tile":1,"window":12,)"
    R"("spans":[[32,1],[16,0]],"scale":"row","scale_exponent":-8})";

constexpr std::string_view kRotated =
    R"({"shape":[70,48],"grid":"w","codec":"window","lanes":32,"blocks_per_tile":1,"window":12,)"
    R"("spans":[[32,1],[16,0]],"scale":"row","rotation":16,"scale_exponent":-8})";

Result<MatrixRecords> Parse(std::string_view record) {
  return ParseMatrixRecords("{\"m\":" + std::string(record) + "}", "f");
}

std::string Replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out(text);
  const size_t at = out.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return out.replace(at, from.size(), to);
}

TEST(MetadataTest, RecordsComeBack) {
  const std::string plain = Replaced(kWindow, "\"window\":12", "\"window\":8");
  const std::string rans16 =
      Replaced(Replaced(kRans, "\"rans\"", "\"rans16\""), "\"spans\"", "\"low_bits\":1,\"spans\"");
  for (const std::string_view text :
       {kRans, kRaw, kWindow, kRotated, std::string_view(plain), std::string_view(rans16)}) {
    const auto records = Parse(text);
    ASSERT_TRUE(records.ok()) << records.error().message;
    EXPECT_EQ(MatrixRecordText(records->at("m")), text);
  }
  const MatrixRecord rans = Parse(kRans)->at("m");
  EXPECT_EQ(rans.desc.num_tiles, 3u);
  EXPECT_EQ(rans.desc.num_spans, 2u);
  EXPECT_EQ(rans.spans[1].begin, 40u);
  EXPECT_EQ(rans.spans[1].table, 0u);
  const MatrixRecord raw = Parse(kRaw)->at("m");
  EXPECT_EQ(raw.desc.scale_groups, 3u);
  EXPECT_EQ(raw.spans.size(), 1u);
  EXPECT_EQ(Parse(kWindow)->at("m").desc.has_memory, 1u);
  EXPECT_EQ(Parse(plain)->at("m").desc.has_memory, 0u);
  EXPECT_EQ(Parse(kWindow)->at("m").spans[1].begin, 32u);
  EXPECT_EQ(Parse(kWindow)->at("m").desc.rotation, 0u);
  EXPECT_EQ(Parse(kRotated)->at("m").desc.rotation, 16u);
  EXPECT_TRUE(ParseMatrixRecords("{}", "f")->empty());
}

// Any codec and kind of scale may be rotated, in every block that divides K.
TEST(MetadataTest, RotationIsAnOptionalMemberOfAnyRecord) {
  for (const char* const block : {"2", "4", "8", "16"}) {
    const std::string member = std::string("\"rotation\":") + block + ",\"scale_exponent\"";
    for (const std::string_view text : {kRans, kWindow}) {
      const std::string rotated = Replaced(text, "\"scale_exponent\"", member);
      const auto records = Parse(rotated);
      ASSERT_TRUE(records.ok()) << records.error().message;
      EXPECT_EQ(std::to_string(records->at("m").desc.rotation), block);
      EXPECT_EQ(MatrixRecordText(records->at("m")), rotated);
    }
  }
  const auto raw = Parse(Replaced(kRaw, "\"scale_exponent\"", "\"rotation\":2,\"scale_exponent\""));
  ASSERT_TRUE(raw.ok()) << raw.error().message;
  EXPECT_EQ(raw->at("m").desc.rotation, 2u);
  const std::string wide = Replaced(kRotated, "[70,48]", "[70,8192]");
  const auto widest = Parse(Replaced(Replaced(wide, "[16,0]", "[8160,0]"), ":16", ":4096"));
  ASSERT_TRUE(widest.ok()) << widest.error().message;
  EXPECT_EQ(widest->at("m").desc.rotation, 4096u);
}

struct BadRecord {
  std::string_view record;
  std::string_view from;
  std::string_view to;
  ErrorCode code;
};

TEST(MetadataTest, BadRecordsAreRefusedByCode) {
  const BadRecord cases[] = {
      {kRans, "70", "0", ErrorCode::kBadLayout},
      {kRans, "70", "-70", ErrorCode::kBadLayout},
      {kRans, "70", "70.0", ErrorCode::kBadHeader},
      {kRans, "70", "7e1", ErrorCode::kBadHeader},
      {kRans, "70", "\"70\"", ErrorCode::kBadHeader},
      {kRans, "70", "18446744073709551615", ErrorCode::kBadLayout},
      {kRans, "70", "18446744073709551616", ErrorCode::kBadHeader},
      {kRans, "70", "2147483648", ErrorCode::kBadLayout},
      {kRans, "[70,48]", "[2147483647,2147483647]", ErrorCode::kBadLayout},
      {kRans, "[70,48]", "[70]", ErrorCode::kBadHeader},
      {kRans, "[70,48]", "[]", ErrorCode::kBadHeader},
      {kRans, "[70,48]", "70", ErrorCode::kBadHeader},
      {kRans, "\"rans\"", "\"trellis\"", ErrorCode::kUnsupportedCodec},
      {kRans, "\"rans\"", "\"window\"", ErrorCode::kBadHeader},
      {kRans, "\"rans\"", "7", ErrorCode::kBadHeader},
      {kRans, "\"lanes\":32", "\"lanes\":33", ErrorCode::kBadLayout},
      {kRans, "\"lanes\":32", "\"lanes\":24", ErrorCode::kBadLayout},
      {kRans, "\"lanes\":32,", "", ErrorCode::kBadHeader},
      {kRans, "\"blocks_per_tile\":1", "\"blocks_per_tile\":4097", ErrorCode::kBadLayout},
      {kRans, "[8,0]", "[7,0]", ErrorCode::kBadLayout},
      {kRans, "[8,0]", "[9,0]", ErrorCode::kBadLayout},
      {kRans, "[8,0]", "[8,0],[0,0]", ErrorCode::kBadLayout},
      {kRans, "[8,0]", "[8,0],[1,0]", ErrorCode::kBadLayout},
      {kRans, "[8,0]", "[8,-1]", ErrorCode::kBadTable},
      {kRans, "[8,0]", "[8,65536]", ErrorCode::kBadTable},
      {kRans, "[8,0]", "[8]", ErrorCode::kBadHeader},
      {kRans, "[8,0]", "8", ErrorCode::kBadHeader},
      {kRans, "\"row\"", "\"col\"", ErrorCode::kBadHeader},
      {kRans, "-8", "-65", ErrorCode::kBadLayout},
      {kRans, "-8", "65", ErrorCode::kBadLayout},
      {kRans, "-8", "null", ErrorCode::kBadHeader},
      {kRans, "-8", "-8,\"trellis\":4", ErrorCode::kUnsupportedVersion},
      {kRans, "-8", "-8,\"bits\":4", ErrorCode::kUnsupportedVersion},
      {kRans, "-8", "-8,\"group_size\":4", ErrorCode::kUnsupportedVersion},
      {kRans, "-8", "-8,\"grid\":\"again\"", ErrorCode::kBadHeader},
      {kRans, "-8", "-8,\"window\":8", ErrorCode::kUnsupportedVersion},
      {kRans, "\"rans\"", "\"rans16\"", ErrorCode::kBadHeader},
      {kRans, "\"rans\"", "\"rans16\",\"low_bits\":3", ErrorCode::kBadLayout},
      {kRans, "-8", "-8,\"low_bits\":1", ErrorCode::kUnsupportedVersion},
      {kWindow, ":12", ":0", ErrorCode::kBadLayout},
      {kWindow, ":12", ":9", ErrorCode::kBadLayout},
      {kWindow, ":12", ":16", ErrorCode::kBadLayout},
      {kWindow, ":12", ":\"12\"", ErrorCode::kBadHeader},
      {kWindow, "\"window\":12,", "", ErrorCode::kBadHeader},
      {kWindow, "-8", "-8,\"bits\":4", ErrorCode::kUnsupportedVersion},
      {kWindow, "[16,0]", "[17,0]", ErrorCode::kBadLayout},
      {kWindow, "[16,0]", "[16,65536]", ErrorCode::kBadTable},
      {kRotated, ":16", ":0", ErrorCode::kBadLayout},
      {kRotated, ":16", ":1", ErrorCode::kBadLayout},
      {kRotated, ":16", ":3", ErrorCode::kBadLayout},
      {kRotated, ":16", ":24", ErrorCode::kBadLayout},
      {kRotated, ":16", ":32", ErrorCode::kBadLayout},
      {kRotated, ":16", ":8192", ErrorCode::kBadLayout},
      {kRotated, ":16", ":-16", ErrorCode::kBadLayout},
      {kRotated, ":16", ":4294967312", ErrorCode::kBadLayout},
      {kRotated, ":16", ":16.0", ErrorCode::kBadHeader},
      {kRotated, ":16", ":\"16\"", ErrorCode::kBadHeader},
      {kRotated, ":16", ":null", ErrorCode::kBadHeader},
      {kRotated, ":16", ":true", ErrorCode::kBadHeader},
      {kRotated, ":16", ":16,\"rotation\":16", ErrorCode::kBadHeader},
      {kRaw, "\"bits\":4", "\"bits\":0", ErrorCode::kBadLayout},
      {kRaw, "\"bits\":4", "\"bits\":9", ErrorCode::kBadLayout},
      {kRaw, "\"level_min\":-8", "\"level_min\":-129", ErrorCode::kBadLayout},
      {kRaw, "\"level_min\":-8", "\"level_min\":128", ErrorCode::kBadLayout},
      {kRaw, "\"group_size\":4", "\"group_size\":6", ErrorCode::kBadLayout},
      {kRaw, "\"group_size\":4", "\"group_size\":0", ErrorCode::kBadLayout},
      {kRaw, "\"group_size\":4,", "", ErrorCode::kBadHeader},
  };
  for (const BadRecord& c : cases) {
    const auto parsed = Parse(Replaced(c.record, c.from, c.to));
    ASSERT_FALSE(parsed.ok()) << c.from << " -> " << c.to;
    EXPECT_EQ(parsed.error().code, c.code) << parsed.error().message;
    EXPECT_TRUE(parsed.error().message.starts_with("f: ")) << parsed.error().message;
  }
}

TEST(MetadataTest, BadJsonIsRefused) {
  const std::string nested = std::string(100'000, '[') + std::string(100'000, ']');
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{"), std::string("{}x"), std::string("\xff"),
        std::string("{}\0{", 4),
        "{\"m\":" + std::string(kRans) + ",\"m\":" + std::string(kRans) + "}", nested,
        "{\"m\":" + nested + "}", std::string("{\"m\":7}"), std::string("{\"\xc3\":{}}")}) {
    const auto parsed = ParseMatrixRecords(text, "f");
    ASSERT_FALSE(parsed.ok()) << text.substr(0, 40);
    EXPECT_EQ(parsed.error().code, ErrorCode::kBadHeader) << text.substr(0, 40);
  }
}

TEST(MetadataTest, ReservedMatrixNamesAreRefused) {
  for (const std::string name : {"", "ecq.x", "a.ecq_data", "ecq.file/a"}) {
    const auto parsed = ParseMatrixRecords("{\"" + name + "\":" + std::string(kRaw) + "}", "f");
    ASSERT_FALSE(parsed.ok()) << name;
    EXPECT_EQ(parsed.error().code, ErrorCode::kBadLayout);
  }
  EXPECT_TRUE(IsModelTensorName("model.layers.0.ecqual.weight"));
  EXPECT_TRUE(IsModelTensorName("a.ecq_b.weight"));
}

TEST(MetadataTest, SideFileNamesAreSafePaths) {
  EXPECT_TRUE(IsSideFileName("config.json"));
  EXPECT_TRUE(IsSideFileName("A-b_9"));
  EXPECT_TRUE(IsSideFileName(std::string(255, 'a')));
  for (const std::string name : {"", ".", "..", ".x", "a/b", "a\\b", "a b", "\xc3\xa4", "a:b"}) {
    EXPECT_FALSE(IsSideFileName(name)) << name;
  }
  EXPECT_FALSE(IsSideFileName(std::string(256, 'a')));
  EXPECT_FALSE(IsSideFileName(std::string("a\0b", 3)));
}

TEST(MetadataTest, SourceComesBack) {
  const EcqFileInfo info{
      "p",
      "gguf",
      {{"ä \"x\".gguf", uint64_t{1} << 40, std::string(64, 'a')}, {"b", 0, std::string(64, '0')}}};
  const auto text = SourceText(info);
  ASSERT_TRUE(text.ok());
  EcqFileInfo read{"p", "", {}};
  ASSERT_TRUE(ParseSource(*text, "f", &read).ok());
  EXPECT_EQ(read, info);

  EXPECT_FALSE(SourceText({"p", "gguf", {{"a", 1, std::string(64, 'A')}}}).ok());
  EXPECT_FALSE(SourceText({"p", "\xff", {}}).ok());
  for (const std::string bad : {R"({"files":[]})", R"({"kind":"x"})", R"({"kind":1,"files":[]})",
                                R"({"kind":"x","files":[1]})", R"({"kind":"x","files":{}})",
                                R"({"kind":"x","files":[{"name":"a","bytes":-1,"sha256":""}]})"}) {
    EcqFileInfo out;
    const Status status = ParseSource(bad, "f", &out);
    ASSERT_FALSE(status.ok()) << bad;
    EXPECT_EQ(status.error().code, ErrorCode::kBadHeader);
  }
}

TEST(MetadataTest, HashesComeBack) {
  const auto hashes = ParseHashes("{\"a\":\"" + HashText(0x0123456789abcdefu) + "\"}", "f");
  ASSERT_TRUE(hashes.ok());
  EXPECT_EQ(hashes->at("a"), 0x0123456789abcdefu);
  EXPECT_EQ(HashText(1), "0000000000000001");
  for (const std::string bad : {R"({"a":1})", R"({"a":""})", R"({"a":"0123456789abcdeF"})",
                                R"({"a":"0123456789abcdef0"})", R"({"a":" 123456789abcdef"})"}) {
    EXPECT_FALSE(ParseHashes(bad, "f").ok()) << bad;
  }
}

TEST(MetadataTest, JsonStringsAreUtf8) {
  EXPECT_EQ(*JsonString("a\"\\\n"), R"("a\"\\\n")");
  EXPECT_EQ(*JsonString("ü"), "\"ü\"");
  for (const std::string bad : {"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80"}) {
    EXPECT_FALSE(JsonString(bad).ok());
  }
}

}  // namespace
}  // namespace ecq

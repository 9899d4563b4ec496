// Window codes through Pack(): they decode to the levels they came with, take exactly their bytes,
// and nothing inconsistent or hostile passes.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "ecq/base/bytes.h"
#include "ecq/pack/must_pack_for_test.h"
#include "ecq/pack/pack.h"
#include "ecq/pack/random_window_for_test.h"
#include "ecq/pack/window_encoder.h"

namespace ecq {
namespace {

QuantizedTensor MixedTensor(uint32_t rows, uint32_t cols, bool has_memory = true) {
  Rng rng(rows * 7919 + cols);
  RandomWindowOptions options;
  options.rows = rows;
  options.cols = cols;
  options.has_memory = has_memory;
  options.span_ends = {32, 64, 96, 128, 160, cols};
  options.tuple_bits = {8, 10, 14, 4, 16, 6};
  options.fixes = {{0, 0, 5}, {rows - 1, cols - 1, -7}};
  return RandomWindowTensor(rng, options);
}

TEST(WindowPackTest, DecodesToTheLevelsInEveryShape) {
  Rng rng(1);
  for (const uint32_t tuple_bits : kWindowTupleBits) {
    for (const bool has_memory : {false, true}) {
      for (const auto& [rows, cols] : {std::pair{1u, 1u},
                                       {1u, 32u},
                                       {3u, 33u},
                                       {31u, 4u},
                                       {32u, 64u},
                                       {33u, 70u},
                                       {100u, 2100u},
                                       {257u, 31u}}) {
        RandomWindowOptions options;
        options.rows = rows;
        options.cols = cols;
        options.has_memory = has_memory;
        options.tuple_bits = {tuple_bits};
        const QuantizedTensor tensor = RandomWindowTensor(rng, options);
        const PackedTensor packed = MustPack(tensor);
        ASSERT_EQ(packed.desc.codec, CodecId::kWindow);
        EXPECT_EQ(packed.desc.has_memory, has_memory ? 1u : 0u);
        EXPECT_TRUE(DecodeWindowPayload(packed) == tensor.levels)
            << rows << " x " << cols << ", " << tuple_bits << " bits a tuple";
      }
    }
  }
}

TEST(WindowPackTest, SpansMixRawBitsAndFixesAreKept) {
  for (const uint32_t rows : {5u, 64u, 1000u}) {
    const QuantizedTensor tensor = MixedTensor(rows, 182);
    const PackedTensor packed = MustPack(tensor, {CodecId::kWindow}, 2);
    EXPECT_TRUE(DecodeWindowPayload(packed) == tensor.levels) << rows;
    EXPECT_TRUE(std::ranges::equal(packed.fixes, tensor.fixes));
    EXPECT_EQ(packed.windows, tensor.window->tables);
    EXPECT_TRUE(packed.tables.empty());
    EXPECT_TRUE(std::ranges::equal(MustPack(tensor).payload, packed.payload)) << "threads";
  }
}

// The tile of docs/format.md, 4.3.
TEST(WindowPackTest, TheTileOfThePage) {
  QuantizedTensor tensor;
  tensor.rows = 2;
  tensor.cols = 4;
  tensor.grid = "page";
  tensor.scales.assign(2, 0x3c00);
  WindowCodes& codes = tensor.window.emplace();
  codes.has_memory = true;
  WindowTable& table = codes.tables.emplace_back();
  table.raw_bits = 2;
  for (int8_t j = 0; j < 4; ++j) {
    table.entries[5][j] = static_cast<int8_t>(1 + j);
    table.entries[9][j] = static_cast<int8_t>(5 + j);
  }
  codes.bytes = {0x85, 0, 0, 0, 0, 0, 0, 0, 0x09, 0, 0, 0, 0, 0, 0, 0};
  codes.raw = {2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
  tensor.levels = {1, -2, 3, -4, -7, -8, 6, 5};
  const PackedTensor packed = MustPack(tensor);
  const std::vector<uint8_t> expected{0x85, 0, 0, 0, 0x09, 0, 0, 0, 0, 0,
                                      0,    0, 0, 0, 0,    0, 2, 0, 1, 0};
  ASSERT_EQ(packed.index.back() * kIndexUnitBytes, expected.size());
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), packed.payload.begin()));
}

// The tiles of short codes and of 6 raw bits on that page.
TEST(WindowPackTest, TheOtherTilesOfThePage) {
  struct Case {
    uint32_t tuple_bits;
    std::vector<uint8_t> codes;  // of two rows
    std::vector<uint8_t> raw;
    std::vector<uint8_t> expected;
  };
  const Case kCases[] = {
      {4,
       {0x5, 0, 0, 0, 0xa, 0, 0, 0, 0x9, 0, 0, 0, 0, 0, 0, 0},
       std::vector<uint8_t>(16),
       {0xa5, 0, 0, 0, 0x09, 0, 0, 0}},
      {6,
       {0x25, 0, 0, 0, 0x3a, 0, 0, 0, 0x19, 0, 0, 0, 0, 0, 0, 0},
       std::vector<uint8_t>(16),
       {0xa5, 0, 0, 0, 0x09, 0, 0, 0, 0x02, 0x03, 0x01, 0}},
      {14,
       {0x85, 0, 0, 0, 0, 0, 0, 0, 0x09, 0, 0, 0, 0, 0, 0, 0},
       {0x35, 0x1f, 0, 0, 0, 0, 0, 0, 0x21, 0, 0, 0, 0, 0, 0, 0},
       {0x85, 0, 0,    0, 0x09, 0, 0,    0, 0, 0, 0,    0, 0,    0,
        0,    0, 0xf5, 0, 0,    0, 0x01, 0, 0, 0, 0x07, 0, 0x02, 0}},
  };
  for (const Case& c : kCases) {
    WindowCodes codes;
    codes.bytes = c.codes;
    codes.raw = c.raw;
    codes.tables = {EmptyWindowTable(c.tuple_bits, 0)};
    const std::vector<ColumnSpan> spans{{0, 32, 0, 0}};
    EXPECT_EQ(EncodeWindowTile(codes, spans, 0, 2), c.expected) << c.tuple_bits;
  }
}

TEST(WindowPackTest, SizesAreExact) {
  // 1, 1.5, ... and 4 bits for each weight, where rows fill their groups.
  for (const uint32_t tuple_bits : kWindowTupleBits) {
    Rng rng(2);
    RandomWindowOptions options;
    options.rows = 512;
    options.cols = 2048;
    options.tuple_bits = {tuple_bits};
    const PackedTensor packed = MustPack(RandomWindowTensor(rng, options));
    EXPECT_EQ(packed.payload.size() * 8 * 4, packed.num_weights() * tuple_bits);
    EXPECT_EQ(packed.desc.num_tiles, 16u);
    EXPECT_EQ(packed.total_bytes(),
              packed.payload.size() + 17 * 4 + 512 * 2 + WindowTableBytes(packed.windows[0]));
  }
  // An odd number of rows with 2 raw bits: 3 * 10 bytes and 2 of padding.
  Rng rng(3);
  RandomWindowOptions options;
  options.rows = 3;
  options.cols = 9;
  options.tuple_bits = {10};
  const PackedTensor odd = MustPack(RandomWindowTensor(rng, options));
  EXPECT_EQ(odd.index.back() * kIndexUnitBytes, 32u);
  EXPECT_EQ(odd.payload[30] | odd.payload[31], 0);
}

TEST(WindowPackTest, AFileStoresATableOnce) {
  const PackedTensor mixed = MustPack(MixedTensor(33, 182));
  PackedTensor half = mixed;
  half.windows.resize(2);
  FileCost cost;
  EXPECT_EQ(cost.Add(half), half.total_bytes());
  EXPECT_EQ(cost.Add(mixed), mixed.total_bytes() - 2 * 516);
  EXPECT_EQ(cost.Add(mixed), mixed.total_bytes() - 4 * 516 - 68 - 132);
}

TEST(WindowPackTest, AnotherCodecCodesTheLevels) {
  const QuantizedTensor tensor = MixedTensor(64, 182);
  for (const CodecId codec : {CodecId::kRaw, CodecId::kRans}) {
    const PackedTensor packed = MustPack(tensor, {codec});
    EXPECT_EQ(packed.desc.codec, codec);
    EXPECT_TRUE(packed.windows.empty());
  }
}

TEST(WindowPackTest, LevelsAloneHaveNoWindowCode) {
  QuantizedTensor tensor = MixedTensor(64, 182);
  tensor.window.reset();
  ThreadPool pool(1);
  const auto packed = Pack(tensor, {CodecId::kWindow}, pool);
  ASSERT_FALSE(packed.ok());
  EXPECT_EQ(packed.error().code, ErrorCode::kUnsupportedCodec);
  EXPECT_NE(packed.error().message.find("'random'"), std::string::npos);
  EXPECT_NE(MustPack(tensor).desc.codec, CodecId::kWindow);
}

TEST(WindowPackTest, RefusesInconsistentCodes) {
  const QuantizedTensor good = MixedTensor(40, 182);
  using W = WindowCodes;
  const std::pair<const char*, std::function<void(QuantizedTensor&, W&)>> kBreaks[] = {
      {"a table missing", [](auto&, W& w) { w.tables.pop_back(); }},
      {"a byte missing", [](auto&, W& w) { w.bytes.pop_back(); }},
      {"raw bits missing", [](auto&, W& w) { w.raw.pop_back(); }},
      {"a bad table", [](auto&, W& w) { w.tables[1].entries[7][0] = -128; }},
      {"raw bits that are not there", [](auto&, W& w) { w.raw[0] = 1; }},
      {"a code that is too large", [](auto&, W& w) { w.bytes[24] |= 16; }},
      {"a level that differs", [](auto& t, W&) { t.levels[39 * 182 + 181] ^= 1; }},
      {"memory where there is none", [](auto&, W& w) { w.has_memory = false; }},
      {"a span inside a group", [](auto& t, W&) { t.span_ends[1] = 68; }},
  };
  ThreadPool pool(2);
  ASSERT_TRUE(Pack(good, {}, pool).ok());
  for (const auto& [name, damage] : kBreaks) {
    QuantizedTensor bad = good;
    damage(bad, *bad.window);
    const auto packed = Pack(bad, {}, pool);
    ASSERT_FALSE(packed.ok()) << name;
    EXPECT_EQ(packed.error().code, ErrorCode::kInvalidArgument) << name;
    EXPECT_EQ(packed.error().message.rfind("pack: window codes: ", 0), 0u) << name;
  }
}

TEST(WindowPackTest, ValidationRejectsEveryBrokenInvariant) {
  const PackedTensor good = MustPack(MixedTensor(3000, 182));
  ASSERT_GE(good.desc.num_tiles, 2u);
  using P = PackedTensor;
  using Index = std::vector<uint32_t>;
  struct Break {
    const char* name;
    ErrorCode code;
    std::function<void(P&, Index&)> apply;
  };
  const Break kBreaks[] = {
      {"16 lanes", ErrorCode::kBadLayout,
       [](P& p, Index&) {
         p.desc.lanes = 16;
         p.desc.blocks_per_tile *= 2;
       }},
      {"a rotation that leaves columns over", ErrorCode::kBadLayout,
       [](P& p, Index&) { p.desc.rotation = 4; }},
      {"memory 2", ErrorCode::kBadLayout, [](P& p, Index&) { p.desc.has_memory = 2; }},
      {"a table missing", ErrorCode::kBadTable, [](P& p, Index&) { p.windows.pop_back(); }},
      {"a table too many", ErrorCode::kBadTable,
       [](P& p, Index&) { p.windows.push_back(p.windows[0]); }},
      {"3 raw bits", ErrorCode::kBadTable, [](P& p, Index&) { p.windows[0].raw_bits = 3; }},
      {"7 bits of code", ErrorCode::kBadTable, [](P& p, Index&) { p.windows[3].code_bits = 7; }},
      {"raw bits beside a short code", ErrorCode::kBadTable,
       [](P& p, Index&) { p.windows[3].raw_bits = 2; }},
      {"an entry after the last", ErrorCode::kBadTable,
       [](P& p, Index&) { p.windows[3].entries[16][0] = 1; }},
      {"code bits at the end of uint32", ErrorCode::kBadTable,
       [](P& p, Index&) { p.windows[3].code_bits = ~0u; }},
      {"another number of code bits", ErrorCode::kBadLayout,
       [](P& p, Index&) { p.windows[3].code_bits = 6; }},
      {"a step without bits", ErrorCode::kBadTable,
       [](P& p, Index&) { p.windows[0].low_step = 1; }},
      {"a step too wide", ErrorCode::kBadTable, [](P& p, Index&) { p.windows[4].low_step = 255; }},
      {"a step at the end of uint32", ErrorCode::kBadTable,
       [](P& p, Index&) { p.windows[4].low_step = ~0u; }},
      {"an entry of -128", ErrorCode::kBadTable,
       [](P& p, Index&) { p.windows[0].entries[127][3] = -128; }},
      {"an entry that a step leads out", ErrorCode::kBadTable,
       [](P& p, Index&) {
         p.windows[4].low_step = 1;
         p.windows[4].entries[0][0] = 127;
       }},
      {"a span inside a group", ErrorCode::kBadLayout,
       [](P& p, Index&) {
         p.spans[0].end += 4;
         p.spans[1].begin += 4;
       }},
      {"other raw bits", ErrorCode::kBadLayout, [](P& p, Index&) { p.windows[0].raw_bits = 2; }},
      {"a tile too short", ErrorCode::kBadLayout, [](P&, Index& index) { --index[1]; }},
      {"a tile too long", ErrorCode::kBadLayout, [](P&, Index& index) { ++index[1]; }},
      {"the last tile too short", ErrorCode::kBadLayout, [](P&, Index& i) { --i.back(); }},
      {"the last tile too long", ErrorCode::kBadLayout, [](P&, Index& i) { ++i.back(); }},
  };
  ASSERT_TRUE(ValidatePackedTensor(good, "m").ok());
  for (const Break& damage : kBreaks) {
    PackedTensor bad = good;
    Index index(good.index.begin(), good.index.end());
    damage.apply(bad, index);
    bad.index = index;
    const Status status = ValidatePackedTensor(bad, "matrix m");
    ASSERT_FALSE(status.ok()) << damage.name;
    EXPECT_EQ(status.error().code, damage.code) << damage.name << ": " << status.error().message;
    EXPECT_EQ(status.error().message.rfind("matrix m: ", 0), 0u) << status.error().message;
  }
}

}  // namespace
}  // namespace ecq

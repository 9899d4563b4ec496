// Window tables: records and their limits, and what the bits of a tuple do.
#include "ecq/codec/window_table.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <utility>

#include "ecq/base/rng.h"

namespace ecq {
namespace {

WindowTable Uniform(uint32_t raw_bits, std::array<int8_t, 4> entry, uint32_t low_step = 0,
                    uint32_t code_bits = 8) {
  WindowTable table{};
  table.code_bits = code_bits;
  table.raw_bits = raw_bits;
  table.low_step = low_step;
  for (uint32_t i = 0; i < NumWindowEntries(code_bits); ++i) {
    std::copy(entry.begin(), entry.end(), table.entries[i]);
  }
  return table;
}

WindowTable Short(uint32_t code_bits, std::array<int8_t, 4> entry) {
  return Uniform(0, entry, 0, code_bits);
}

std::array<int, 4> Levels(const WindowTable& table, uint8_t code, uint8_t above, uint8_t raw = 0) {
  const WindowTuple tuple = DecodeWindowTuple(table, code, above, raw);
  return {WeightOf(tuple, 0), WeightOf(tuple, 1), WeightOf(tuple, 2), WeightOf(tuple, 3)};
}

using Four = std::array<int, 4>;

TEST(WindowTableTest, RecordsComeBack) {
  Rng rng(1);
  struct Kind {
    uint32_t code_bits;
    uint32_t raw_bits;
    size_t record_bytes;
  };
  constexpr Kind kKinds[] = {{4, 0, 68},  {6, 0, 132}, {8, 0, 516}, {8, 2, 516},
                             {8, 4, 516}, {8, 6, 516}, {8, 8, 516}};
  for (const Kind& kind : kKinds) {
    const bool has_low_bits = kind.raw_bits > 4;
    WindowTable table = Uniform(kind.raw_bits, {}, has_low_bits ? 254 : 0, kind.code_bits);
    for (uint32_t i = 0; i < NumWindowEntries(kind.code_bits); ++i) {
      for (int8_t& weight : table.entries[i]) {
        weight = has_low_bits ? int8_t{-127}
                              : static_cast<int8_t>(static_cast<int>(rng.Below(255)) - 127);
      }
    }
    std::vector<uint8_t> record;
    AppendWindowTable(table, record);
    EXPECT_EQ(record.size(), WindowTableBytes(table));
    EXPECT_EQ(record.size(), kind.record_bytes);
    record.push_back(77);
    std::span<const uint8_t> bytes = record;
    const auto parsed = ParseWindowTable(bytes);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    EXPECT_EQ(*parsed, table);
    EXPECT_EQ(bytes.size(), 1u);
  }
}

TEST(WindowTableTest, HostileRecordsAreRefused) {
  std::vector<uint8_t> good;
  AppendWindowTable(Uniform(8, {0, 120, -127, 5}, 7), good);
  const std::pair<size_t, uint8_t> damages[] = {
      {0, 1},          {0, 4},   {0, 255}, {1, 1}, {1, 3}, {1, 16}, {1, 255}, {2, 8},
      {2, 9},          {2, 255}, {3, 1},   {3, 2}, {3, 4}, {3, 8},  {3, 255}, {4, 0x80},
      {4 + 511, 0x80}, {5, 121}, {9, 127}, {1, 4}, {1, 0},  // a low step that nothing adds
  };
  for (const auto& [at, value] : damages) {
    std::vector<uint8_t> bad = good;
    bad[at] = value;
    std::span<const uint8_t> bytes = bad;
    const auto parsed = ParseWindowTable(bytes);
    ASSERT_FALSE(parsed.ok()) << at << " " << int{value};
    EXPECT_EQ(parsed.error().code, ErrorCode::kBadTable);
    EXPECT_EQ(bytes.size(), bad.size());
  }
  std::vector<uint8_t> shorter;
  AppendWindowTable(Short(6, {1, 2, 3, 4}), shorter);
  for (const std::vector<uint8_t>& record : {good, shorter}) {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{3}, size_t{4}, record.size() - 1}) {
      std::span<const uint8_t> bytes = std::span(record).first(size);
      EXPECT_EQ(ParseWindowTable(bytes).error().code, ErrorCode::kTruncated) << size;
    }
  }
  // A short code has no raw bits, no low step and no bits but those that exist.
  const std::pair<size_t, uint8_t> short_damages[] = {{1, 2}, {1, 8}, {2, 1},   {3, 1},  {3, 3},
                                                      {3, 5}, {3, 6}, {3, 255}, {4, 128}};
  for (const auto& [at, value] : short_damages) {
    std::vector<uint8_t> bad = shorter;
    bad[at] = value;
    std::span<const uint8_t> bytes = bad;
    EXPECT_EQ(ParseWindowTable(bytes).error().code, ErrorCode::kBadTable)
        << at << " " << int{value};
  }
  WindowTable after_the_last = Short(4, {1, 2, 3, 4});
  after_the_last.entries[16][3] = 1;
  EXPECT_EQ(CheckWindowTable(after_the_last).error().code, ErrorCode::kBadTable);
}

// The examples of docs/format.md, 4.3.
TEST(WindowTableTest, TheExampleOfThePage) {
  EXPECT_EQ(Levels(Uniform(0, {1, 2, 3, 4}), 0x85, 0x09), (Four{2, 1, -3, -4}));
  EXPECT_EQ(Levels(Uniform(8, {5, 1, 2, 7}, 1), 0x85, 0x0c, 0x35), (Four{-8, 6, -2, 1}));
  EXPECT_EQ(Levels(Uniform(6, {5, 1, 2, 7}, 1), 0x85, 0x0c, 0x35), (Four{-7, 6, -3, 1}));
  EXPECT_EQ(Levels(Short(6, {1, 2, 3, 4}), 0x25, 0x09), (Four{2, 4, -1, -3}));
}

TEST(WindowTableTest, EveryBitTurnsAsDefined) {
  const WindowTable plain = Uniform(0, {1, 2, 3, 4});
  EXPECT_EQ(Levels(plain, 0, 0), (Four{1, 2, 3, 4}));
  EXPECT_EQ(Levels(plain, 0, 0xf0), (Four{1, 2, 3, 4}));
  EXPECT_EQ(Levels(plain, 0x80, 0), (Four{-1, -2, -3, -4}));
  EXPECT_EQ(Levels(plain, 0, 1), (Four{2, 1, 3, 4}));
  EXPECT_EQ(Levels(plain, 0, 2), (Four{1, 2, 4, 3}));
  EXPECT_EQ(Levels(plain, 0, 4), (Four{3, 4, 1, 2}));
  EXPECT_EQ(Levels(plain, 0, 8), (Four{-1, -2, 3, 4}));
  const WindowTable two = Uniform(2, {1, 2, 3, 4});
  EXPECT_EQ(Levels(two, 0, 8), (Four{1, 3, 2, 4}));
  EXPECT_EQ(Levels(two, 0, 0, 1), (Four{-1, -2, 3, 4}));
  EXPECT_EQ(Levels(two, 0, 0, 2), (Four{-1, 2, -3, 4}));
  EXPECT_EQ(Levels(two, 0, 0, 3), (Four{1, -2, -3, 4}));
  const WindowTable signs = Uniform(4, {1, 2, 3, 4});
  EXPECT_EQ(Levels(signs, 0x80, 0), (Four{3, 4, 1, 2}));
  EXPECT_EQ(Levels(signs, 0, 4), (Four{1, 3, 2, 4}));
  EXPECT_EQ(Levels(signs, 0, 8), (Four{3, 2, 1, 4}));
  EXPECT_EQ(Levels(signs, 0, 0, 9), (Four{-1, 2, 3, -4}));
  const WindowTable low = Uniform(8, {1, 2, 3, -127}, 5);
  EXPECT_EQ(Levels(low, 0, 0, 0xf3), (Four{-6, -7, 8, -122}));
  const WindowTable pair = Uniform(6, {1, 2, 3, -127}, 5);
  EXPECT_EQ(Levels(pair, 0, 0, 0x1f), (Four{-6, -2, -3, 127}));
  EXPECT_EQ(Levels(pair, 0, 0, 0x20), (Four{1, 2, 8, -127}));
  EXPECT_EQ(Levels(pair, 0x80, 0, 0x10), (Four{3, -127, 6, 2}));  // added before the turn
}

TEST(WindowTableTest, EveryBitTurnsShortCodesAsDefined) {
  for (const uint32_t code_bits : {4u, 6u}) {
    const WindowTable table = Short(code_bits, {1, 2, 3, 4});
    EXPECT_EQ(Levels(table, 0, 0), (Four{1, 2, 3, 4}));
    EXPECT_EQ(Levels(table, 15, 0xf0), (Four{1, 2, 3, 4}));
    EXPECT_EQ(Levels(table, 0, 1), (Four{-2, 1, -4, 3}));
    EXPECT_EQ(Levels(table, 0, 2), (Four{-3, 4, 1, -2}));
    EXPECT_EQ(Levels(table, 0, 8), (Four{1, 3, 2, 4}));
  }
  EXPECT_EQ(Levels(Short(4, {1, 2, 3, 4}), 0, 4), (Four{-1, -2, -3, -4}));
  EXPECT_EQ(Levels(Short(6, {1, 2, 3, 4}), 0, 4), (Four{-1, -2, 3, 4}));
  EXPECT_EQ(Levels(Short(6, {1, 2, 3, 4}), 0x20, 0), (Four{-1, -2, -3, -4}));
}

TEST(WindowTableTest, EntriesAreFoundByTheLowSevenBits) {
  WindowTable table = Uniform(4, {0, 0, 0, 0});
  table.entries[5][2] = 9;
  EXPECT_EQ(Levels(table, 0x05, 0), (Four{0, 0, 9, 0}));
  EXPECT_EQ(Levels(table, 0x85, 0), (Four{9, 0, 0, 0}));
  EXPECT_EQ(Levels(table, 0x06, 0), (Four{0, 0, 0, 0}));
  WindowTable few = Short(6, {0, 0, 0, 0});
  few.entries[21][2] = 9;
  EXPECT_EQ(Levels(few, 21, 0), (Four{0, 0, 9, 0}));
  EXPECT_EQ(Levels(few, 32 + 21, 0), (Four{0, 0, -9, 0}));
  EXPECT_EQ(Levels(few, 5, 0), (Four{0, 0, 0, 0}));
}

}  // namespace
}  // namespace ecq

// Window tables: records and their limits, and what the bits of a tuple do.
#include "ecq/codec/window_table.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <utility>

#include "ecq/base/rng.h"

namespace ecq {
namespace {

WindowTable Uniform(uint32_t raw_bits, std::array<int8_t, 4> entry, uint32_t low_step = 0) {
  WindowTable table{};
  table.raw_bits = raw_bits;
  table.low_step = low_step;
  for (auto& row : table.entries) std::copy(entry.begin(), entry.end(), row);
  return table;
}

std::array<int, 4> Levels(const WindowTable& table, uint8_t byte, uint8_t above, uint8_t raw = 0) {
  const WindowTuple tuple = DecodeWindowTuple(table, byte, above, raw);
  return {WeightOf(tuple, 0), WeightOf(tuple, 1), WeightOf(tuple, 2), WeightOf(tuple, 3)};
}

using Four = std::array<int, 4>;

TEST(WindowTableTest, RecordsComeBack) {
  Rng rng(1);
  for (const uint32_t raw_bits : {0u, 2u, 4u, 8u}) {
    WindowTable table = Uniform(raw_bits, {}, raw_bits == 8 ? 254 : 0);
    for (auto& entry : table.entries) {
      for (int8_t& weight : entry) {
        weight = raw_bits == 8 ? int8_t{-127}
                               : static_cast<int8_t>(static_cast<int>(rng.Below(255)) - 127);
      }
    }
    std::vector<uint8_t> record;
    AppendWindowTable(table, record);
    EXPECT_EQ(record.size(), WindowTableBytes());
    EXPECT_EQ(record.size(), 516u);
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
  const std::pair<size_t, uint8_t> damages[] =
      {
          {0, 1},          {0, 4},   {0, 255}, {1, 1},   {1, 3}, {1, 16},
          {1, 255},        {2, 8},   {2, 9},   {2, 255}, {3, 1}, {4, 0x80},
          {4 + 511, 0x80}, {5, 121}, {9, 127}, {1, 4},   {1, 0},  // a low step that nothing adds
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
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4}, good.size() - 1}) {
    std::span<const uint8_t> bytes = std::span(good).first(size);
    EXPECT_EQ(ParseWindowTable(bytes).error().code, ErrorCode::kTruncated) << size;
  }
}

// The example of docs/format.md, 4.3.
TEST(WindowTableTest, TheExampleOfThePage) {
  EXPECT_EQ(Levels(Uniform(0, {1, 2, 3, 4}), 0x85, 0x09), (Four{2, 1, -3, -4}));
  EXPECT_EQ(Levels(Uniform(8, {5, 1, 2, 7}, 1), 0x85, 0x0c, 0x35), (Four{-8, 6, -2, 1}));
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
}

TEST(WindowTableTest, EntriesAreFoundByTheLowSevenBits) {
  WindowTable table = Uniform(4, {0, 0, 0, 0});
  table.entries[5][2] = 9;
  EXPECT_EQ(Levels(table, 0x05, 0), (Four{0, 0, 9, 0}));
  EXPECT_EQ(Levels(table, 0x85, 0), (Four{9, 0, 0, 0}));
  EXPECT_EQ(Levels(table, 0x06, 0), (Four{0, 0, 0, 0}));
}

}  // namespace
}  // namespace ecq

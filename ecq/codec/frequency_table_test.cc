// FrequencyTable: invariants of every factory, the file's records, hostile records.
#include "ecq/codec/frequency_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "ecq/base/rng.h"
#include "ecq/codec/codec.h"

namespace ecq {
namespace {

std::vector<uint32_t> Freqs(const FrequencyTable& table) {
  std::vector<uint32_t> freqs;
  for (int32_t level = table.level_min(); level <= table.level_max(); ++level) {
    freqs.push_back(table.Freq(level));
  }
  return freqs;
}

// Each symbol owns exactly freq consecutive slots, with biases 0 .. freq - 1.
void ExpectSlotsPartitioned(const FrequencyTable& table) {
  const std::vector<RansSlot> slots = table.Slots();
  ASSERT_EQ(slots.size(), size_t{1} << table.prob_bits());
  size_t at = 0;
  for (int32_t level = table.level_min(); level <= table.level_max(); ++level) {
    ASSERT_EQ(table.Cum(level), at) << level;
    for (uint32_t bias = 0; bias < table.Freq(level); ++bias, ++at) {
      ASSERT_EQ(slots[at].level, level);
      ASSERT_EQ(slots[at].bias, bias);
      ASSERT_EQ(slots[at].freq, table.Freq(level));
    }
  }
  ASSERT_EQ(at, slots.size());
}

void ExpectRecordRoundTrips(const FrequencyTable& table) {
  std::vector<uint8_t> record;
  table.AppendTo(record);
  ASSERT_EQ(record.size(), table.SerializedBytes());
  record.push_back(0xaa);  // what follows must stay
  std::span<const uint8_t> bytes = record;
  const auto parsed = FrequencyTable::Parse(bytes);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_TRUE(*parsed == table);
  ASSERT_EQ(bytes.size(), 1u);
  EXPECT_EQ(bytes[0], 0xaa);
  std::vector<uint8_t> again;
  parsed->AppendTo(again);
  record.pop_back();
  EXPECT_EQ(again, record);
  // Every shorter record ends too early.
  for (size_t size = 0; size < record.size(); ++size) {
    std::span<const uint8_t> cut = std::span(record).first(size);
    const auto truncated = FrequencyTable::Parse(cut);
    ASSERT_FALSE(truncated.ok());
    EXPECT_EQ(truncated.error().code, ErrorCode::kTruncated) << size;
  }
}

void ExpectInvariants(const FrequencyTable& table) {
  const std::vector<uint32_t> freqs = Freqs(table);
  ASSERT_EQ(std::accumulate(freqs.begin(), freqs.end(), uint64_t{0}), 1u << table.prob_bits());
  ASSERT_GE(table.level_min(), FrequencyTable::kMinLevel);
  ASSERT_LE(table.level_max(), FrequencyTable::kMaxLevel);
  EXPECT_FALSE(table.Contains(table.level_min() - 1));
  EXPECT_FALSE(table.Contains(table.level_max() + 1));
  ExpectSlotsPartitioned(table);
}

// Histograms over 1 to 256 levels: flat, steep, with holes, with counts up to 2^50.
std::vector<uint64_t> RandomCounts(Rng& rng) {
  const size_t levels = 1 + rng.Below(rng.Below(2) == 0 ? 256 : 8);
  const double decay = rng.Uniform() * 2;
  const uint64_t scale = uint64_t{1} << rng.Below(50);
  std::vector<uint64_t> counts(levels);
  for (size_t i = 0; i < levels; ++i) {
    if (rng.Below(5) == 0) continue;
    counts[i] = 1 + rng.Below(1 + static_cast<uint64_t>(scale * std::exp(-decay * i)));
  }
  counts[rng.Below(levels)] += 1;
  return counts;
}

TEST(FrequencyTableTest, NormalisationKeepsEveryLevelAndSumsExactly) {
  Rng rng(2);
  for (int i = 0; i < 3000; ++i) {
    const uint32_t prob_bits = kRansMinProbBits + static_cast<uint32_t>(rng.Below(7));
    const auto counts = RandomCounts(rng);
    const int32_t low = -128 + static_cast<int32_t>(rng.Below(257 - counts.size()));
    const auto table = FrequencyTable::FromCounts(counts, low, prob_bits);
    ASSERT_TRUE(table.ok()) << table.error().message;
    for (size_t s = 0; s < counts.size(); ++s) {
      ASSERT_EQ(counts[s] > 0, table->Contains(low + static_cast<int32_t>(s))) << i;
    }
    ASSERT_NO_FATAL_FAILURE(ExpectInvariants(*table)) << i;
    if (i % 20 == 0) {
      ASSERT_NO_FATAL_FAILURE(ExpectRecordRoundTrips(*table)) << i;
    }
  }
}

// The best integer frequencies for a cross-entropy cannot be improved by moving a single slot.
TEST(FrequencyTableTest, NoSingleMoveImprovesTheCrossEntropy) {
  Rng rng(3);
  for (int i = 0; i < 60; ++i) {
    std::vector<uint64_t> counts(2 + rng.Below(30));
    for (uint64_t& c : counts) c = 1 + rng.Below(uint64_t{1} << (4 + rng.Below(16)));
    const auto table = FrequencyTable::FromCounts(counts, 0, 8 + rng.Below(5));
    ASSERT_TRUE(table.ok());
    const auto freqs = Freqs(*table);
    double best_gain = 0;
    double best_loss = 1e300;
    for (size_t s = 0; s < counts.size(); ++s) {
      best_gain = std::max(best_gain, counts[s] * std::log2((freqs[s] + 1.0) / freqs[s]));
      if (freqs[s] > 1) {
        best_loss = std::min(best_loss, counts[s] * std::log2(freqs[s] / (freqs[s] - 1.0)));
      }
    }
    // Rounding each count first leaves moves that gain less than 0.01 % of the total.
    EXPECT_LE(best_gain - best_loss, 1e-4 * table->CrossEntropyBits(counts, 0) + 1e-9) << i;
  }
}

TEST(FrequencyTableTest, DegenerateHistograms) {
  const auto single = FrequencyTable::FromCounts(std::vector<uint64_t>{0, 0, 7, 0}, -2, 12);
  ASSERT_TRUE(single.ok());
  EXPECT_EQ(single->num_levels(), 1u);
  EXPECT_EQ(single->Freq(0), 4096u);
  EXPECT_EQ(single->CodeLengthBits(0), 0);
  EXPECT_TRUE(std::isinf(single->CodeLengthBits(1)));

  const auto skewed = FrequencyTable::FromCounts(std::vector<uint64_t>{1, 1000000000}, 0, 14);
  ASSERT_TRUE(skewed.ok());
  EXPECT_EQ(Freqs(*skewed), (std::vector<uint32_t>{1, 16383}));

  const auto full = FrequencyTable::FromCounts(std::vector<uint64_t>(256, 3), -128, 8);
  ASSERT_TRUE(full.ok());
  EXPECT_EQ(Freqs(*full), std::vector<uint32_t>(256, 1));
  // 256 levels in 256 slots: nothing to choose, however unequal the counts.
  std::vector<uint64_t> unequal(256, 1);
  unequal[128] = 1u << 30;
  const auto forced = FrequencyTable::FromCounts(unequal, -128, 8);
  ASSERT_TRUE(forced.ok());
  EXPECT_EQ(Freqs(*forced), std::vector<uint32_t>(256, 1));
}

TEST(FrequencyTableTest, FromCountsRefusesWhatHasNoTable) {
  const auto code = [](const std::vector<uint64_t>& counts, int32_t low, uint32_t prob_bits) {
    const auto table = FrequencyTable::FromCounts(counts, low, prob_bits);
    return table.ok() ? ErrorCode::kInternal : table.error().code;
  };
  EXPECT_EQ(code({}, 0, 12), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({0, 0}, 0, 12), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({1}, 128, 12), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({1}, -129, 12), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({1, 1}, 127, 12), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({1}, 0, 7), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({1}, 0, 15), ErrorCode::kInvalidArgument);
}

// Values computed from docs/format.md, 5.2, with unbounded integers: a decoder on any machine must
// arrive at the same table.
TEST(FrequencyTableTest, GaussianTablesArePinned) {
  const auto freqs = [](uint32_t rho, int32_t low, uint32_t n, uint32_t prob_bits) {
    const auto table = FrequencyTable::Gaussian(rho, low, n, prob_bits);
    EXPECT_TRUE(table.ok());
    return Freqs(*table);
  };
  using V = std::vector<uint32_t>;
  EXPECT_EQ(freqs(2605029347u, -4, 9, 8), (V{1, 2, 14, 61, 100, 61, 14, 2, 1}));
  EXPECT_EQ(freqs(3964754518u, -7, 12, 12),
            (V{14, 38, 92, 189, 330, 492, 626, 678, 626, 492, 330, 189}));
  EXPECT_EQ(freqs(4294967295u, -8, 16, 8),
            (V{15, 15, 15, 15, 16, 17, 17, 17, 17, 17, 17, 17, 16, 15, 15, 15}));
  EXPECT_EQ(freqs(0, -2, 5, 8), (V{1, 1, 252, 1, 1}));
  const V wide = freqs(4292581865u, -128, 256, 14);
  uint64_t checksum = 0;
  for (size_t i = 0; i < wide.size(); ++i) checksum += (i + 1) * wide[i];
  EXPECT_EQ(wide[64], 23u);
  EXPECT_EQ(wide[127], 216u);
  EXPECT_EQ(wide[128], 216u);
  EXPECT_EQ(checksum % 1000003, 113350u);
}

TEST(FrequencyTableTest, GaussianTablesKeepTheInvariantsForEveryParameter) {
  Rng rng(4);
  for (int i = 0; i < 2000; ++i) {
    const uint32_t prob_bits = kRansMinProbBits + static_cast<uint32_t>(rng.Below(7));
    const int32_t low = -static_cast<int32_t>(rng.Below(129));
    const uint32_t n = 1 + static_cast<uint32_t>(-low + rng.Below(128));
    const uint32_t rho = static_cast<uint32_t>(rng.Next());
    const auto table = FrequencyTable::Gaussian(rho, low, n, prob_bits);
    ASSERT_TRUE(table.ok()) << table.error().message;
    for (int32_t level = low; level <= table->level_max(); ++level) {
      ASSERT_TRUE(table->Contains(level));
    }
    ASSERT_NO_FATAL_FAILURE(ExpectInvariants(*table)) << i;
    if (i % 20 == 0) {
      ASSERT_NO_FATAL_FAILURE(ExpectRecordRoundTrips(*table)) << i;
    }
  }
}

TEST(FrequencyTableTest, GaussianRefusesRangesWithoutZero) {
  EXPECT_EQ(FrequencyTable::Gaussian(1u << 31, 1, 4, 12).error().code, ErrorCode::kBadTable);
  EXPECT_EQ(FrequencyTable::Gaussian(1u << 31, -5, 5, 12).error().code, ErrorCode::kBadTable);
  EXPECT_EQ(FrequencyTable::Gaussian(1u << 31, 0, 0, 12).error().code, ErrorCode::kBadTable);
}

struct BadRecord {
  const char* rule;
  std::vector<uint8_t> bytes;
};

// One record for each "bad table" of docs/format.md, 5.
TEST(FrequencyTableTest, HostileRecordsAreBadTables) {
  const BadRecord kRecords[] = {
      {"kind 0", {0, 8, 0, 0, 0x80, 0x02}},
      {"kind 3", {3, 8, 0, 0, 0x80, 0x02}},
      {"prob_bits 7", {1, 7, 0, 0, 0x80, 0x01}},
      {"prob_bits 15", {1, 15, 0, 0, 0x80, 0x80, 0x02}},
      {"levels end at 128", {1, 8, 127, 1, 0xff, 0x01, 0x01}},
      {"levels end at 255", {1, 8, 0, 255}},
      {"frequency of 4 bytes", {1, 8, 0, 0, 0x80, 0x82, 0x80, 0x00}},
      {"frequency above 2^prob_bits", {1, 8, 0, 0, 0x81, 0x02}},
      {"largest 3-byte frequency", {1, 14, 0, 0, 0xff, 0xff, 0x7f}},
      {"sum below 2^prob_bits", {1, 8, 0, 1, 0x7f, 0x7f}},
      {"sum above 2^prob_bits", {1, 8, 0, 1, 0x80, 0x02, 0x01}},
      {"all frequencies zero", {1, 8, 0, 2, 0, 0, 0}},
      {"gaussian above zero", {2, 12, 1, 3, 0, 0, 0, 0x80}},
      {"gaussian below zero", {2, 12, 0xf0, 3, 0, 0, 0, 0x80}},
      {"gaussian ends at 128", {2, 12, 0xff, 129, 0, 0, 0, 0x80}},
  };
  for (const BadRecord& record : kRecords) {
    std::span<const uint8_t> bytes = record.bytes;
    const auto table = FrequencyTable::Parse(bytes);
    ASSERT_FALSE(table.ok()) << record.rule;
    EXPECT_EQ(table.error().code, ErrorCode::kBadTable) << record.rule;
    EXPECT_FALSE(table.error().message.empty());
  }
}

TEST(FrequencyTableTest, RandomRecordsNeverBreakTheInvariants) {
  Rng rng(5);
  int accepted = 0;
  for (int i = 0; i < 200000; ++i) {
    std::vector<uint8_t> record(4 + rng.Below(12));
    for (uint8_t& byte : record) byte = static_cast<uint8_t>(rng.Next());
    record[0] = static_cast<uint8_t>(1 + rng.Below(2));
    record[1] = static_cast<uint8_t>(7 + rng.Below(9));
    if (rng.Below(2) == 0) record[3] = static_cast<uint8_t>(rng.Below(3));
    std::span<const uint8_t> bytes = record;
    const auto table = FrequencyTable::Parse(bytes);
    if (!table.ok()) continue;
    if (++accepted % 64 == 0) {
      ASSERT_NO_FATAL_FAILURE(ExpectInvariants(*table));
    }
  }
  EXPECT_GT(accepted, 1000);
}

TEST(FrequencyTableTest, CrossEntropyIsTheSumOfCodeLengths) {
  const auto table = FrequencyTable::FromCounts(std::vector<uint64_t>{1, 2, 1}, -1, 8);
  ASSERT_TRUE(table.ok());
  EXPECT_DOUBLE_EQ(table->CodeLengthBits(0), 1.0);
  EXPECT_DOUBLE_EQ(table->CodeLengthBits(1), 2.0);
  EXPECT_DOUBLE_EQ(table->CrossEntropyBits(std::vector<uint64_t>{4, 0, 4}, -1), 16.0);
  EXPECT_TRUE(std::isinf(table->CrossEntropyBits(std::vector<uint64_t>{1}, 5)));
}

}  // namespace
}  // namespace ecq

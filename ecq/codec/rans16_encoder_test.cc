#include "ecq/codec/rans16_encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <map>
#include <set>
#include <string>

#include "ecq/base/bytes.h"
#include "ecq/base/rng.h"
#include "ecq/codec/rans16_table.h"

namespace ecq {
namespace {

FrequencyTable MustCount(const std::vector<uint64_t>& counts, int32_t level_min) {
  auto table = FrequencyTable::FromCounts(counts, level_min, kRans16ProbBits);
  EXPECT_TRUE(table.ok());
  return std::move(table).value();
}

// Between 2 and 32 levels of random frequencies, some of them gaps.
FrequencyTable RandomTable(Rng& rng) {
  std::vector<uint64_t> counts(2 + rng.Below(31));
  for (uint64_t& count : counts) count = rng.Below(4) == 0 ? 0 : 1 + rng.Below(200);
  counts.front() = counts.back() = 1 + rng.Below(100);
  return MustCount(counts, -static_cast<int32_t>(rng.Below(97)));
}

TEST(Rans16TableTest, EverySlotHasOneOwnerAndEveryRankOneSlot) {
  Rng rng(21);
  for (int i = 0; i < 500; ++i) {
    const FrequencyTable table = RandomTable(rng);
    ASSERT_TRUE(CheckRans16Table(table, 0, "").ok());
    const std::vector<RansSlot> slots = ArrangeRans16(table, 0).Slots();
    ASSERT_EQ(slots.size(), kRans16Slots);
    std::map<int32_t, std::set<uint32_t>> ranks;
    for (const RansSlot& slot : slots) {
      ASSERT_EQ(slot.freq, table.Freq(slot.level));
      ASSERT_LT(slot.bias, slot.freq);
      ASSERT_TRUE(ranks[slot.level].insert(slot.bias).second);
    }
    for (const auto& [level, seen] : ranks) ASSERT_EQ(seen.size(), table.Freq(level));
  }
}

// What lets a kernel look at one threshold per bucket.
TEST(Rans16TableTest, ABucketHasTwoOwnersAtMostTheFirstItsOwnSymbol) {
  Rng rng(22);
  for (int i = 0; i < 500; ++i) {
    const Rans16Table table = ArrangeRans16(RandomTable(rng), 0);
    for (uint32_t b = 0; b < kRans16MaxSymbols; ++b) {
      const Rans16Bucket& bucket = table.buckets[b];
      ASSERT_LE(bucket.own, kRans16BucketSlots);
      ASSERT_LE(bucket.own, table.freqs[b]);
      if (bucket.own < kRans16BucketSlots) {
        ASSERT_NE(bucket.other, b);
        ASSERT_GT(table.freqs[bucket.other], 0);
      }
      if (bucket.own == 0) {
        ASSERT_GT(b, bucket.other);
      }
    }
  }
}

TEST(Rans16TableTest, RefusesWhatDoesNotFit) {
  const auto refused = [](const FrequencyTable& table, uint32_t low_bits = 0) {
    const Status status = CheckRans16Table(table, low_bits, "span 3");
    EXPECT_FALSE(status.ok());
    if (status.ok()) return std::string();
    EXPECT_EQ(status.error().code, ErrorCode::kBadTable);
    EXPECT_EQ(status.error().message.rfind("span 3: codec rans16: ", 0), 0u);
    return status.error().message;
  };
  const auto bits9 = FrequencyTable::FromCounts(std::vector<uint64_t>{1, 1}, 0, 9);
  EXPECT_NE(refused(*bits9).find("got 9"), std::string::npos);
  EXPECT_NE(refused(MustCount({7}, 0)).find("255"), std::string::npos);
  EXPECT_NE(refused(MustCount(std::vector<uint64_t>(33, 1), 0)).find("got 33"), std::string::npos);
  EXPECT_NE(refused(MustCount({1, 1}, 63), 1).find("low bits"), std::string::npos);
  EXPECT_NE(refused(MustCount({1, 1}, -33), 2).find("low bits"), std::string::npos);
  EXPECT_TRUE(CheckRans16Table(MustCount(std::vector<uint64_t>(32, 1), 0), 2, "").ok());
  EXPECT_TRUE(CheckRans16Table(MustCount(std::vector<uint64_t>(32, 1), -32), 2, "").ok());
  EXPECT_TRUE(CheckRans16Table(MustCount({255, 1}, 62), 1, "").ok());
}

// The stream as docs/format.md, 4.4, defines it, step by step.
std::vector<uint8_t> EncodeByDefinition(const TileLevels& tile,
                                        const std::vector<FrequencyTable>& tables,
                                        const std::vector<ColumnSpan>& spans, uint32_t lanes,
                                        uint32_t low_bits = 0) {
  std::vector<uint32_t> states(std::min(lanes, tile.rows), kRans16LowerBound);
  std::deque<uint8_t> bytes;
  const uint32_t blocks = static_cast<uint32_t>(DivideRoundUp(tile.rows, lanes));
  for (uint32_t block = blocks; block-- > 0;) {
    for (uint32_t col = tile.cols; col-- > 0;) {
      size_t span = 0;
      while (spans[span].end <= col) ++span;
      const std::vector<RansSlot> slots = ArrangeRans16(tables[span], 0).Slots();
      const uint32_t active = std::min(lanes, tile.rows - block * lanes);
      const int8_t* const column = tile.data + block * lanes * tile.stride + col;
      for (uint32_t lane = active; lane-- > 0;) {
        const int32_t level = column[lane * tile.stride] >> low_bits;
        const uint32_t freq = tables[span].Freq(level);
        uint32_t& x = states[lane];
        if (x >= Rans16PushLimit(freq)) {
          bytes.push_front(static_cast<uint8_t>(x));
          x >>= 8;
        }
        uint32_t slot = 0;
        while (slots[slot].level != level || slots[slot].bias != x % freq) ++slot;
        x = x / freq << 8 | slot;
      }
      for (uint32_t plane = low_bits; plane-- > 0;) {
        for (uint32_t first = (active - 1) / 8 * 8 + 8; first > 0; first -= 8) {
          uint32_t byte = 0;
          for (uint32_t lane = first - 8; lane < std::min(first, active); ++lane) {
            byte |= (column[lane * tile.stride] >> plane & 1u) << lane % 8;
          }
          bytes.push_front(static_cast<uint8_t>(byte));
        }
      }
    }
  }
  std::vector<uint8_t> out;
  for (const uint32_t state : states) {
    out.push_back(static_cast<uint8_t>(state));
    out.push_back(static_cast<uint8_t>(state >> 8));
  }
  out.insert(out.end(), bytes.begin(), bytes.end());
  out.resize(AlignUp(out.size(), 4));
  return out;
}

std::vector<uint8_t> Encode(const TileLevels& tile, const std::vector<FrequencyTable>& tables,
                            const std::vector<ColumnSpan>& spans, uint32_t lanes,
                            uint32_t low_bits = 0) {
  CodecPlan plan;
  plan.low_bits = low_bits;
  plan.codec = CodecId::kRans16;
  plan.tables = tables;
  std::vector<uint8_t> out;
  MakeRans16Encoder(plan, spans, lanes)->Encode(tile, out);
  return out;
}

TEST(Rans16EncoderTest, DivisionFreePushIsExactForEveryFrequency) {
  Rng rng(23);
  for (uint32_t freq = 1; freq < kRans16Slots; ++freq) {
    const FrequencyTable table = MustCount({freq, kRans16Slots - freq}, 0);
    ASSERT_EQ(table.Freq(0), freq);
    std::vector<int8_t> levels(64);
    for (int8_t& level : levels) level = static_cast<int8_t>(rng.Below(2));
    const std::vector<ColumnSpan> spans{{0, 32, 0, kRans16ProbBits}};
    const TileLevels tile{levels.data(), 32, 2, 32};
    ASSERT_EQ(Encode(tile, {table}, spans, 2), EncodeByDefinition(tile, {table}, spans, 2)) << freq;
  }
}

TEST(Rans16EncoderTest, StreamIsTheDefinedOneForEveryShape) {
  Rng rng(24);
  for (int i = 0; i < 100; ++i) {
    const uint32_t lanes = 1u << rng.Below(6);
    const uint32_t low_bits = static_cast<uint32_t>(rng.Below(kRans16MaxLowBits + 1));
    const uint32_t rows = 1 + static_cast<uint32_t>(rng.Below(70));
    const uint32_t cols = 2 + static_cast<uint32_t>(rng.Below(20));
    const uint32_t cut = 1 + static_cast<uint32_t>(rng.Below(cols - 1));
    const std::vector<ColumnSpan> spans{{0, cut, 0, 8}, {cut, cols, 1, 8}};
    // Levels near 0, so that they stay in range with low bits.
    const std::vector<FrequencyTable> tables{MustCount({5, 0, 9, 200, 40}, -3),
                                             MustCount({1, 1, 3, 1, 0, 7}, -1)};
    const std::vector<RansSlot> slots[] = {ArrangeRans16(tables[0], low_bits).Slots(),
                                           ArrangeRans16(tables[1], low_bits).Slots()};
    // A stride beyond the columns: a tile is a part of a wider matrix.
    const size_t stride = cols + rng.Below(3);
    std::vector<int8_t> levels(rows * stride, 127);
    for (uint32_t r = 0; r < rows; ++r) {
      for (uint32_t c = 0; c < cols; ++c) {
        levels[r * stride + c] =
            static_cast<int8_t>(slots[c < cut ? 0 : 1][rng.Below(kRans16Slots)].level +
                                static_cast<int32_t>(rng.Below(1u << low_bits)));
      }
    }
    const TileLevels tile{levels.data(), stride, rows, cols};
    ASSERT_EQ(Encode(tile, tables, spans, lanes, low_bits),
              EncodeByDefinition(tile, tables, spans, lanes, low_bits));
  }
}

Histogram GaussianHistogram(double sigma) {
  Histogram histogram;
  for (int32_t level = -15; level <= 15; ++level) {
    histogram[level] = static_cast<uint64_t>(1e7 * std::exp(-0.5 * level * level / sigma / sigma));
  }
  return histogram;
}

// States of 8 bits beyond the slot cost little: the size is that of the code lengths within 0.5 %.
TEST(Rans16EncoderTest, SizeIsTheCrossEntropy) {
  constexpr uint32_t kRows = 128;
  constexpr uint32_t kCols = 1024;
  for (const double sigma : {0.6, 1.0, 1.6, 2.0, 4.0}) {
    Rng rng(25);
    const Histogram wanted = GaussianHistogram(sigma);
    const auto plan = PlanRans16({&wanted, 1}, 12);
    ASSERT_TRUE(plan.has_value());
    const FrequencyTable& table = plan->tables[0];
    const std::vector<RansSlot> slots = table.Slots();
    std::vector<int8_t> levels(kRows * kCols);
    Histogram histogram;
    for (int8_t& level : levels) {
      level = static_cast<int8_t>(slots[rng.Below(slots.size())].level);
      ++histogram[level];
    }
    for (const uint32_t lanes : {1u, 32u}) {
      const std::vector<ColumnSpan> spans{{0, kCols, 0, kRans16ProbBits}};
      const TileLevels tile{levels.data(), kCols, kRows, kCols};
      const double bytes = static_cast<double>(Encode(tile, {table}, spans, lanes).size());
      const double ideal = table.CrossEntropyBits(histogram.counts, Histogram::kMinLevel) / 8;
      EXPECT_LE(bytes, 1.005 * ideal + Rans16TileOverheadBytes(lanes)) << sigma;
      EXPECT_GE(bytes, ideal) << sigma << ": smaller than its own code lengths";
    }
  }
}

// Rare levels take a slot each; Pack() lists most of them, a plan does not.
TEST(PlanRans16Test, ReachesTheEntropyWithinTwoPercent) {
  for (const double sigma : {0.6, 1.0, 1.6, 2.0, 4.0}) {
    const Histogram histogram = GaussianHistogram(sigma);
    const auto plan = PlanRans16({&histogram, 1}, 12);
    ASSERT_TRUE(plan.has_value());
    EXPECT_EQ(plan->codec, CodecId::kRans16);
    EXPECT_GE(plan->payload_bits, histogram.EntropyBits() * (1 - 1e-12));
    EXPECT_LE(plan->payload_bits, 1.02 * histogram.EntropyBits()) << sigma;
  }
}

TEST(PlanRans16Test, RefusesWhatItCannotCode) {
  Histogram histogram;
  EXPECT_FALSE(PlanRans16({&histogram, 1}, 12).has_value());
  for (int32_t level = 0; level < 33; ++level) histogram[level] = 10;
  EXPECT_FALSE(PlanRans16({&histogram, 1}, 12).has_value());
  histogram[32] = 0;
  EXPECT_TRUE(PlanRans16({&histogram, 1}, 12).has_value());
  EXPECT_FALSE(PlanRans16({&histogram, 1}, 7).has_value());
}

// No symbol may have all slots, so a level that is alone gets 255 of them.
TEST(PlanRans16Test, ALevelThatIsAloneGetsANeighbour) {
  for (const int32_t level : {-128, -5, 0, 127}) {
    Histogram histogram;
    histogram[level] = 1000;
    const auto plan = PlanRans16({&histogram, 1}, 12);
    ASSERT_TRUE(plan.has_value()) << level;
    EXPECT_EQ(plan->tables[0].Freq(level), 255u);
    EXPECT_TRUE(CheckRans16Table(plan->tables[0], 0, "").ok());
  }
}

}  // namespace
}  // namespace ecq

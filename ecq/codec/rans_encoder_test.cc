// The rANS encoder: its stream against plain divisions, and its size against the entropy.
#include "ecq/codec/rans_encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <functional>
#include <string>

#include "ecq/base/bytes.h"
#include "ecq/base/rng.h"

namespace ecq {
namespace {

// docs/format.md, 4.2, as slowly as it can be written: RansPush() with its divisions, one word at a
// time put in front of the others.
std::vector<uint8_t> EncodeByDefinition(const TileLevels& tile,
                                        const std::vector<FrequencyTable>& tables,
                                        const std::vector<ColumnSpan>& spans, uint32_t lanes) {
  std::vector<uint32_t> states(std::min(lanes, tile.rows), kRansLowerBound);
  std::deque<uint16_t> words;
  const uint32_t blocks = static_cast<uint32_t>(DivideRoundUp(tile.rows, lanes));
  for (uint32_t block = blocks; block-- > 0;) {
    for (uint32_t col = tile.cols; col-- > 0;) {
      size_t span = 0;
      while (spans[span].end <= col) ++span;
      const FrequencyTable& table = tables[span];
      for (uint32_t lane = std::min(lanes, tile.rows - block * lanes); lane-- > 0;) {
        const int32_t level = tile.data[(block * lanes + lane) * tile.stride + col];
        uint32_t& x = states[lane];
        if (x >= RansPushLimit(table.Freq(level), table.prob_bits())) {
          words.push_front(static_cast<uint16_t>(x));
          x >>= 16;
        }
        x = RansPush(x, table.Freq(level), table.Cum(level), table.prob_bits());
      }
    }
  }
  std::vector<uint8_t> out(
      AlignUp(states.size() * sizeof(uint32_t) + words.size() * sizeof(uint16_t), 4));
  std::memcpy(out.data(), states.data(), states.size() * sizeof(uint32_t));
  for (size_t i = 0; i < words.size(); ++i) {
    StoreLe(out.data() + states.size() * sizeof(uint32_t) + i * sizeof(uint16_t), words[i]);
  }
  return out;
}

CodecPlan PlanOf(std::vector<FrequencyTable> tables) {
  CodecPlan plan;
  plan.codec = CodecId::kRans;
  plan.tables = std::move(tables);
  return plan;
}

std::vector<uint8_t> Encode(const TileLevels& tile, const std::vector<FrequencyTable>& tables,
                            const std::vector<ColumnSpan>& spans, uint32_t lanes) {
  std::vector<uint8_t> out;
  MakeRansEncoder(PlanOf(tables), spans, lanes)->Encode(tile, out);
  return out;
}

TileLevels Tile(const std::vector<int8_t>& levels, uint32_t rows, uint32_t cols) {
  return {levels.data(), cols, rows, cols};
}

Histogram Count(const std::vector<int8_t>& levels) {
  Histogram histogram;
  for (const int8_t level : levels) ++histogram[level];
  return histogram;
}

// All frequencies f of every precision, against symbols of frequency M - f, on states that the
// symbols before have scrambled.
TEST(RansEncoderTest, DivisionFreePushIsExactForEveryFrequency) {
  Rng rng(11);
  for (uint32_t prob_bits = kRansMinProbBits; prob_bits <= kRansMaxProbBits; ++prob_bits) {
    const uint32_t total = 1u << prob_bits;
    for (uint32_t freq = 1; freq < total; ++freq) {
      const auto table =
          FrequencyTable::FromCounts(std::vector<uint64_t>{freq, total - freq}, 0, prob_bits);
      ASSERT_TRUE(table.ok());
      ASSERT_EQ(table->Freq(0), freq);
      std::vector<int8_t> levels(48);
      for (int8_t& level : levels) level = static_cast<int8_t>(rng.Below(2));
      const std::vector<ColumnSpan> spans{{0, 24, 0, prob_bits}};
      ASSERT_EQ(Encode(Tile(levels, 2, 24), {*table}, spans, 2),
                EncodeByDefinition(Tile(levels, 2, 24), {*table}, spans, 2))
          << freq << " of 2^" << prob_bits;
    }
  }
}

TEST(RansEncoderTest, StreamIsTheDefinedOneForEveryShape) {
  Rng rng(12);
  for (int i = 0; i < 300; ++i) {
    const uint32_t lanes = 1u << rng.Below(6);
    const uint32_t rows = 1 + static_cast<uint32_t>(rng.Below(100));
    const uint32_t cols = 2 + static_cast<uint32_t>(rng.Below(70));
    const uint32_t cut = 1 + static_cast<uint32_t>(rng.Below(cols - 1));
    std::vector<ColumnSpan> spans{{0, cut, 0, 0}, {cut, cols, 1, 0}};
    std::vector<FrequencyTable> tables;
    for (ColumnSpan& span : spans) {
      std::vector<uint64_t> counts(1 + rng.Below(20));
      for (uint64_t& c : counts) c = 1 + rng.Below(1000);
      span.prob_bits = kRansMinProbBits + static_cast<uint32_t>(rng.Below(7));
      const int32_t low = -static_cast<int32_t>(rng.Below(100));
      tables.push_back(FrequencyTable::FromCounts(counts, low, span.prob_bits).value());
    }
    // A stride beyond the columns: a tile is a part of a wider matrix.
    const size_t stride = cols + rng.Below(3);
    std::vector<int8_t> levels(rows * stride, 127);
    for (uint32_t r = 0; r < rows; ++r) {
      for (uint32_t c = 0; c < cols; ++c) {
        const FrequencyTable& table = tables[c < cut ? 0 : 1];
        levels[r * stride + c] = static_cast<int8_t>(
            table.level_min() + static_cast<int32_t>(rng.Below(table.num_levels())));
      }
    }
    const TileLevels tile{levels.data(), stride, rows, cols};
    ASSERT_EQ(Encode(tile, tables, spans, lanes), EncodeByDefinition(tile, tables, spans, lanes))
        << i;
  }
}

TEST(RansEncoderTest, AppendsAndCanBeReused) {
  const auto table = FrequencyTable::FromCounts(std::vector<uint64_t>{3, 5}, 0, 10).value();
  const std::vector<ColumnSpan> spans{{0, 5, 0, 10}};
  const std::vector<int8_t> levels{0, 1, 1, 0, 1, 1, 1, 0, 0, 1};
  const auto encoder = MakeRansEncoder(PlanOf({table}), spans, 4);
  std::vector<uint8_t> out;
  encoder->Encode(Tile(levels, 2, 5), out);
  const std::vector<uint8_t> once = out;
  encoder->Encode(Tile(levels, 2, 5), out);
  ASSERT_EQ(out.size(), 2 * once.size());
  EXPECT_TRUE(std::equal(once.begin(), once.end(), out.begin() + once.size()));
}

// A draw from a distribution over levels.
struct Source {
  std::string name;
  std::function<int32_t(Rng&)> draw;
};

int32_t Clamped(double v) {
  return static_cast<int32_t>(std::clamp(std::nearbyint(v), -128.0, 127.0));
}

std::vector<Source> Sources() {
  std::vector<Source> sources{
      {"uniform 256", [](Rng& rng) { return static_cast<int32_t>(rng.Below(256)) - 128; }},
      {"uniform 16", [](Rng& rng) { return static_cast<int32_t>(rng.Below(16)) - 8; }},
      {"coin", [](Rng& rng) { return static_cast<int32_t>(rng.Below(2)); }},
      {"rare", [](Rng& rng) { return rng.Below(3000) == 0 ? 1 : 0; }},
      {"two rare", [](Rng& rng) { return rng.Below(500) == 0 ? (rng.Below(2) ? 127 : -128) : 3; }},
  };
  for (const double sigma : {0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0}) {
    sources.push_back({"gaussian " + std::to_string(sigma),
                       [sigma](Rng& rng) { return Clamped(sigma * rng.Gaussian()); }});
    sources.push_back({"laplacian " + std::to_string(sigma), [sigma](Rng& rng) {
                         const double magnitude =
                             -std::log(1 - rng.Uniform()) * sigma / std::sqrt(2);
                         return Clamped(rng.Below(2) ? magnitude : -magnitude);
                       }});
  }
  return sources;
}

// The size is what the coder promises: this finds faults that a round trip cannot see.
TEST(RansEncoderTest, SizeIsTheCrossEntropyForEveryPrecision) {
  constexpr uint32_t kRows = 128;
  constexpr uint32_t kCols = 256;
  for (const Source& source : Sources()) {
    Rng rng(13);
    std::vector<int8_t> levels(kRows * kCols);
    for (int8_t& level : levels) level = static_cast<int8_t>(source.draw(rng));
    const Histogram histogram = Count(levels);
    for (uint32_t prob_bits = kRansMinProbBits; prob_bits <= kRansMaxProbBits; ++prob_bits) {
      const auto table = FrequencyTable::FromCounts(histogram.counts, -128, prob_bits);
      ASSERT_TRUE(table.ok());
      for (const uint32_t lanes : {1u, 32u}) {
        const std::vector<ColumnSpan> spans{{0, kCols, 0, prob_bits}};
        const double bytes =
            static_cast<double>(Encode(Tile(levels, kRows, kCols), {*table}, spans, lanes).size());
        const double ideal = table->CrossEntropyBits(histogram.counts, -128) / 8;
        EXPECT_LE(bytes, 1.005 * ideal + RansTileOverheadBytes(lanes))
            << source.name << ", prob_bits " << prob_bits << ", lanes " << lanes;
        EXPECT_GE(bytes, ideal) << source.name << ": smaller than its own code lengths";
      }
    }
  }
}

TEST(RansEncoderTest, ACertainSymbolCostsNothing) {
  const std::vector<int8_t> levels(64 * 100, -5);
  for (uint32_t prob_bits = kRansMinProbBits; prob_bits <= kRansMaxProbBits; ++prob_bits) {
    const auto table = FrequencyTable::FromCounts(std::vector<uint64_t>{1}, -5, prob_bits).value();
    const std::vector<ColumnSpan> spans{{0, 100, 0, prob_bits}};
    const auto stream = Encode(Tile(levels, 64, 100), {table}, spans, 32);
    ASSERT_EQ(stream.size(), 32 * sizeof(uint32_t));
    for (size_t lane = 0; lane < 32; ++lane) {
      EXPECT_EQ(LoadLe<uint32_t>(stream.data() + 4 * lane), kRansLowerBound);
    }
  }
}

// freq 1 against M - 1, with nothing but the frequent symbol: m - log2(M - 1) bits each.
TEST(RansEncoderTest, AnAlmostCertainSymbolCostsAlmostNothing) {
  const std::vector<int8_t> levels(32 * 4096, 0);
  for (uint32_t prob_bits = kRansMinProbBits; prob_bits <= kRansMaxProbBits; ++prob_bits) {
    const uint64_t total = uint64_t{1} << prob_bits;
    const auto table =
        FrequencyTable::FromCounts(std::vector<uint64_t>{total - 1, 1}, 0, prob_bits).value();
    const std::vector<ColumnSpan> spans{{0, 4096, 0, prob_bits}};
    const double bytes =
        static_cast<double>(Encode(Tile(levels, 32, 4096), {table}, spans, 32).size());
    const double ideal = levels.size() * table.CodeLengthBits(0) / 8;
    EXPECT_LE(bytes, 1.005 * ideal + RansTileOverheadBytes(32)) << prob_bits;
  }
}

TEST(PlanRansTest, ReachesTheEntropyOfTheLevels) {
  for (const Source& source : Sources()) {
    Rng rng(14);
    std::vector<int8_t> levels(1 << 18);
    for (int8_t& level : levels) level = static_cast<int8_t>(source.draw(rng));
    const Histogram histogram = Count(levels);
    const auto plan = PlanRans({&histogram, 1}, 12);
    ASSERT_TRUE(plan.has_value()) << source.name;
    ASSERT_EQ(plan->tables.size(), 1u);
    EXPECT_LE(plan->tables[0].prob_bits(), 12u);
    EXPECT_GE(plan->payload_bits, histogram.EntropyBits() * (1 - 1e-12)) << source.name;
    EXPECT_LE(plan->payload_bits, 1.004 * histogram.EntropyBits() + 64) << source.name;
    EXPECT_NEAR(plan->payload_bits,
                plan->tables[0].CrossEntropyBits(histogram.counts, Histogram::kMinLevel),
                1e-9 * plan->payload_bits);
  }
}

TEST(PlanRansTest, SmallMatricesTakeTheSmallRecord) {
  // 1024 Gaussian weights: a record of 8 bytes beats one of two dozen frequencies.
  Rng rng(15);
  Histogram histogram;
  for (int i = 0; i < 1024; ++i) ++histogram[Clamped(4 * rng.Gaussian())];
  const auto plan = PlanRans({&histogram, 1}, 12);
  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->tables[0].SerializedBytes(), 8u);
}

TEST(PlanRansTest, RefusesWhatItCannotCode) {
  Histogram empty;
  EXPECT_FALSE(PlanRans({&empty, 1}, 12).has_value());
  Histogram one;
  one[3] = 5;
  EXPECT_FALSE(PlanRans({&one, 1}, 7).has_value());
  EXPECT_TRUE(PlanRans({&one, 1}, 8).has_value());
}

TEST(CodecTableTest, NamesAndNumbersAgree) {
  for (const Codec& codec : AllCodecs()) {
    EXPECT_EQ(&GetCodec(codec.id), &codec);
    const auto id = CodecFromName(codec.name);
    ASSERT_TRUE(id.ok());
    EXPECT_EQ(*id, codec.id);
  }
  const auto unknown = CodecFromName("zip");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUnsupportedCodec);
  EXPECT_NE(unknown.error().message.find("raw, rans"), std::string::npos);
}

}  // namespace
}  // namespace ecq

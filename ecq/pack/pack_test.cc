// Pack(): tiling, codec choice, outliers, sizes, determinism, and the validation of its results.
#include "ecq/pack/pack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "ecq/base/bytes.h"
#include "ecq/base/rng.h"
#include "ecq/codec/rans_encoder.h"
#include "ecq/pack/must_pack_for_test.h"
#include "ecq/pack/random_tensor_for_test.h"
#include "ecq/portable/rans16.h"

namespace ecq {
namespace {

QuantizedTensor Gaussian(uint64_t seed, uint32_t rows, uint32_t cols, double sigma) {
  Rng rng(seed);
  RandomTensorOptions options;
  options.rows = rows;
  options.cols = cols;
  options.sigma = sigma;
  return RandomTensor(rng, options);
}

Histogram Count(const QuantizedTensor& tensor) {
  Histogram histogram;
  for (const int8_t level : tensor.levels) ++histogram[level];
  return histogram;
}

// ---- Tiling -------------------------------------------------------------------------------------

void ExpectTilingCovers(uint32_t rows, uint32_t cols) {
  const Tiling tiling = ChooseTiling(rows, cols, CodecId::kRans);
  ASSERT_TRUE(std::has_single_bit(tiling.lanes)) << rows << " x " << cols;
  ASSERT_LE(tiling.lanes, kMaxLanes);
  ASSERT_GE(tiling.blocks_per_tile, 1u);
  ASSERT_LE(tiling.blocks_per_tile, kMaxBlocksPerTile);
  PackedDesc desc{};
  desc.rows = rows;
  desc.cols = cols;
  desc.lanes = tiling.lanes;
  desc.blocks_per_tile = tiling.blocks_per_tile;
  desc.num_tiles = static_cast<uint32_t>(DivideRoundUp(rows, TileRows(desc)));
  // Tiles follow each other without holes from row 0 to the last one.
  const uint32_t last = desc.num_tiles - 1;
  ASSERT_EQ(TileRowBegin(desc, 0), 0u);
  ASSERT_EQ(TileRowEnd(desc, last), rows);
  for (uint32_t t : {0u, last / 2, last}) {
    ASSERT_LT(TileRowBegin(desc, t), TileRowEnd(desc, t));
    if (t < last) {
      ASSERT_EQ(TileRowEnd(desc, t), TileRowBegin(desc, t + 1));
    }
  }
  // No full tile spends much more than the promised 0.016 bit per weight on states, unless the
  // matrix is too short for it.
  const uint64_t symbols_per_state = uint64_t{tiling.blocks_per_tile} * cols;
  if (tiling.lanes > 1 && rows >= 2048) {
    ASSERT_GE(symbols_per_state, 2048u) << rows << " x " << cols;
  }
}

TEST(ChooseTilingTest, CoversEveryShape) {
  for (uint32_t rows = 1; rows <= 300; ++rows) {
    for (uint32_t cols = 1; cols <= 300; cols += 1 + cols % 7) {
      ASSERT_NO_FATAL_FAILURE(ExpectTilingCovers(rows, cols));
    }
  }
  const uint32_t big[] = {1000, 2048, 4096, 32000, 49152, 151936, 1u << 20, (1u << 31) - 1};
  for (const uint32_t rows : big) {
    for (const uint32_t cols : {1u, 2u, 33u, 576u, 4096u, (1u << 31) - 1}) {
      ASSERT_NO_FATAL_FAILURE(ExpectTilingCovers(rows, cols));
    }
  }
}

TEST(ChooseTilingTest, ShapesOfModelsGetAllLanes) {
  for (const auto& [rows, cols] : {std::pair{576u, 192u},
                                   {576u, 576u},
                                   {1536u, 576u},
                                   {576u, 1536u},
                                   {896u, 896u},
                                   {4864u, 896u},
                                   {151936u, 896u},
                                   {128u, 896u}}) {
    for (const CodecId codec : {CodecId::kRans, CodecId::kRans16}) {
      EXPECT_EQ(ChooseTiling(rows, cols, codec).lanes, kMaxLanes) << rows << " x " << cols;
    }
  }
}

// ---- Codec choice and size
// ------------------------------------------------------------------------

TEST(PackTest, ChoosesTheSmallerCodec) {
  Rng rng(31);
  RandomTensorOptions options;
  options.rows = 256;
  options.cols = 256;
  options.level_min = 0;
  options.level_max = 15;
  options.sigma = 0;  // 4 bits of entropy in 4 bits: nothing to gain
  EXPECT_EQ(MustPack(RandomTensor(rng, options)).desc.codec, CodecId::kRaw);
  EXPECT_EQ(MustPack(Gaussian(32, 256, 256, 3)).desc.codec, CodecId::kRans);

  for (const double sigma : {0.0, 0.3, 1.0, 5.0, 20.0}) {
    options.level_min = -128;
    options.level_max = 127;
    options.sigma = sigma;
    const QuantizedTensor tensor = RandomTensor(rng, options);
    const uint64_t raw = MustPack(tensor, {CodecId::kRaw}).total_bytes();
    const uint64_t rans = MustPack(tensor, {CodecId::kRans}).total_bytes();
    EXPECT_LE(MustPack(tensor).total_bytes(), std::min(raw, rans) + 64) << sigma;
  }
}

TEST(PackTest, StaysWithin003BitOfTheEntropy) {
  for (const double sigma : {0.5, 1.0, 2.0, 4.0, 8.0, 16.0}) {
    const QuantizedTensor tensor = Gaussian(33, 512, 512, sigma);
    const PackedTensor packed = MustPack(tensor, {CodecId::kRans});
    ASSERT_EQ(packed.desc.codec, CodecId::kRans);
    uint64_t bytes = packed.payload.size() + packed.index.size_bytes() + packed.fixes.size_bytes();
    for (const FrequencyTable& table : packed.tables) bytes += table.SerializedBytes();
    const double weights = static_cast<double>(packed.num_weights());
    const double entropy = Count(tensor).EntropyBits() / weights;
    const double overhead = 8.0 * static_cast<double>(bytes) / weights - entropy;
    EXPECT_LE(overhead, 0.03) << sigma;
    EXPECT_GE(overhead, 0) << sigma;
  }
}

TEST(PackTest, EstimateIsWithinHalfAPercent) {
  constexpr uint64_t kConstant = 96;  // states and alignment of the smallest matrices
  for (const auto& [rows, cols] :
       {std::pair{64u, 64u}, {512u, 512u}, {576u, 192u}, {1536u, 576u}, {100u, 3000u}}) {
    for (const double sigma : {0.4, 1.5, 6.0, 25.0}) {
      const QuantizedTensor tensor = Gaussian(34, rows, cols, sigma);
      const uint64_t scale_bytes = tensor.scales.size() * sizeof(uint16_t);
      for (const PackOptions& options :
           {PackOptions{}, PackOptions{CodecId::kRaw}, PackOptions{CodecId::kRans}}) {
        const uint64_t actual = MustPack(tensor, options).total_bytes();
        const uint64_t estimate =
            EstimatePackedBytes(Count(tensor), rows, cols, scale_bytes, options);
        EXPECT_NEAR(static_cast<double>(estimate), static_cast<double>(actual),
                    0.005 * static_cast<double>(actual) + kConstant)
            << rows << " x " << cols << ", sigma " << sigma;
      }
    }
  }
}

TEST(PackTest, RespectsTheLimitOfPrecision) {
  const QuantizedTensor tensor = Gaussian(35, 512, 512, 5);
  for (uint32_t limit = kRansMinProbBits; limit <= kRansMaxProbBits; ++limit) {
    const PackedTensor packed = MustPack(tensor, {CodecId::kRans, limit});
    EXPECT_LE(packed.tables[0].prob_bits(), limit);
    EXPECT_EQ(packed.spans[0].prob_bits, packed.tables[0].prob_bits());
  }
}

TEST(PackTest, SpansGetTablesOfTheirOwn) {
  Rng rng(36);
  RandomTensorOptions options;
  options.rows = 128;
  options.cols = 200;
  options.span_ends = {96, 200};
  const QuantizedTensor tensor = RandomTensor(rng, options);
  const PackedTensor packed = MustPack(tensor, {CodecId::kRans});
  ASSERT_EQ(packed.tables.size(), 2u);
  EXPECT_EQ(packed.spans[1].begin, 96u);
  EXPECT_GT(packed.tables[0].Freq(0), 0u);
  QuantizedTensor merged = tensor;
  merged.span_ends.clear();
  EXPECT_LT(packed.total_bytes(), MustPack(merged, {CodecId::kRans}).total_bytes());
}

TEST(PackTest, ReportsWhatCannotBeCoded) {
  ThreadPool pool(1);
  const auto packed = Pack(Gaussian(37, 8, 8, 2), {CodecId::kRans, 7}, pool);
  ASSERT_FALSE(packed.ok());
  EXPECT_EQ(packed.error().code, ErrorCode::kUnsupportedCodec);
}

// ---- Outliers
// -------------------------------------------------------------------------------------

TEST(PackTest, ListsRareLevelsAsFixes) {
  QuantizedTensor tensor = Gaussian(38, 512, 512, 1);
  std::replace_if(
      tensor.levels.begin(), tensor.levels.end(), [](int8_t level) { return std::abs(level) > 3; },
      int8_t{0});
  tensor.levels[5 * 512 + 7] = 100;
  tensor.levels[5 * 512 + 8] = -128;
  tensor.fixes = {{2, 3, 9}, {5, 7, 11}};
  const PackedTensor packed = MustPack(tensor, {CodecId::kRans});
  const std::vector<Fix> expected{{2, 3, 9}, {5, 7, 111}, {5, 8, -128}};  // the mode is 0
  EXPECT_TRUE(
      std::equal(packed.fixes.begin(), packed.fixes.end(), expected.begin(), expected.end()));
  EXPECT_FALSE(packed.tables[0].Contains(100));
}

TEST(PackTest, DropsFixesThatCancel) {
  QuantizedTensor tensor = Gaussian(39, 512, 512, 1);
  std::replace_if(
      tensor.levels.begin(), tensor.levels.end(), [](int8_t level) { return std::abs(level) > 3; },
      int8_t{0});
  tensor.levels[1000] = 90;
  tensor.fixes = {{1000 / 512, 1000 % 512, -90}};  // the integer is 0, which is the stand-in
  EXPECT_TRUE(MustPack(tensor, {CodecId::kRans}).fixes.empty());
}

// Otherwise a fix would be added to a sum in one codec and not in the other, and products of the
// same integers would differ in their last bits.
TEST(PackTest, RawAndRansListTheSameOutliers) {
  QuantizedTensor tensor = Gaussian(40, 512, 512, 1);
  tensor.levels[0] = 127;
  const PackedTensor raw = MustPack(tensor, {CodecId::kRaw});
  const PackedTensor rans = MustPack(tensor, {CodecId::kRans});
  ASSERT_FALSE(rans.fixes.empty());
  EXPECT_TRUE(std::equal(raw.fixes.begin(), raw.fixes.end(), rans.fixes.begin(), rans.fixes.end()));
}

TEST(PackTest, ListingNeverCostsMoreThanItSaves) {
  for (const double sigma : {0.3, 1.0, 4.0}) {
    QuantizedTensor tensor = Gaussian(41, 512, 512, sigma);
    for (size_t i = 0; i < 40; ++i) tensor.levels[i * 6007] = static_cast<int8_t>(60 + i % 5);
    const auto table = PlanRans(std::vector<Histogram>{Count(tensor)}, 12);
    ASSERT_TRUE(table.has_value());
    const PackedTensor packed = MustPack(tensor, {CodecId::kRans});
    const double without_listing =
        table->payload_bits / 8 + static_cast<double>(table->tables[0].SerializedBytes());
    const double coded = static_cast<double>(packed.payload.size() + packed.fixes.size_bytes() +
                                             packed.tables[0].SerializedBytes());
    EXPECT_LE(coded, 1.003 * without_listing +
                         static_cast<double>(packed.desc.num_tiles * RansTileOverheadBytes(32)));
  }
}

// rans16 has 32 symbols of at most 4 levels each: more are listed, the rarest.
TEST(PackTest, Rans16ListsWhatIsBeyond32Symbols) {
  const QuantizedTensor tensor = Gaussian(46, 512, 512, 30);
  const PackedTensor packed = MustPack(tensor, {CodecId::kRans16});
  ASSERT_EQ(packed.desc.codec, CodecId::kRans16);
  EXPECT_EQ(packed.desc.low_bits, kRans16MaxLowBits);
  uint32_t symbols = 0;
  for (int32_t level = -32; level <= 31; ++level) symbols += packed.tables[0].Contains(level);
  EXPECT_EQ(symbols, kRans16MaxSymbols);
  EXPECT_GT(packed.fixes.size(), 1000u);
  for (const Fix& fix : packed.fixes) EXPECT_GE(std::abs(fix.delta), 50);
}

TEST(PackTest, Rans16StaysWithinOneAndAHalfPercentOfTheEntropy) {
  for (const double sigma : {0.6, 1.0, 1.6, 2.5, 3.9, 5.5, 8.0, 15.0}) {
    const QuantizedTensor tensor = Gaussian(47, 512, 2048, sigma);
    const PackedTensor packed = MustPack(tensor, {CodecId::kRans16});
    const double bits =
        8.0 * static_cast<double>(packed.total_bytes() - packed.scales.size_bytes());
    EXPECT_LE(bits, 1.015 * Count(tensor).EntropyBits()) << sigma;
  }
}

// ---- Determinism and input checks
// ------------------------------------------------------------------

TEST(PackTest, DoesNotDependOnTheNumberOfThreads) {
  Rng rng(42);
  for (const CodecId codec : {CodecId::kRaw, CodecId::kRans, CodecId::kRans16}) {
    RandomTensorOptions options;
    options.rows = 1000;
    options.cols = 100;
    options.span_ends = {64, 100};
    options.num_fixes = 50;
    const QuantizedTensor tensor = RandomTensor(rng, options);
    const PackedTensor one = MustPack(tensor, {codec}, 1);
    const PackedTensor three = MustPack(tensor, {codec}, 3);
    EXPECT_TRUE(std::ranges::equal(one.payload, three.payload));
    EXPECT_TRUE(std::ranges::equal(one.index, three.index));
    EXPECT_TRUE(std::ranges::equal(one.fixes, three.fixes));
    EXPECT_EQ(one.tables, three.tables);
  }
}

TEST(PackTest, RotationIsKept) {
  Rng rng(45);
  RandomTensorOptions options;
  options.cols = 96;
  ThreadPool pool(1);
  for (const CodecId codec : {CodecId::kRans, CodecId::kRans16, CodecId::kRaw}) {
    for (const uint32_t rotation : {0u, 2u, 32u}) {
      QuantizedTensor tensor = RandomTensor(rng, options);
      tensor.rotation = rotation;
      const auto packed = Pack(tensor, {codec}, pool);
      ASSERT_TRUE(packed.ok()) << packed.error().message;
      EXPECT_EQ(packed->desc.rotation, rotation);
      EXPECT_TRUE(ValidatePackedTensor(*packed, "m").ok());
    }
  }
}

TEST(PackTest, RefusesInconsistentInput) {
  const QuantizedTensor good = [] {
    Rng rng(43);
    RandomTensorOptions options;
    options.span_ends = {32, 64};
    options.num_fixes = 4;
    return RandomTensor(rng, options);
  }();
  const std::pair<const char*, std::function<void(QuantizedTensor&)>> kBreaks[] = {
      {"no rows", [](auto& t) { t.rows = 0; }},
      {"no columns", [](auto& t) { t.cols = 0; }},
      {"a level missing", [](auto& t) { t.levels.pop_back(); }},
      {"a scale missing", [](auto& t) { t.scales.pop_back(); }},
      {"one bias", [](auto& t) { t.biases = {1}; }},
      {"groups of nothing", [](auto& t) { t.scale_kind = ScaleKind::kGroup; }},
      {"spans end early",
       [](auto& t) {
         t.span_ends = {32, 63};
       }},
      {"spans fall back",
       [](auto& t) {
         t.span_ends = {48, 32, 64};
       }},
      {"spans run over",
       [](auto& t) {
         t.span_ends = {1000, 64};
       }},
      {"an empty span",
       [](auto& t) {
         t.span_ends = {32, 32, 64};
       }},
      {"fixes out of order", [](auto& t) { std::swap(t.fixes[0], t.fixes[1]); }},
      {"a fix twice", [](auto& t) { t.fixes[1] = t.fixes[0]; }},
      {"a fix outside", [](auto& t) { t.fixes.back().col = 64; }},
      {"a rotation in threes", [](auto& t) { t.rotation = 3; }},
      {"a rotation wider than a row", [](auto& t) { t.rotation = 128; }},
  };
  ThreadPool pool(1);
  ASSERT_TRUE(Pack(good, {}, pool).ok());
  for (const auto& [name, damage] : kBreaks) {
    QuantizedTensor bad = good;
    damage(bad);
    const auto packed = Pack(bad, {}, pool);
    ASSERT_FALSE(packed.ok()) << name;
    EXPECT_EQ(packed.error().code, ErrorCode::kInvalidArgument) << name;
  }
}

// ---- Validation
// -----------------------------------------------------------------------------------

struct Damage {
  const char* name;
  ErrorCode code;
  std::function<void(PackedTensor&, PackedTensor::Storage&)> apply;
};

// A copy of `tensor` whose spans point into a storage that can be changed.
void ExpectRejected(const PackedTensor& tensor, const Damage& damage) {
  PackedTensor copy = tensor;
  auto storage = std::make_shared<PackedTensor::Storage>(*tensor.storage);
  const auto point = [&] {
    copy.index = storage->index;
    copy.scales = storage->scales;
    copy.biases = storage->biases;
    copy.fixes = storage->fixes;
    copy.col_scales = storage->col_scales;
    copy.col_order = storage->col_order;
  };
  point();
  ASSERT_TRUE(ValidatePackedTensor(copy, "m").ok());
  damage.apply(copy, *storage);
  point();
  copy.storage = storage;
  const Status status = ValidatePackedTensor(copy, "matrix m");
  ASSERT_FALSE(status.ok()) << damage.name;
  EXPECT_EQ(status.error().code, damage.code) << damage.name;
  EXPECT_EQ(status.error().message.rfind("matrix m: ", 0), 0u) << status.error().message;
}

using T = PackedTensor;
using S = PackedTensor::Storage;
constexpr ErrorCode kLayout = ErrorCode::kBadLayout;

const Damage kDamages[] = {
    {"no rows", kLayout, [](T& t, S&) { t.desc.rows = 0; }},
    {"no columns", kLayout, [](T& t, S&) { t.desc.cols = 0; }},
    {"no lanes", kLayout, [](T& t, S&) { t.desc.lanes = 0; }},
    {"lanes no power of two", kLayout, [](T& t, S&) { t.desc.lanes = 24; }},
    {"64 lanes", kLayout, [](T& t, S&) { t.desc.lanes = 64; }},
    {"no blocks", kLayout, [](T& t, S&) { t.desc.blocks_per_tile = 0; }},
    {"too many blocks", kLayout, [](T& t, S&) { t.desc.blocks_per_tile = 4097; }},
    {"a tile too many", kLayout, [](T& t, S&) { ++t.desc.num_tiles; }},
    {"unknown codec", ErrorCode::kUnsupportedCodec,
     [](T& t, S&) { t.desc.codec = static_cast<CodecId>(7); }},
    {"span leaves a hole", kLayout, [](T& t, S&) { ++t.spans[1].begin; }},
    {"span is empty", kLayout, [](T& t, S&) { t.spans[0].end = 0; }},
    {"spans end early", kLayout, [](T& t, S&) { --t.spans.back().end; }},
    {"spans miscounted", kLayout, [](T& t, S&) { ++t.desc.num_spans; }},
    {"span of another table", kLayout, [](T& t, S&) { t.spans[0].table = 1; }},
    {"index too short", kLayout, [](T&, S& s) { s.index.pop_back(); }},
    {"index too long", kLayout, [](T&, S& s) { s.index.push_back(s.index.back()); }},
    {"index starts late", kLayout, [](T&, S& s) { s.index[0] = 1; }},
    {"index decreases", kLayout, [](T&, S& s) { s.index[1] = s.index[2] + 1; }},
    {"tile shorter than its states", kLayout, [](T&, S& s) { s.index[1] = 1; }},
    {"tile behind the payload", kLayout,
     [](T& t, S& s) { s.index.back() = static_cast<uint32_t>(t.payload.size() / 4 + 1); }},
    {"tile at the end of the address space", kLayout, [](T&, S& s) { s.index.back() = ~0u; }},
    {"groups of no columns", kLayout, [](T& t, S&) { t.desc.group_size = 0; }},
    {"groups not of fours", kLayout, [](T& t, S&) { t.desc.group_size = 34; }},
    {"groups miscounted", kLayout, [](T& t, S&) { ++t.desc.scale_groups; }},
    {"row scales with groups", kLayout, [](T& t, S&) { t.scale_kind = ScaleKind::kRow; }},
    {"a scale missing", kLayout, [](T&, S& s) { s.scales.pop_back(); }},
    {"a bias missing", kLayout, [](T&, S& s) { s.biases.pop_back(); }},
    {"biases without leave", kLayout, [](T& t, S&) { t.desc.has_bias = 0; }},
    {"exponent 65", kLayout, [](T& t, S&) { t.scale_exponent = 65; }},
    {"exponent -65", kLayout, [](T& t, S&) { t.scale_exponent = -65; }},
    {"rotation of single columns", kLayout, [](T& t, S&) { t.desc.rotation = 1; }},
    {"rotation in threes", kLayout, [](T& t, S&) { t.desc.rotation = 3; }},
    {"rotation that leaves columns over", kLayout, [](T& t, S&) { t.desc.rotation = 4; }},
    {"rotation wider than a row", kLayout, [](T& t, S&) { t.desc.rotation = 128; }},
    {"rotation at the end of uint32", kLayout, [](T& t, S&) { t.desc.rotation = 1u << 31; }},
    {"a column scale missing", kLayout, [](T&, S& s) { s.col_scales.pop_back(); }},
    {"a column of the order missing", kLayout, [](T&, S& s) { s.col_order.pop_back(); }},
    {"a column twice", kLayout, [](T&, S& s) { s.col_order[0] = s.col_order[1]; }},
    {"a column outside", kLayout, [](T& t, S& s) { s.col_order[0] = t.desc.cols; }},
    {"a fix outside the rows", kLayout, [](T& t, S& s) { s.fixes.back().row = t.desc.rows; }},
    {"a fix outside the columns", kLayout, [](T& t, S& s) { s.fixes[0].col = t.desc.cols; }},
    {"fixes out of order", kLayout, [](T&, S& s) { std::swap(s.fixes[0], s.fixes[1]); }},
    {"a fix twice", kLayout, [](T&, S& s) { s.fixes[1] = s.fixes[0]; }},
    {"a delta too large", kLayout,
     [](T&, S& s) { s.fixes[0].delta = std::numeric_limits<int32_t>::max(); }},
    {"a delta too small", kLayout,
     [](T&, S& s) { s.fixes[0].delta = std::numeric_limits<int32_t>::min(); }},
};

const Damage kRansDamages[] = {
    {"a table missing", ErrorCode::kBadTable, [](T& t, S&) { t.tables.pop_back(); }},
    {"span of another precision", ErrorCode::kBadTable, [](T& t, S&) { ++t.spans[0].prob_bits; }},
};

const Damage kRans16Damages[] = {
    {"a table of 12 bits", ErrorCode::kBadTable,
     [](T& t, S&) {
       t.tables[0] = FrequencyTable::FromCounts(std::vector<uint64_t>{1, 1}, 0, 12).value();
       t.spans[0].prob_bits = 12;
     }},
    {"a table of 33 levels", ErrorCode::kBadTable,
     [](T& t, S&) {
       t.tables[1] = FrequencyTable::FromCounts(std::vector<uint64_t>(33, 1), 0, 8).value();
     }},
    {"3 low bits", kLayout, [](T& t, S&) { t.desc.low_bits = 3; }},
    {"levels beyond 127", ErrorCode::kBadTable,
     [](T& t, S&) {
       t.desc.low_bits = 2;
       t.tables[1] = FrequencyTable::FromCounts(std::vector<uint64_t>{1, 1}, 31, 8).value();
     }},
    {"a level with all slots", ErrorCode::kBadTable,
     [](T& t, S&) {
       t.tables[1] = FrequencyTable::FromCounts(std::vector<uint64_t>{1}, 0, 8).value();
     }},
};

const Damage kRawDamages[] = {
    {"no bits", kLayout, [](T& t, S&) { t.desc.raw_bits = 0; }},
    {"9 bits", kLayout, [](T& t, S&) { t.desc.raw_bits = 9; }},
    {"level below -128", kLayout, [](T& t, S&) { t.desc.raw_level_min = -129; }},
    {"level above 127", kLayout, [](T& t, S&) { t.desc.raw_level_min = 120; }},
    {"level at the end of int32", kLayout,
     [](T& t, S&) { t.desc.raw_level_min = std::numeric_limits<int32_t>::max(); }},
};

TEST(ValidatePackedTensorTest, RejectsEveryBrokenInvariant) {
  Rng rng(44);
  RandomTensorOptions options;
  options.rows = 3000;
  options.cols = 70;
  options.level_min = -16;
  options.level_max = 15;
  options.scale_kind = ScaleKind::kGroup;
  options.group_size = 32;
  options.biases = true;
  options.span_ends = {32, 70};
  options.num_fixes = 5;
  options.col_scales = true;
  options.col_order = true;
  const QuantizedTensor tensor = RandomTensor(rng, options);
  const PackedTensor rans = MustPack(tensor, {CodecId::kRans});
  const PackedTensor rans16 = MustPack(tensor, {CodecId::kRans16});
  const PackedTensor raw = MustPack(tensor, {CodecId::kRaw});
  ASSERT_GE(rans.desc.num_tiles, 2u);
  for (const Damage& damage : kDamages) {
    ExpectRejected(rans, damage);
    ExpectRejected(rans16, damage);
    ExpectRejected(raw, damage);
  }
  for (const Damage& damage : kRansDamages) ExpectRejected(rans, damage);
  for (const Damage& damage : kRansDamages) ExpectRejected(rans16, damage);
  for (const Damage& damage : kRans16Damages) ExpectRejected(rans16, damage);
  for (const Damage& damage : kRawDamages) ExpectRejected(raw, damage);
}

}  // namespace
}  // namespace ecq

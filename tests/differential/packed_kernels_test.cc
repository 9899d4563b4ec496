// Every operation over coded matrices, for every codec and precision, on every target of this
// machine: levels against the source, sums against exact products within the bounds of
// docs/numerics.md. Set ECQ_TEST_VERBOSE to print the largest error/bound per row of the table.
#include "ecq/kernels/packed_kernels.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>

#include "tests/differential/packed_test_util.h"

namespace ecq {
namespace {

constexpr float kCanary = 0x1.5a5a5ap60f;
constexpr int8_t kByteCanary = 0x5a;
constexpr double kUnit = 0x1p-24;  // u: half an f32 ulp at 1

// ---- The table: codec variants and targets
// --------------------------------------------------------

struct Variant {
  CodecId codec;
  uint32_t parameter;  // prob_bits, the width, the bits of a tuple, or the low bits
  bool has_memory = false;

  std::string Name() const {
    switch (codec) {
      case CodecId::kRaw:
        return "raw_b" + std::to_string(parameter);
      case CodecId::kRans:
        return "rans_m" + std::to_string(parameter);
      case CodecId::kRans16:
        return "rans16_l" + std::to_string(parameter);
      case CodecId::kWindow:
        return (has_memory ? "window_memory_t" : "window_t") + std::to_string(parameter);
    }
    return "unknown";
  }
};

std::vector<Variant> Variants() {
  std::vector<Variant> variants;
  for (uint32_t m = kRansMinProbBits; m <= kRansMaxProbBits; ++m)
    variants.push_back({CodecId::kRans, m});
  for (uint32_t l = 0; l <= kRans16MaxLowBits; ++l) variants.push_back({CodecId::kRans16, l});
  for (uint32_t b = 1; b <= 8; ++b) variants.push_back({CodecId::kRaw, b});
  for (const bool has_memory : {false, true}) {
    for (const uint32_t t : kWindowTupleBits) variants.push_back({CodecId::kWindow, t, has_memory});
  }
  return variants;
}

using Row = std::tuple<Variant, CpuTarget>;

std::string RowName(const Row& row) {
  return std::get<0>(row).Name() + "_" + std::string(CpuTargetName(std::get<1>(row)));
}

// Largest error/bound seen, by "operation,codec,target".
std::map<std::string, double>& Ratios() {
  static std::map<std::string, double> ratios;
  return ratios;
}

class PrintRatios : public testing::Environment {
  void TearDown() override {
    if (std::getenv("ECQ_TEST_VERBOSE") == nullptr) return;
    std::cout << "operation,codec,target,max_error_over_bound\n";
    for (const auto& [row, ratio] : Ratios()) std::cout << row << ',' << ratio << '\n';
  }
};
const testing::Environment* const kPrintRatios = testing::AddGlobalTestEnvironment(new PrintRatios);

// ---- Inputs
// ---------------------------------------------------------------------------------------

struct Sample {
  std::string name;
  QuantizedTensor source;
  ForcedCoding coding;
};

struct ScaleConfig {
  ScaleKind kind;
  uint32_t group_size;
  bool biases;
};
constexpr ScaleConfig kScaleConfigs[] = {
    {ScaleKind::kTensor, 0, false}, {ScaleKind::kTensor, 0, true},  {ScaleKind::kRow, 0, false},
    {ScaleKind::kRow, 0, true},     {ScaleKind::kGroup, 32, false}, {ScaleKind::kGroup, 64, true},
    {ScaleKind::kGroup, 36, true},  {ScaleKind::kGroup, 4, false},  {ScaleKind::kGroup, 96, false},
};

constexpr std::pair<uint32_t, uint32_t> kShapes[] = {
    {1, 1},    {1, 64},   {31, 33},  {32, 32}, {33, 31},  {64, 65},   {65, 64},   {96, 34},
    {172, 64}, {64, 172}, {96, 300}, {100, 1}, {161, 37}, {576, 192}, {512, 512},
};

// Levels that this variant can hold: extremes, constants, narrow and wide distributions.
void ChooseLevels(Rng& rng, const Variant& variant, RandomTensorOptions& o, ForcedCoding& coding) {
  constexpr double kSigmas[] = {0, 0.3, 3, 30};
  o.sigma = kSigmas[rng.Below(4)];
  if (variant.codec == CodecId::kWindow) return;  // the codestream decides
  if (variant.codec == CodecId::kRans) {
    if (rng.Below(6) == 0) o.level_min = o.level_max = static_cast<int32_t>(rng.Below(256)) - 128;
    return;
  }
  if (variant.codec == CodecId::kRans16) {
    constexpr int32_t kWidths[] = {1, 2, 5, 17, 31, 32};
    const int32_t width = kWidths[rng.Below(std::size(kWidths))] << variant.parameter;
    coding.low_bits = variant.parameter;
    const int32_t low =
        rng.Below(2) == 0
            ? -width / 2
            : -128 + static_cast<int32_t>(rng.Below(257 - static_cast<uint32_t>(width)));
    o.level_min = (low >> variant.parameter) * (1 << variant.parameter);
    o.level_max = o.level_min + width - 1;
    if (o.level_min > 0 || o.level_max < 0) o.sigma = 0;
    return;
  }
  const int32_t width = 1 << variant.parameter;
  o.level_min = -128 + static_cast<int32_t>(rng.Below(257 - width));
  if (rng.Below(2) == 0) o.level_min = std::max(-128, -width / 2);
  o.level_max = o.level_min + width - 1;
  if (o.level_min > 0 || o.level_max < 0) o.sigma = 0;
  coding.raw_bits = variant.parameter;
  coding.raw_level_min = o.level_min;
}

// Spans that begin with a group of 32 columns, so many that all widths come.
void ChooseWindowSpans(Rng& rng, RandomTensorOptions& o) {
  if (rng.Below(3) == 0) return;
  for (uint32_t end = kWindowGroupCols; end < o.cols; end += kWindowGroupCols) {
    if (rng.Below(2) == 0) o.span_ends.push_back(end);
  }
  if (!o.span_ends.empty()) o.span_ends.push_back(o.cols);
}

void ChooseSpans(Rng& rng, RandomTensorOptions& o) {
  if (o.cols < 2 || rng.Below(2) == 0) return;
  const uint32_t chunks = (o.cols - 1) / kActivationBlock;
  const bool aligned = chunks > 0 && rng.Below(3) != 0;
  const uint32_t end = aligned ? kActivationBlock * (1 + static_cast<uint32_t>(rng.Below(chunks)))
                               : 1 + static_cast<uint32_t>(rng.Below(o.cols - 1));
  o.span_ends = {end, o.cols};
}

Sample MakeSample(Rng& rng, const Variant& variant, std::pair<uint32_t, uint32_t> shape,
                  const ScaleConfig& scales) {
  Sample sample;
  RandomTensorOptions o;
  std::tie(o.rows, o.cols) = shape;
  o.scale_kind = scales.kind;
  o.group_size = scales.group_size;
  o.biases = scales.biases;
  sample.coding.codec = variant.codec;
  ChooseLevels(rng, variant, o, sample.coding);
  const bool is_window = variant.codec == CodecId::kWindow;
  is_window ? ChooseWindowSpans(rng, o) : ChooseSpans(rng, o);
  if (variant.codec == CodecId::kRans) {
    const uint32_t m = variant.parameter;
    const uint32_t choices = m <= kRansMaxFusedProbBits ? 5 : 7;
    sample.coding.prob_bits = {m, kRansMinProbBits + static_cast<uint32_t>(rng.Below(choices))};
    sample.coding.gaussian = rng.Below(4) == 0;
  }
  if (variant.codec == CodecId::kRans16) {
    sample.coding.prob_bits = {kRans16ProbBits};
    sample.coding.gaussian = rng.Below(4) == 0;
  }
  if (!is_window && rng.Below(4) == 0) sample.coding.lanes = 1u << rng.Below(5);
  sample.coding.blocks_per_tile = 1 + static_cast<uint32_t>(rng.Below(4));
  sample.source = RandomTensor(rng, o);
  if (is_window) {
    sample.coding.has_memory = variant.has_memory;
    RandomWindowCoding(rng, variant.parameter, sample.source, sample.coding);
  }
  const bool is_rans = variant.codec == CodecId::kRans || variant.codec == CodecId::kRans16;
  if (rng.Below(6) == 0 && is_rans) {  // extremes only
    for (int8_t& level : sample.source.levels) level = level % 2 == 0 ? -128 : 127;
  }
  sample.name = variant.Name() + ", " + std::to_string(o.rows) + " x " + std::to_string(o.cols) +
                ", lanes " + std::to_string(sample.coding.lanes) + ", blocks " +
                std::to_string(sample.coding.blocks_per_tile) + ", spans " +
                std::to_string(std::max<size_t>(1, o.span_ends.size())) + ", groups of " +
                std::to_string(o.scale_kind == ScaleKind::kGroup ? o.group_size : 0) +
                (o.biases ? ", biases" : "");
  return sample;
}

// Calls fn(sample) for every shape with every kind of scales (large shapes: two kinds).
template <typename Fn>
void ForEachSample(const Variant& variant, Fn&& fn) {
  Rng rng(1000 + variant.parameter + 100 * static_cast<uint32_t>(variant.codec));
  for (const auto& shape : kShapes) {
    const bool large = shape.first * shape.second > 50000;
    for (size_t i = 0; i < std::size(kScaleConfigs); ++i) {
      if (large && i != 2 && i != 5) continue;
      const Sample sample = MakeSample(rng, variant, shape, kScaleConfigs[i]);
      SCOPED_TRACE(sample.name);
      fn(rng, sample);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

std::vector<float> RandomVector(Rng& rng, size_t n) {
  constexpr double kMagnitudes[] = {1, 1e-6, 1e4};
  const double magnitude = kMagnitudes[rng.Below(3)];
  std::vector<float> x(n);
  for (float& v : x) v = rng.Below(8) == 0 ? 0.0f : static_cast<float>(magnitude * rng.Gaussian());
  if (rng.Below(3) == 0) x[rng.Below(n)] *= 1e6f;  // one activation beyond all others
  return x;
}

// Tiles [begin, end) of a view, and the rows in them.
struct TileRange {
  uint32_t begin;
  uint32_t end;
  uint32_t first_row;
  uint32_t num_rows;
};

TileRange Tiles(const PackedDesc& d, uint32_t begin, uint32_t end) {
  const uint32_t first = TileRowBegin(d, begin);
  return {begin, end, first, TileRowEnd(d, end - 1) - first};
}

std::vector<TileRange> RangesOf(Rng& rng, const PackedDesc& d) {
  std::vector<TileRange> ranges{Tiles(d, 0, d.num_tiles)};
  if (d.num_tiles == 1) return ranges;
  const uint32_t cut = 1 + static_cast<uint32_t>(rng.Below(d.num_tiles - 1));
  ranges.push_back(Tiles(d, 0, cut));
  ranges.push_back(Tiles(d, cut, d.num_tiles));
  return ranges;
}

// ---- The operations
// -------------------------------------------------------------------------------

// A matrix in guarded memory and one target's kernels.
struct Bench {
  const QuantizedTensor& source;
  PackedView view;
  const PackedKernels& kernels;
};

void CheckDecode(Rng& rng, const Bench& b, const TileRange& range) {
  const size_t stride = range.num_rows + rng.Below(3);
  const uint32_t cols = b.source.cols;
  std::vector<int8_t> out(stride * cols, kByteCanary);
  ASSERT_TRUE(b.kernels.decode(b.view, range.begin, range.end, out.data(), stride));
  for (uint32_t c = 0; c < cols; ++c) {
    for (size_t r = 0; r < stride; ++r) {
      const int8_t expected =
          r < range.num_rows ? b.source.levels[(range.first_row + r) * cols + c] : kByteCanary;
      ASSERT_EQ(out[c * stride + r], expected) << "row " << range.first_row + r << ", column " << c;
    }
  }
}

void CheckDequantize(Rng& rng, const Bench& b, const TileRange& range) {
  const size_t stride = range.num_rows + rng.Below(3);
  const QuantizedTensor& t = b.source;
  std::vector<float> out(stride * t.cols, kCanary);
  ASSERT_TRUE(b.kernels.dequantize(b.view, range.begin, range.end, out.data(), stride));
  for (uint32_t c = 0; c < t.cols; ++c) {
    const size_t group = c / b.view.desc.group_size;
    for (size_t r = 0; r < stride; ++r) {
      float expected = kCanary;
      if (r < range.num_rows) {
        const uint32_t row = range.first_row + static_cast<uint32_t>(r);
        const size_t at = group * t.rows + row;
        expected = b.view.scales[at] * static_cast<float>(t.levels[size_t{row} * t.cols + c]) +
                   (b.view.biases == nullptr ? 0.0f : b.view.biases[at]);
      }
      ASSERT_EQ(std::bit_cast<uint32_t>(out[c * stride + r]), std::bit_cast<uint32_t>(expected))
          << "row " << range.first_row + r << ", column " << c;
    }
  }
}

struct Gemv {
  const char* name;
  decltype(PackedKernels::gemv_f32) PackedKernels::*kernel;
  PackedActivations (PreparedVector::*prepare)() const;
  double (*activation)(const PreparedVector& x, size_t col);
  double columns_per_rounding;  // of the sum inside a scale group
};
const Gemv kGemvs[] = {
    {"gemv_f32", &PackedKernels::gemv_f32, &PreparedVector::ForF32,
     [](const PreparedVector& x, size_t col) { return double{x.x[col]}; }, 2},
    {"gemv_i8", &PackedKernels::gemv_i8, &PreparedVector::ForI8,
     [](const PreparedVector& x, size_t col) { return x.Rounded(col); }, 32},
};

// docs/numerics.md, "Bounds".
double Bound(const PackedDesc& d, const Gemv& gemv, double magnitude) {
  const double longest = std::min(d.group_size, d.cols);
  const double roundings =
      std::ceil(longest / gemv.columns_per_rounding) + 2.0 * d.scale_groups + 4;
  return 1.001 * roundings * kUnit * magnitude + 0x1p-126;
}

void CheckGemv(Rng& rng, const Bench& b, const Gemv& gemv, const std::string& row_name) {
  const PreparedVector x(b.view, RandomVector(rng, b.source.cols));
  const PackedActivations prepared = (x.*gemv.prepare)();
  std::vector<float> whole;
  for (const TileRange& range : RangesOf(rng, b.view.desc)) {
    std::vector<float> y(b.source.rows + 2, kCanary);
    ASSERT_TRUE((b.kernels.*gemv.kernel)(b.view, range.begin, range.end, prepared, y.data() + 1));
    if (whole.empty()) whole = y;
    for (uint32_t r = 0; r < b.source.rows + 2; ++r) {
      const bool inside = r > range.first_row && r <= range.first_row + range.num_rows;
      ASSERT_EQ(y[r], inside ? whole[r] : kCanary) << "row " << r - 1;
    }
  }
  double& worst = Ratios()[std::string(gemv.name) + "," + row_name];
  for (uint32_t r = 0; r < b.source.rows; ++r) {
    const ExactSum exact =
        ExactProduct(b.source, r, [&](uint32_t c) { return gemv.activation(x, c); });
    const double bound = Bound(b.view.desc, gemv, exact.magnitude);
    const double error = std::abs(whole[r + 1] - exact.value);
    ASSERT_LE(error, bound) << gemv.name << ", row " << r << ": exact " << exact.value;
    worst = std::max(worst, error / bound);
  }
}

// Rows of gemm_i8 against gemv_i8, bit for bit, over parts of the tiles.
void CheckGemm(Rng& rng, const Bench& b, size_t m) {
  const PackedDesc& d = b.view.desc;
  std::vector<PreparedVector> rows;
  for (size_t i = 0; i < m; ++i) rows.emplace_back(b.view, RandomVector(rng, d.cols));
  const PreparedBatch batch(b.view, rows);
  AlignedBuffer<uint8_t> operand(GemmOperandBytes(d));
  for (const TileRange& range : RangesOf(rng, d)) {
    std::vector<float> y(m * d.rows, kCanary);
    operand.Fill(0xff);
    ASSERT_TRUE(
        b.kernels.gemm_i8(b.view, range.begin, range.end, batch.Get(), operand.data(), y.data()));
    for (size_t i = 0; i < m; ++i) {
      std::vector<float> expected(d.rows, kCanary);
      ASSERT_TRUE(
          b.kernels.gemv_i8(b.view, range.begin, range.end, rows[i].ForI8(), expected.data()));
      for (uint32_t r = 0; r < d.rows; ++r) {
        ASSERT_EQ(std::bit_cast<uint32_t>(y[i * d.rows + r]), std::bit_cast<uint32_t>(expected[r]))
            << "row " << r << " of product " << i << " of " << m;
      }
    }
  }
}

class PackedKernelsTest : public testing::TestWithParam<Row> {
 protected:
  void SetUp() override {
    if (!CpuTargetSupported(target())) GTEST_SKIP() << "not supported by this machine";
  }
  Variant variant() const { return std::get<0>(GetParam()); }
  CpuTarget target() const { return std::get<1>(GetParam()); }
};

TEST_P(PackedKernelsTest, EveryOperationIsRight) {
  std::string row_name = RowName(GetParam());
  row_name[row_name.rfind('_')] = ',';
  size_t vectorized = 0;
  ForEachSample(variant(), [&](Rng& rng, const Sample& sample) {
    const PackedMatrix matrix(ForcePack(sample.source, sample.coding));
    ASSERT_TRUE(ValidatePackedTensor(matrix.tensor(), "sample").ok());
    GuardedPayload payload(matrix.tensor().payload, 0xff);
    Bench bench{sample.source, matrix.view(), PackedKernelsFor(target())};
    bench.view.payload = payload.data();
    vectorized += WhyNotVectorized(bench.view) == nullptr;
    for (const TileRange& range : RangesOf(rng, bench.view.desc)) {
      ASSERT_NO_FATAL_FAILURE(CheckDecode(rng, bench, range));
      ASSERT_NO_FATAL_FAILURE(CheckDequantize(rng, bench, range));
    }
    for (const Gemv& gemv : kGemvs) ASSERT_NO_FATAL_FAILURE(CheckGemv(rng, bench, gemv, row_name));
  });
  // The samples must reach the vector code, not only its scalar fall-back.
  if (variant().codec != CodecId::kRans || variant().parameter <= kRansMaxFusedProbBits) {
    EXPECT_GE(vectorized, 20u);
  }
}

TEST_P(PackedKernelsTest, RowsOfABatchAreTheProductsOfOneRow) {
  size_t m = 0;
  ForEachSample(variant(), [&](Rng& rng, const Sample& sample) {
    const PackedMatrix matrix(ForcePack(sample.source, sample.coding));
    GuardedPayload payload(matrix.tensor().payload, 0xff);
    Bench bench{sample.source, matrix.view(), PackedKernelsFor(target())};
    bench.view.payload = payload.data();
    m = m % 70 + 1;
    ASSERT_NO_FATAL_FAILURE(CheckGemm(rng, bench, m));
  });
}

// What lies behind the payload is read, but must not matter.
TEST_P(PackedKernelsTest, PaddingDoesNotMatter) {
  ForEachSample(variant(), [&](Rng& rng, const Sample& sample) {
    if (sample.source.levels.size() > 50000) return;
    const PackedMatrix matrix(ForcePack(sample.source, sample.coding));
    const PreparedVector x(matrix.view(), RandomVector(rng, sample.source.cols));
    std::vector<std::vector<float>> results;
    for (const uint8_t padding : {0x00, 0xff, 0x5b}) {
      GuardedPayload payload(matrix.tensor().payload, padding);
      PackedView view = matrix.view();
      view.payload = payload.data();
      std::vector<float> y(2 * size_t{sample.source.rows});
      const PackedKernels& kernels = PackedKernelsFor(target());
      ASSERT_TRUE(kernels.gemv_f32(view, 0, view.desc.num_tiles, x.ForF32(), y.data()));
      ASSERT_TRUE(
          kernels.gemv_i8(view, 0, view.desc.num_tiles, x.ForI8(), y.data() + sample.source.rows));
      results.push_back(std::move(y));
    }
    ASSERT_EQ(results[0], results[1]);
    ASSERT_EQ(results[0], results[2]);
  });
}

INSTANTIATE_TEST_SUITE_P(Table, PackedKernelsTest,
                         testing::Combine(testing::ValuesIn(Variants()),
                                          testing::ValuesIn(kAllCpuTargets)),
                         [](const auto& row) { return RowName(row.param); });

// ---- Lossless means lossless
// ----------------------------------------------------------------------

class TargetTest : public testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override {
    if (!CpuTargetSupported(GetParam())) GTEST_SKIP() << "not supported by this machine";
  }
};

// The same integers give the same bits, whatever codec they were in.
TEST_P(TargetTest, EveryCodecGivesTheProductsOfRaw) {
  const PackedKernels& kernels = PackedKernelsFor(GetParam());
  for (const Variant& variant : Variants()) {
    if (variant.codec == CodecId::kRaw) continue;
    if (variant.codec == CodecId::kRans && variant.parameter > kRansMaxFusedProbBits) continue;
    ForEachSample(variant, [&](Rng& rng, const Sample& sample) {
      ForcedCoding raw_coding = sample.coding;
      raw_coding.codec = CodecId::kRaw;
      const PackedMatrix coded(ForcePack(sample.source, sample.coding));
      const PackedMatrix raw(ForcePack(sample.source, raw_coding));
      const PreparedVector x(coded.view(), RandomVector(rng, sample.source.cols));
      const size_t rows = sample.source.rows;
      std::vector<float> a(2 * rows), b(2 * rows);
      const uint32_t tiles = coded.view().desc.num_tiles;
      ASSERT_TRUE(kernels.gemv_f32(coded.view(), 0, tiles, x.ForF32(), a.data()));
      ASSERT_TRUE(kernels.gemv_f32(raw.view(), 0, tiles, x.ForF32(), b.data()));
      ASSERT_TRUE(kernels.gemv_i8(coded.view(), 0, tiles, x.ForI8(), a.data() + rows));
      ASSERT_TRUE(kernels.gemv_i8(raw.view(), 0, tiles, x.ForI8(), b.data() + rows));
      ASSERT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
    });
  }
}

// Every lane owns a row, so the width of the vectors does not change the order of any sum.
TEST(VectorTargetsTest, AgreeBitForBit) {
  if (!CpuTargetSupported(CpuTarget::kAvx512)) GTEST_SKIP() << "needs avx2 and avx512";
  const PackedKernels& narrow = PackedKernelsFor(CpuTarget::kAvx2);
  const PackedKernels& wide = PackedKernelsFor(CpuTarget::kAvx512);
  for (const Variant& variant :
       {Variant{CodecId::kRans, 12}, Variant{CodecId::kRaw, 5}, Variant{CodecId::kWindow, 6, true},
        Variant{CodecId::kWindow, 10, true}, Variant{CodecId::kWindow, 16, true}}) {
    ForEachSample(variant, [&](Rng& rng, const Sample& sample) {
      const PackedMatrix matrix(ForcePack(sample.source, sample.coding));
      const PackedView& view = matrix.view();
      const PreparedVector x(view, RandomVector(rng, sample.source.cols));
      const size_t rows = sample.source.rows;
      std::vector<float> a(2 * rows), b(2 * rows);
      ASSERT_TRUE(narrow.gemv_f32(view, 0, view.desc.num_tiles, x.ForF32(), a.data()));
      ASSERT_TRUE(wide.gemv_f32(view, 0, view.desc.num_tiles, x.ForF32(), b.data()));
      ASSERT_TRUE(narrow.gemv_i8(view, 0, view.desc.num_tiles, x.ForI8(), a.data() + rows));
      ASSERT_TRUE(wide.gemv_i8(view, 0, view.desc.num_tiles, x.ForI8(), b.data() + rows));
      ASSERT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
    });
  }
}

// Nor does the architecture: what one machine writes into a log, another reproduces. The inputs
// take no libm function whose last bit could differ.
TEST(VectorTargetsTest, GiveTheseBitsOnEveryMachine) {
  const std::pair<Variant, uint64_t> expected[] = {
      {{CodecId::kRans, 12}, 0x15b7408833dc1b3au},
      {{CodecId::kRaw, 5}, 0x15b7408833dc1b3au},
      {{CodecId::kWindow, 8, true}, 0x535faba04f612461u},
      {{CodecId::kWindow, 10, true}, 0x730a5d19ad3e86f4u},
      {{CodecId::kWindow, 12, true}, 0xe4c13df82c15223eu},
      {{CodecId::kWindow, 16, true}, 0x731899592971eb4bu},
  };
  for (const auto& [variant, hash] : expected) {
    Rng rng(77);
    RandomTensorOptions o;
    o.rows = 96;
    o.cols = 300;
    o.level_min = -16;
    o.level_max = 15;
    o.sigma = 0;
    Sample sample;
    sample.source = RandomTensor(rng, o);
    sample.coding.codec = variant.codec;
    sample.coding.prob_bits = {variant.parameter};
    sample.coding.raw_bits = variant.parameter;
    sample.coding.raw_level_min = o.level_min;
    sample.coding.has_memory = variant.has_memory;
    if (variant.codec == CodecId::kWindow) {
      RandomWindowCoding(rng, variant.parameter, sample.source, sample.coding);
    }
    std::vector<float> activations(o.cols);
    for (float& v : activations) v = static_cast<float>(rng.Uniform() - 0.5);
    const PackedMatrix matrix(ForcePack(sample.source, sample.coding));
    const PackedView& view = matrix.view();
    const PreparedVector x(view, activations);
    for (const CpuTarget target : kAllCpuTargets) {
      if (target == CpuTarget::kScalar || !CpuTargetSupported(target)) continue;
      const PackedKernels& kernels = PackedKernelsFor(target);
      std::vector<float> y(2 * size_t{o.rows});
      ASSERT_TRUE(kernels.gemv_f32(view, 0, view.desc.num_tiles, x.ForF32(), y.data()));
      ASSERT_TRUE(kernels.gemv_i8(view, 0, view.desc.num_tiles, x.ForI8(), y.data() + o.rows));
      uint64_t actual = 0xcbf29ce484222325u;  // FNV-1a
      for (const float value : y) {
        actual = (actual ^ std::bit_cast<uint32_t>(value)) * 0x100000001b3u;
      }
      EXPECT_EQ(actual, hash) << variant.Name() << ' ' << CpuTargetName(target);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, TargetTest, testing::ValuesIn(kAllCpuTargets),
                         [](const auto& row) { return std::string(CpuTargetName(row.param)); });

}  // namespace
}  // namespace ecq

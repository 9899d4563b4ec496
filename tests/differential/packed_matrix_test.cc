// PackedMatrix: products, rows and integers of whole coded matrices, fixes and column scales
// included, on every target.
#include "ecq/backend/packed_matrix.h"

#include <gtest/gtest.h>

#include "ecq/base/cpu_target.h"
#include "ecq/kernels/packed_kernels.h"
#include "ecq/pack/pack.h"
#include "tests/differential/on_cpu_target.h"
#include "tests/differential/packed_test_util.h"

namespace ecq {
namespace {

constexpr double kUnit = 0x1p-24;

class PackedMatrixTest : public OnCpuTarget {
 protected:
  PackedMatrix Coded(const QuantizedTensor& source, const PackOptions& options = {}) {
    auto packed = Pack(source, options, pool_);
    EXPECT_TRUE(packed.ok()) << packed.error().message;
    return PackedMatrix(std::move(packed).value());
  }

  ThreadPool pool_{3};
};

struct Case {
  const char* name;
  RandomTensorOptions options;
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  const auto add = [&](const char* name, uint32_t rows, uint32_t cols) -> RandomTensorOptions& {
    cases.push_back({name, {}});
    cases.back().options.rows = rows;
    cases.back().options.cols = cols;
    return cases.back().options;
  };
  add("plain", 300, 96);
  add("one row", 1, 70).num_fixes = 1;
  add("one column", 70, 1);
  add("fixes", 257, 130).num_fixes = 200;
  {
    auto& o = add("columns scaled and sorted", 200, 160);
    o.col_scales = o.col_order = true;
    o.num_fixes = 30;
    o.span_ends = {64, 160};
  }
  {
    auto& o = add("groups with biases", 96, 200);
    o.scale_kind = ScaleKind::kGroup;
    o.group_size = 64;
    o.biases = true;
  }
  add("one scale", 130, 64).scale_kind = ScaleKind::kTensor;
  add("wide", 64, 3000).num_fixes = 20;
  return cases;
}

// W as f64, row-major in natural column order: exact.
std::vector<double> ExactWeights(const QuantizedTensor& t) {
  std::vector<double> weights(size_t{t.rows} * t.cols);
  auto fix = t.fixes.begin();
  for (uint32_t r = 0; r < t.rows; ++r) {
    for (uint32_t c = 0; c < t.cols; ++c) {
      double integer = t.levels[size_t{r} * t.cols + c];
      if (fix != t.fixes.end() && fix->row == r && fix->col == c) integer += (fix++)->delta;
      double weight = double{t.ScaleAt(r, c)} * integer + t.BiasAt(r, c);
      if (!t.col_scales.empty()) weight *= HalfToFloat(t.col_scales[c]);
      weights[size_t{r} * t.cols + (t.col_order.empty() ? c : t.col_order[c])] = weight;
    }
  }
  return weights;
}

// Sum over a row of what the computation adds up in magnitude. Pack() may have moved a level into a
// fix: then |stand-in| + |delta| is at most |integer| + 384.
double Magnitude(const QuantizedTensor& t, uint32_t row, const float* x) {
  auto [fix, fixes_end] = FixesOfRows(t.fixes, row, row + 1);
  double sum = 0;
  for (uint32_t c = 0; c < t.cols; ++c) {
    double integer = 384 + std::abs(t.levels[size_t{row} * t.cols + c]);
    if (fix != fixes_end && fix->col == c) integer += std::abs((fix++)->delta);
    double weight = std::abs(t.ScaleAt(row, c)) * integer + std::abs(t.BiasAt(row, c));
    if (!t.col_scales.empty()) weight *= std::abs(HalfToFloat(t.col_scales[c]));
    sum += weight * std::abs(x[t.col_order.empty() ? c : t.col_order[c]]);
  }
  return sum;
}

// x as the product sees it, in natural column order.
std::vector<float> SeenActivations(const QuantizedTensor& t, ActivationMode mode, const float* x) {
  std::vector<float> seen(x, x + t.cols);
  if (mode == ActivationMode::kF32) return seen;
  // Rounding happens in stored order and includes the columns' scales.
  std::vector<float> stored(t.cols);
  for (uint32_t c = 0; c < t.cols; ++c) {
    stored[c] = x[t.col_order.empty() ? c : t.col_order[c]];
    if (!t.col_scales.empty()) stored[c] *= HalfToFloat(t.col_scales[c]);
  }
  RoundActivations(stored.data(), t.cols, stored.data());
  for (uint32_t c = 0; c < t.cols; ++c) {
    const float scale = t.col_scales.empty() ? 1.0f : HalfToFloat(t.col_scales[c]);
    seen[t.col_order.empty() ? c : t.col_order[c]] = stored[c] / scale;
  }
  return seen;
}

TEST_P(PackedMatrixTest, MultipliesWithinTheBound) {
  Rng rng(61);
  for (const Case& test : Cases()) {
    const QuantizedTensor source = RandomTensor(rng, test.options);
    const std::vector<double> weights = ExactWeights(source);
    for (const PackOptions& options : {PackOptions{CodecId::kRans}, PackOptions{CodecId::kRaw}}) {
      const PackedMatrix matrix = Coded(source, options);
      for (const ActivationMode mode : {ActivationMode::kF32, ActivationMode::kI8}) {
        for (const size_t m : {1, 5, 40}) {
          std::vector<float> x(m * source.cols);
          for (float& v : x) v = static_cast<float>(rng.Gaussian());
          std::vector<float> y(m * source.rows, std::nanf(""));
          ASSERT_TRUE(matrix.Multiply(pool_, mode, m, x.data(), y.data()).ok());
          for (size_t i = 0; i < m; ++i) {
            const float* const xi = x.data() + i * source.cols;
            const auto seen = SeenActivations(source, mode, xi);
            for (uint32_t r = 0; r < source.rows; ++r) {
              double exact = 0;
              for (uint32_t c = 0; c < source.cols; ++c) {
                exact += weights[size_t{r} * source.cols + c] * seen[c];
              }
              // Any order of K products, their fixes and column scales: (K + fixes + 8) u.
              const double bound = (source.cols + source.fixes.size() + 8) * kUnit *
                                   Magnitude(source, r, seen.data());
              ASSERT_NEAR(y[i * source.rows + r], exact, bound)
                  << test.name << ", m " << m << ", row " << r;
            }
          }
        }
      }
    }
  }
}

TEST_P(PackedMatrixTest, GatherRowsIsDequantizeRowBitForBit) {
  Rng rng(62);
  for (const Case& test : Cases()) {
    const QuantizedTensor source = RandomTensor(rng, test.options);
    // With biases a fix adds a rounding of its own (docs/numerics.md); raw lists none here.
    const PackedMatrix matrix =
        Coded(source, {test.options.biases ? CodecId::kRaw : CodecId::kRans});
    std::vector<uint32_t> ids{0, source.rows - 1, source.rows / 2, 0};
    for (int i = 0; i < 50; ++i) ids.push_back(static_cast<uint32_t>(rng.Below(source.rows)));
    std::vector<float> out(ids.size() * source.cols);
    ASSERT_TRUE(matrix.GatherRows(pool_, ids, out.data()).ok());
    std::vector<float> expected(source.cols);
    for (size_t i = 0; i < ids.size(); ++i) {
      source.DequantizeRow(ids[i], expected.data());
      ASSERT_EQ(
          std::memcmp(expected.data(), out.data() + i * source.cols, source.cols * sizeof(float)),
          0)
          << test.name << ", row " << ids[i];
    }
    ASSERT_TRUE(matrix.GatherRows(pool_, {}, nullptr).ok());
  }
}

TEST_P(PackedMatrixTest, IntegersComeBackExactly) {
  Rng rng(63);
  for (const Case& test : Cases()) {
    for (const CodecId codec : {CodecId::kRaw, CodecId::kRans}) {
      const QuantizedTensor source = RandomTensor(rng, test.options);
      const PackedMatrix matrix = Coded(source, {codec});
      std::vector<int32_t> expected(source.levels.begin(), source.levels.end());
      for (const Fix& fix : source.fixes)
        expected[size_t{fix.row} * source.cols + fix.col] += fix.delta;
      std::vector<int32_t> actual(expected.size());
      const PackedDesc& desc = matrix.tensor().desc;
      for (uint32_t tile = 0; tile < desc.num_tiles; tile += 2) {
        const uint32_t begin = TileRowBegin(desc, tile);
        const uint32_t end = TileRowEnd(desc, std::min(tile + 1, desc.num_tiles - 1));
        ASSERT_TRUE(
            matrix.DecodeIntegers(begin, end, actual.data() + size_t{begin} * source.cols).ok());
      }
      ASSERT_EQ(actual, expected) << test.name;
    }
  }
}

// Listing rare levels as fixes is invisible from outside.
TEST_P(PackedMatrixTest, OutliersAreLossless) {
  Rng rng(64);
  RandomTensorOptions options;
  options.rows = 512;
  options.cols = 512;
  options.sigma = 1;
  options.num_fixes = 10;
  QuantizedTensor source = RandomTensor(rng, options);
  for (int i = 0; i < 30; ++i)
    source.levels[rng.Below(source.levels.size())] = RandomLevel(rng, options, 0);
  const PackedMatrix matrix = Coded(source, {CodecId::kRans});
  EXPECT_GT(matrix.tensor().fixes.size(), source.fixes.size());
  std::vector<int32_t> actual(source.levels.size());
  ASSERT_TRUE(matrix.DecodeIntegers(0, source.rows, actual.data()).ok());
  std::vector<int32_t> expected(source.levels.begin(), source.levels.end());
  for (const Fix& fix : source.fixes)
    expected[size_t{fix.row} * source.cols + fix.col] += fix.delta;
  EXPECT_EQ(actual, expected);
}

// A model gives the same numbers coded with rANS and raw, and with any number of threads.
TEST_P(PackedMatrixTest, ProductsDependNeitherOnCodecNorOnThreads) {
  Rng rng(65);
  ThreadPool one(1);
  for (const Case& test : Cases()) {
    QuantizedTensor source = RandomTensor(rng, test.options);
    // Levels that are common enough that none is listed as a fix.
    for (int8_t& level : source.levels) level = static_cast<int8_t>(level & 3);
    const PackedMatrix rans = Coded(source, {CodecId::kRans});
    const PackedMatrix raw = Coded(source, {CodecId::kRaw});
    std::vector<float> x(3 * source.cols);
    for (float& v : x) v = static_cast<float>(rng.Gaussian());
    for (const ActivationMode mode : {ActivationMode::kF32, ActivationMode::kI8}) {
      for (const size_t m : {1, 3}) {
        std::vector<float> a(m * source.rows), b(a), c(a);
        ASSERT_TRUE(rans.Multiply(pool_, mode, m, x.data(), a.data()).ok());
        ASSERT_TRUE(raw.Multiply(pool_, mode, m, x.data(), b.data()).ok());
        ASSERT_TRUE(rans.Multiply(one, mode, m, x.data(), c.data()).ok());
        ASSERT_EQ(rans.tensor().fixes.size(), raw.tensor().fixes.size()) << test.name;
        ASSERT_EQ(a, b) << test.name;
        ASSERT_EQ(a, c) << test.name;
      }
    }
  }
}

// A matrix of window codes is the matrix of its levels, in every operation.
TEST_P(PackedMatrixTest, WindowCodesAreTheirLevels) {
  Rng rng(68);
  for (const uint32_t tuple_bits : kWindowTupleBits) {
    RandomTensorOptions options;
    options.rows = 200;
    options.cols = 150;
    options.span_ends = {64, 96, 150};
    options.num_fixes = 20;
    options.col_order = true;
    QuantizedTensor source = RandomTensor(rng, options);
    ForcedCoding coding;
    coding.codec = CodecId::kWindow;
    coding.has_memory = tuple_bits % 3 != 1;
    coding.blocks_per_tile = 2;
    RandomWindowCoding(rng, tuple_bits, source, coding);
    const PackedMatrix window(ForcePack(source, coding));
    ForcedCoding raw_coding;
    raw_coding.codec = CodecId::kRaw;
    raw_coding.blocks_per_tile = 2;
    const PackedMatrix raw(ForcePack(source, raw_coding));
    std::vector<float> x(3 * source.cols);
    for (float& v : x) v = static_cast<float>(rng.Gaussian());
    for (const ActivationMode mode : {ActivationMode::kF32, ActivationMode::kI8}) {
      for (const size_t m : {1, 3}) {
        std::vector<float> a(m * source.rows), b(a);
        ASSERT_TRUE(window.Multiply(pool_, mode, m, x.data(), a.data()).ok());
        ASSERT_TRUE(raw.Multiply(pool_, mode, m, x.data(), b.data()).ok());
        ASSERT_EQ(a, b) << tuple_bits << " bits a tuple, m = " << m;
      }
    }
    const std::vector<uint32_t> ids{199, 0, 63, 64, 150};
    std::vector<float> a(ids.size() * source.cols), b(a);
    ASSERT_TRUE(window.GatherRows(pool_, ids, a.data()).ok());
    ASSERT_TRUE(raw.GatherRows(pool_, ids, b.data()).ok());
    ASSERT_EQ(a, b);
    std::vector<int32_t> integers(size_t{source.rows} * source.cols), expected(integers);
    ASSERT_TRUE(window.DecodeIntegers(0, source.rows, integers.data()).ok());
    ASSERT_TRUE(raw.DecodeIntegers(0, source.rows, expected.data()).ok());
    ASSERT_EQ(integers, expected);
  }
}

// Codings of `source` as products see them: every codec, as far as it can hold such a matrix.
std::vector<PackedMatrix> AllCodings(Rng& rng, const QuantizedTensor& source) {
  std::vector<PackedMatrix> matrices;
  for (const CodecId codec : {CodecId::kRaw, CodecId::kRans, CodecId::kWindow}) {
    ForcedCoding coding;
    coding.codec = codec;
    coding.prob_bits = {12};
    coding.blocks_per_tile = 2;
    coding.has_memory = true;
    QuantizedTensor tensor = source;
    if (codec == CodecId::kWindow) RandomWindowCoding(rng, 4, tensor, coding);
    matrices.emplace_back(ForcePack(tensor, coding));
  }
  return matrices;
}

// Row i of an int8 product of many rows is the product of row i, fixes and all, and is the same
// with any number of threads. Scalar code takes several rows to BLAS, and so only comes close.
TEST_P(PackedMatrixTest, Int8ProductsOfOneAndOfManyRowsAgree) {
  Rng rng(66);
  ThreadPool one_thread(1);
  for (const Case& test : Cases()) {
    const QuantizedTensor source = RandomTensor(rng, test.options);
    for (const PackedMatrix& matrix : AllCodings(rng, source)) {
      const bool exact =
          GetParam() != CpuTarget::kScalar && WhyNotVectorized(matrix.view()) == nullptr;
      for (const size_t m : {2, 5, 150}) {
        std::vector<float> x(m * source.cols);
        for (float& v : x) v = static_cast<float>(rng.Gaussian());
        std::vector<float> many(m * source.rows), again(many), one(source.rows);
        const auto multiply = [&](ThreadPool& pool, size_t rows, const float* from, float* y) {
          return matrix.Multiply(pool, ActivationMode::kI8, rows, from, y).ok();
        };
        ASSERT_TRUE(multiply(pool_, m, x.data(), many.data()));
        ASSERT_TRUE(multiply(one_thread, m, x.data(), again.data()));
        ASSERT_EQ(many, again) << test.name;
        for (size_t i = 0; i < m; ++i) {
          ASSERT_TRUE(multiply(pool_, 1, x.data() + i * source.cols, one.data()));
          const auto seen =
              SeenActivations(source, ActivationMode::kI8, x.data() + i * source.cols);
          for (uint32_t r = 0; r < source.rows; ++r) {
            const double tolerance =
                exact ? 0
                      : 2 * static_cast<double>(source.cols + source.fixes.size() + 8) * kUnit *
                            Magnitude(source, r, seen.data());
            ASSERT_NEAR(many[i * source.rows + r], one[r], tolerance)
                << test.name << ", m " << m << ", row " << r;
          }
        }
      }
    }
  }
}

// An input that several matrices share, of equal and of other layouts, gives what it gives to each
// alone.
TEST_P(PackedMatrixTest, InputsCanBeShared) {
  Rng rng(69);
  std::vector<PackedMatrix> matrices;
  for (int i = 0; i < 8; ++i) {
    RandomTensorOptions options;
    options.rows = 64;
    options.cols = 192;
    options.col_order = i % 4 == 1;
    options.col_scales = i % 4 == 2;
    options.biases = i == 3 || i == 6;
    options.scale_kind = i % 3 == 0 ? ScaleKind::kGroup : ScaleKind::kRow;
    options.group_size = i == 3 ? 32 : 64;
    QuantizedTensor source = RandomTensor(rng, options);
    if (i % 4 == 3) source.rotation = 64;
    for (PackedMatrix& matrix : AllCodings(rng, source)) matrices.push_back(std::move(matrix));
  }
  Activations shared;
  for (const size_t m : {1, 6, 1, 37}) {
    std::vector<float> x(m * 192);
    for (float& v : x) v = static_cast<float>(rng.Gaussian());
    for (const ActivationMode mode : {ActivationMode::kF32, ActivationMode::kI8}) {
      shared.Reset(m, 192, x.data());
      for (size_t step = 0; step < 3 * matrices.size(); ++step) {
        const PackedMatrix& matrix = matrices[rng.Below(matrices.size())];
        std::vector<float> alone(m * 64), together(alone);
        ASSERT_TRUE(matrix.Multiply(pool_, mode, m, x.data(), alone.data()).ok());
        ASSERT_TRUE(matrix.Multiply(pool_, mode, shared, together.data()).ok());
        ASSERT_EQ(alone, together) << "m " << m << ", step " << step;
      }
    }
  }
}

TEST_P(PackedMatrixTest, DamageIsReported) {
  Rng rng(67);
  RandomTensorOptions options;
  options.rows = 256;
  options.cols = 128;
  const QuantizedTensor source = RandomTensor(rng, options);
  PackedTensor packed = ForcePack(source, {CodecId::kRans, {12}});
  std::vector<uint8_t> payload(packed.payload.begin(), packed.payload.end());
  payload[700] ^= 0x10;
  payload.resize(payload.size() + kPayloadReadPadding);
  packed.payload = std::span(payload).first(packed.payload.size());
  const PackedMatrix matrix(packed);
  std::vector<float> x(3 * 128, 1.0f), y(3 * 256), row(128);
  std::vector<int32_t> integers(256 * 128);
  const uint32_t id = 700 * 256 / static_cast<uint32_t>(packed.payload.size());
  for (const Status& status : {matrix.Multiply(pool_, ActivationMode::kF32, 1, x.data(), y.data()),
                               matrix.Multiply(pool_, ActivationMode::kI8, 1, x.data(), y.data()),
                               matrix.Multiply(pool_, ActivationMode::kF32, 3, x.data(), y.data()),
                               matrix.Multiply(pool_, ActivationMode::kI8, 3, x.data(), y.data()),
                               matrix.GatherRows(pool_, std::span(&id, 1), row.data()),
                               matrix.DecodeIntegers(0, 256, integers.data())}) {
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, PackedMatrixTest, testing::ValuesIn(kAllCpuTargets),
                         [](const auto& row) { return std::string(CpuTargetName(row.param)); });

}  // namespace
}  // namespace ecq

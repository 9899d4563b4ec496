// The baseline grids against vectors of the projects that define them, and their own invariants.
#include "ecq/quant/baseline_grids.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "ecq/base/bytes.h"
#include "ecq/base/half.h"
#include "ecq/base/rng.h"

namespace ecq {
namespace {

// tests/vectors/quant, written by tools/oracles/quant_vectors.py.
template <typename T>
std::vector<T> ReadVector(const std::string& name) {
  std::ifstream in(std::string(ECQ_SOURCE_DIR "/tests/vectors/quant/") + name, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  std::vector<T> values(bytes.size() / sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) values[i] = LoadLe<T>(bytes.data() + i * sizeof(T));
  EXPECT_FALSE(values.empty()) << name;
  return values;
}

constexpr uint32_t kVectorCols = 256;

WeightView View(const std::vector<float>& w, uint32_t cols) {
  return {w.data(), static_cast<uint32_t>(w.size() / cols), cols};
}

QuantizedTensor Quantize(std::string_view grid, const std::vector<float>& w, uint32_t cols,
                         size_t threads = 1) {
  ThreadPool pool(threads);
  const BaselineGrid* const found = FindBaselineGrid(grid);
  EXPECT_NE(found, nullptr) << grid;
  return found->quantize(View(w, cols), pool);
}

std::vector<float> GaussianWeights(uint64_t seed, size_t n, double sigma) {
  Rng rng(seed);
  std::vector<float> w(n);
  for (float& v : w) v = static_cast<float>(sigma * rng.Gaussian());
  return w;
}

TEST(BaselineGridsTest, Q40IsWhatGgufWrites) {
  const auto w = ReadVector<float>("weights.f32");
  const auto blocks = ReadVector<uint8_t>("q4_0.blocks");
  const QuantizedTensor t = Quantize("q4_0", w, kVectorCols);
  constexpr size_t kBlockBytes = 18;  // an f16 scale and 32 nibbles
  ASSERT_EQ(blocks.size(), w.size() / 32 * kBlockBytes);
  for (uint32_t row = 0; row < t.rows; ++row) {
    for (uint32_t group = 0; group < kVectorCols / 32; ++group) {
      const uint8_t* const block = blocks.data() + (row * (kVectorCols / 32) + group) * kBlockBytes;
      ASSERT_EQ(t.scales[group * t.rows + row], LoadLe<uint16_t>(block)) << row << ' ' << group;
      for (uint32_t i = 0; i < 32; ++i) {
        // Byte j holds weight j in its low half and weight j + 16 in its high half.
        const uint8_t byte = block[2 + i % 16];
        const int32_t code = (i < 16 ? byte & 15 : byte >> 4) - 8;
        ASSERT_EQ(t.levels[row * kVectorCols + group * 32 + i], code)
            << "row " << row << ", column " << group * 32 + i;
      }
    }
  }
  EXPECT_EQ(t.scale_exponent, 0);
  EXPECT_TRUE(t.biases.empty());
}

void ExpectMlxVectors(int bits) {
  const std::string prefix = "mlx" + std::to_string(bits);
  const auto w = ReadVector<float>("weights.f32");
  const auto levels = ReadVector<uint8_t>(prefix + ".levels");
  const auto scales = ReadVector<uint16_t>(prefix + ".scales");
  const auto biases = ReadVector<uint16_t>(prefix + ".biases");
  const QuantizedTensor t = Quantize(prefix + "-g64", w, kVectorCols);
  constexpr uint32_t kGroups = kVectorCols / 64;
  for (uint32_t row = 0; row < t.rows; ++row) {
    for (uint32_t group = 0; group < kGroups; ++group) {
      ASSERT_EQ(t.scales[group * t.rows + row], scales[row * kGroups + group]) << row;
      ASSERT_EQ(t.biases[group * t.rows + row], biases[row * kGroups + group]) << row;
    }
    for (uint32_t c = 0; c < kVectorCols; ++c) {
      ASSERT_EQ(t.levels[row * kVectorCols + c], levels[row * kVectorCols + c]) << row << ' ' << c;
    }
  }
}

TEST(BaselineGridsTest, Mlx4IsTheFormulaOfMlx) { ExpectMlxVectors(4); }
TEST(BaselineGridsTest, Mlx3IsTheFormulaOfMlx) { ExpectMlxVectors(3); }

struct Expectation {
  const char* name;
  ScaleKind kind;
  uint32_t group_size;
  bool biases;
  int32_t level_min;
  int32_t level_max;
};
constexpr Expectation kExpectations[] = {
    {"tensor-minmax4", ScaleKind::kTensor, 0, true, 0, 15},
    {"tensor-absmax4", ScaleKind::kTensor, 0, false, -8, 7},
    {"row4", ScaleKind::kRow, 0, true, 0, 15},
    {"q4_0", ScaleKind::kGroup, 32, false, -8, 7},
    {"mlx4-g64", ScaleKind::kGroup, 64, true, 0, 15},
    {"mlx3-g64", ScaleKind::kGroup, 64, true, 0, 7},
};

TEST(BaselineGridsTest, EveryGridKeepsItsShapeAndRange) {
  EXPECT_EQ(BaselineGrids().size(), std::size(kExpectations));
  EXPECT_EQ(FindBaselineGrid("q5_9"), nullptr);
  // 100 columns: the last group of 32 has 4, that of 64 has 36.
  for (const uint32_t cols : {1u, 31u, 64u, 100u, 256u}) {
    const auto w = GaussianWeights(71, size_t{24} * cols, 0.02);
    for (const Expectation& e : kExpectations) {
      const QuantizedTensor t = Quantize(e.name, w, cols);
      EXPECT_EQ(t.grid, e.name);
      EXPECT_EQ(t.rows, 24u);
      EXPECT_EQ(t.cols, cols);
      EXPECT_EQ(t.levels.size(), w.size());
      EXPECT_EQ(t.scale_kind, e.kind);
      EXPECT_EQ(t.group_size, e.group_size);
      EXPECT_EQ(t.scales.size(), t.NumScales());
      EXPECT_EQ(t.biases.size(), e.biases ? t.scales.size() : 0);
      EXPECT_TRUE(t.fixes.empty());
      const auto [low, high] = std::minmax_element(t.levels.begin(), t.levels.end());
      EXPECT_GE(*low, e.level_min) << e.name;
      EXPECT_LE(*high, e.level_max) << e.name;
    }
  }
}

// Every weight is within the grid's largest error of where it was: half a step inside the range, a
// whole one where the range is cut by one level, and what rounding scale and bias to f16 adds.
TEST(BaselineGridsTest, ErrorsStayBelowAStep) {
  constexpr uint32_t kCols = 100;
  const auto w = GaussianWeights(72, 40 * kCols, 0.05);
  std::vector<float> row(kCols);
  for (const Expectation& e : kExpectations) {
    const QuantizedTensor t = Quantize(e.name, w, kCols);
    double square = 0;
    for (uint32_t r = 0; r < t.rows; ++r) {
      t.DequantizeRow(r, row.data());
      for (uint32_t c = 0; c < kCols; ++c) {
        const double error = std::abs(row[c] - w[r * kCols + c]);
        const double step = std::abs(t.ScaleAt(r, c));
        ASSERT_LE(error, 1.02 * step) << e.name << " at " << r << ", " << c;
        square += error * error / (step * step);
      }
    }
    const double mean_square = square / static_cast<double>(w.size());
    EXPECT_GT(mean_square, 0.06) << e.name;  // 1/12 where rounding is uniform
    EXPECT_LT(mean_square, 0.12) << e.name;
  }
}

TEST(BaselineGridsTest, ZerosStayZero) {
  const std::vector<float> w(3 * 70, 0.0f);
  std::vector<float> row(70);
  for (const BaselineGrid& grid : BaselineGrids()) {
    const QuantizedTensor t = Quantize(grid.name, w, 70);
    for (uint32_t r = 0; r < 3; ++r) {
      t.DequantizeRow(r, row.data());
      for (const float v : row) ASSERT_EQ(v, 0.0f) << grid.name;
    }
  }
}

TEST(BaselineGridsTest, ThreadsDoNotMatter) {
  const auto w = GaussianWeights(73, 50 * 96, 0.05);
  for (const BaselineGrid& grid : BaselineGrids()) {
    const QuantizedTensor one = Quantize(grid.name, w, 96, 1);
    const QuantizedTensor three = Quantize(grid.name, w, 96, 3);
    EXPECT_EQ(one.levels, three.levels) << grid.name;
    EXPECT_EQ(one.scales, three.scales) << grid.name;
    EXPECT_EQ(one.biases, three.biases) << grid.name;
  }
}

}  // namespace
}  // namespace ecq

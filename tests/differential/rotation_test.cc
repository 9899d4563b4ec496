// Rotated matrices: products and rows of PackedMatrix against dense weights that are rotated back
// here, straight from the definition, in f64.
#include <gtest/gtest.h>

#include <bit>

#include "ecq/base/cpu_target.h"
#include "ecq/base/hadamard.h"
#include "ecq/pack/pack.h"
#include "tests/differential/on_cpu_target.h"
#include "tests/differential/packed_test_util.h"

namespace ecq {
namespace {

constexpr double kUnit = 0x1p-24;

// u times this and BlockMagnitude() bounds the error of a rotated value (docs/numerics.md).
double RotationRoundings(uint32_t block) { return std::bit_width(block) - 1 + 3; }

// sum over the block of i of |x| / sqrt(block), which bounds |(H S x)_i|.
double BlockMagnitude(const double* x, size_t i, uint32_t block) {
  double sum = 0;
  const size_t begin = i / block * block;
  for (size_t k = begin; k < begin + block; ++k) sum += std::abs(x[k]);
  return sum / std::sqrt(block);
}

// S H x from the definition.
std::vector<double> RotatedBack(const std::vector<double>& x, uint32_t block) {
  std::vector<double> out(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t begin = i / block * block;
    double sum = 0;
    for (size_t j = 0; j < block; ++j) {
      sum += std::popcount((i - begin) & j) % 2 == 0 ? x[begin + j] : -x[begin + j];
    }
    const bool negative = (static_cast<uint32_t>(i) * 0x9e3779b1u >> 31) != 0;
    out[i] = (negative ? -sum : sum) / std::sqrt(double(block));
  }
  return out;
}

// Row `row` as it is stored, but with its columns in their places: exact.
std::vector<double> StoredRow(const QuantizedTensor& t, uint32_t row) {
  std::vector<double> weights(t.cols);
  auto [fix, end] = FixesOfRows(t.fixes, row, row + 1);
  for (uint32_t c = 0; c < t.cols; ++c) {
    double integer = t.levels[size_t{row} * t.cols + c];
    if (fix != end && fix->col == c) integer += (fix++)->delta;
    double weight = double{t.ScaleAt(row, c)} * integer;
    if (!t.col_scales.empty()) weight *= HalfToFloat(t.col_scales[c]);
    weights[t.col_order.empty() ? c : t.col_order[c]] = weight;
  }
  return weights;
}

struct Coded {
  const char* name;
  QuantizedTensor source;
  PackedTensor packed;
};

class RotationTest : public OnCpuTarget {
 protected:
  Coded Rans(const char* name, RandomTensorOptions options, uint32_t rotation) {
    QuantizedTensor source = RandomTensor(rng_, options);
    source.rotation = rotation;
    auto packed = Pack(source, {CodecId::kRans}, pool_);
    EXPECT_TRUE(packed.ok()) << packed.error().message;
    return {name, std::move(source), std::move(packed).value()};
  }

  Coded Window(const char* name, RandomTensorOptions options, uint32_t rotation) {
    QuantizedTensor source = RandomTensor(rng_, options);
    source.rotation = rotation;
    ForcedCoding coding;
    coding.codec = CodecId::kWindow;
    coding.has_memory = true;
    RandomWindowCoding(rng_, 10, source, coding);
    PackedTensor packed = ForcePack(source, coding);
    return {name, std::move(source), std::move(packed)};
  }

  std::vector<Coded> Cases() {
    RandomTensorOptions plain;
    plain.rows = 70;
    plain.cols = 192;
    RandomTensorOptions full = plain;
    full.span_ends = {64, 192};
    full.num_fixes = 25;
    full.col_scales = full.col_order = true;
    RandomTensorOptions wide;
    wide.rows = 33;
    wide.cols = 8192;
    std::vector<Coded> cases;
    cases.push_back(Rans("rans", plain, 64));
    cases.push_back(Rans("rans in pairs, all parts", full, 2));
    cases.push_back(Rans("rans, the widest block", wide, kMaxHadamardBlock));
    cases.push_back(Window("window", plain, 64));
    cases.push_back(Window("window, all parts", full, 32));
    cases.push_back(Window("window, the widest block", wide, kMaxHadamardBlock));
    return cases;
  }

  std::vector<float> RandomX(size_t size) {
    std::vector<float> x(size);
    for (float& v : x) v = static_cast<float>(rng_.Gaussian());
    return x;
  }

  Rng rng_{71};
  ThreadPool pool_{3};
};

TEST_P(RotationTest, RowsAreRotatedBack) {
  for (const Coded& test : Cases()) {
    const QuantizedTensor& t = test.source;
    const PackedMatrix matrix(test.packed);
    const std::vector<uint32_t> ids{t.rows - 1, 0, 31, 32, 0};
    std::vector<float> rows(ids.size() * t.cols);
    ASSERT_TRUE(matrix.GatherRows(pool_, ids, rows.data()).ok());
    std::vector<float> row(t.cols);
    for (size_t i = 0; i < ids.size(); ++i) {
      t.DequantizeRow(ids[i], row.data());
      ASSERT_EQ(std::memcmp(row.data(), rows.data() + i * t.cols, t.cols * sizeof(float)), 0)
          << test.name << ", row " << ids[i];
      const std::vector<double> stored = StoredRow(t, ids[i]);
      const std::vector<double> exact = RotatedBack(stored, t.rotation);
      for (uint32_t c = 0; c < t.cols; ++c) {
        // Three more for a fix and the column's scale.
        const double bound = (RotationRoundings(t.rotation) + 3) * kUnit *
                             BlockMagnitude(stored.data(), c, t.rotation);
        ASSERT_NEAR(row[c], exact[c], bound) << test.name << ", row " << ids[i] << ", " << c;
      }
    }
  }
}

// The kernels know nothing of it: x is rotated, and that is all.
TEST_P(RotationTest, ProductsAreThoseOfRotatedActivationsBitForBit) {
  for (const Coded& test : Cases()) {
    const QuantizedTensor& t = test.source;
    const PackedMatrix rotated(test.packed);
    PackedTensor bare = test.packed;
    bare.desc.rotation = 0;
    const PackedMatrix plain(bare);
    for (const size_t m : {1, 3}) {
      const std::vector<float> x = RandomX(m * t.cols);
      std::vector<float> turned = x;
      for (size_t i = 0; i < m; ++i) {
        RotateHadamard(turned.data() + i * t.cols, t.cols, t.rotation);
      }
      for (const ActivationMode mode : {ActivationMode::kF32, ActivationMode::kI8}) {
        std::vector<float> a(m * t.rows), b(a);
        ASSERT_TRUE(rotated.Multiply(pool_, mode, m, x.data(), a.data()).ok());
        ASSERT_TRUE(plain.Multiply(pool_, mode, m, turned.data(), b.data()).ok());
        ASSERT_EQ(a, b) << test.name << ", m = " << m;
      }
    }
  }
}

// What one row of a product may be off: roundings of the product, of the rotation of x and, with
// int8, the rounded activations.
double ProductBound(const QuantizedTensor& t, const std::vector<double>& stored, const float* x,
                    ActivationMode mode, uint32_t row) {
  std::vector<float> turned(x, x + t.cols);
  RotateHadamard(turned.data(), t.cols, t.rotation);
  std::vector<float> seen(t.cols);  // in stored order
  for (uint32_t c = 0; c < t.cols; ++c) {
    seen[c] = turned[t.col_order.empty() ? c : t.col_order[c]];
    if (!t.col_scales.empty()) seen[c] *= HalfToFloat(t.col_scales[c]);
  }
  std::vector<int8_t> q(PaddedActivations(t.cols));
  std::vector<float> d(NumActivationBlocks(t.cols));
  QuantizeActivations(seen.data(), t.cols, q.data(), d.data());
  const std::vector<double> exact_x(x, x + t.cols);
  std::vector<double> spread(t.cols);  // bounds of the rotated values
  for (uint32_t c = 0; c < t.cols; ++c) {
    spread[c] = c % t.rotation == 0 ? BlockMagnitude(exact_x.data(), c, t.rotation) : spread[c - 1];
  }
  double magnitude = 0;
  double rotation = 0;
  double rounding = 0;
  for (uint32_t c = 0; c < t.cols; ++c) {
    const uint32_t place = t.col_order.empty() ? c : t.col_order[c];
    const double scale = std::abs(double{t.ScaleAt(row, c)});
    const double seen_x = std::abs(double{seen[c]}) +
                          (mode == ActivationMode::kI8 ? double{d[c / kActivationBlock]} : 0);
    // Pack() may have moved a level into a fix: |stand-in| + |delta| is at most |integer| + 384.
    const double col_scale = t.col_scales.empty() ? 1 : HalfToFloat(t.col_scales[c]);
    const double integers = std::abs(stored[place] / (scale * col_scale)) + 384;
    magnitude += scale * integers * seen_x;
    rotation += std::abs(stored[place]) * spread[place];
    rounding += 0.51 * d[c / kActivationBlock] * std::abs(stored[place] / col_scale);
  }
  return (t.cols + t.fixes.size() + 8) * kUnit * magnitude +
         RotationRoundings(t.rotation) * kUnit * rotation +
         (mode == ActivationMode::kI8 ? rounding : 0);
}

TEST_P(RotationTest, ProductsAreThoseOfTheDenseWeights) {
  for (const Coded& test : Cases()) {
    const QuantizedTensor& t = test.source;
    const PackedMatrix matrix(test.packed);
    // Rotating back from the definition takes K * block steps for each row.
    const uint32_t step = t.cols > 1000 ? kMaxLanes : 7;
    std::vector<std::vector<double>> stored, weights;
    for (uint32_t r = 0; r < t.rows; r += step) {
      stored.push_back(StoredRow(t, r));
      weights.push_back(RotatedBack(stored.back(), t.rotation));
    }
    for (const ActivationMode mode : {ActivationMode::kF32, ActivationMode::kI8}) {
      for (const size_t m : {1, 5}) {
        const std::vector<float> x = RandomX(m * t.cols);
        std::vector<float> y(m * t.rows, std::nanf(""));
        ASSERT_TRUE(matrix.Multiply(pool_, mode, m, x.data(), y.data()).ok());
        for (size_t i = 0; i < m; ++i) {
          const float* const xi = x.data() + i * t.cols;
          for (uint32_t n = 0; n < weights.size(); ++n) {
            const uint32_t r = n * step;
            double exact = 0;
            for (uint32_t c = 0; c < t.cols; ++c) exact += weights[n][c] * xi[c];
            ASSERT_NEAR(y[i * t.rows + r], exact, ProductBound(t, stored[n], xi, mode, r))
                << test.name << ", m = " << m << ", row " << r;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, RotationTest, testing::ValuesIn(kAllCpuTargets),
                         [](const auto& row) { return std::string(CpuTargetName(row.param)); });

}  // namespace
}  // namespace ecq

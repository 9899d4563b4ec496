// The calibrated quantizer with the real coder: a budget is met in real bytes, and what was coded
// comes back.
#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "ecq/backend/packed_matrix.h"
#include "ecq/pack/pack.h"
#include "ecq/quant/moments_for_test.h"
#include "ecq/quant/zsic_quantizer.h"

namespace ecq {
namespace {

InputFactor MustFactor(const InputMoments& moments) {
  auto factor = InputFactor::Create(moments, {}, "w");
  EXPECT_TRUE(factor.ok()) << factor.error().message;
  return std::move(factor).value();
}

// The integers of all rows, as decoded and as quantized.
void ExpectSameIntegers(const PackedTensor& packed, const QuantizedTensor& t) {
  std::vector<int32_t> expected(t.levels.begin(), t.levels.end());
  for (const Fix& fix : t.fixes) expected[size_t{fix.row} * t.cols + fix.col] += fix.delta;
  std::vector<int32_t> decoded(expected.size());
  const PackedMatrix matrix(packed);
  const Status status = matrix.DecodeIntegers(0, t.rows, decoded.data());
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(decoded, expected);
}

TEST(CalibratedRateTest, MeetsABudgetInRealBytes) {
  ThreadPool pool(1);
  for (const auto& [rows, cols] : {std::pair{576u, 192u}, {300u, 515u}}) {
    const TestMatrix m = GaussianMatrix(1, rows, cols, 0.3);
    const InputFactor factor = MustFactor(CorrelatedMoments(2, cols, 0.8, 0.7));
    const auto quantizer = ZsicQuantizer::Create(m.view(), factor, {}, pool);
    ASSERT_TRUE(quantizer.ok()) << quantizer.error().message;
    for (const CodecId codec : {CodecId::kRans, CodecId::kRans16}) {
      PackOptions options;
      options.codec = codec;
      const auto bytes_of = [&](const QuantizedTensor& t) -> Result<double> {
        ECQ_TRY(const PackedTensor packed, Pack(t, options, pool));
        return static_cast<double>(packed.total_bytes());
      };
      for (const double bpw : {1.5, 2.2, 3.0, 4.0}) {
        const double target = bpw * static_cast<double>(m.w.size()) / 8;
        const auto found = quantizer->FindStep(target, bytes_of, pool);
        ASSERT_TRUE(found.ok()) << found.error().message;
        EXPECT_NEAR(found->bytes / target, 1, 0.005 / bpw) << rows << " x " << cols;
        const auto packed = Pack(found->output.tensor, options, pool);
        ASSERT_TRUE(packed.ok()) << packed.error().message;
        ExpectSameIntegers(*packed, found->output.tensor);
      }
    }
  }
}

// Inputs a thousand times as large as the others, and some that are always zero.
TEST(CalibratedRateTest, OutliersAndDeadColumnsComeBack) {
  constexpr uint32_t kCols = 300;
  const TestMatrix m = GaussianMatrix(7, 256, kCols);
  InputMoments moments = CorrelatedMoments(8, kCols, 0.3, 0.2);
  for (const uint32_t column : {5u, 77u, 140u}) {
    for (uint32_t k = 0; k < kCols; ++k) {
      moments.sums[column * kCols + k] = moments.sums[k * kCols + column] = 0;
    }
  }
  moments.sums[77 * (kCols + 1)] = 1e8f * moments.sums[0];
  FactorOptions options;
  options.damping = 1e-10;
  const auto factor = InputFactor::Create(moments, options, "w");
  ASSERT_TRUE(factor.ok()) << factor.error().message;
  EXPECT_EQ(factor->num_dead(), 2u);
  ThreadPool pool(1);
  const auto quantizer = ZsicQuantizer::Create(m.view(), *factor, {}, pool);
  ASSERT_TRUE(quantizer.ok()) << quantizer.error().message;
  const auto output = quantizer->Quantize(0.5, pool);
  ASSERT_TRUE(output.ok()) << output.error().message;
  const QuantizedTensor& t = output->tensor;
  EXPECT_GT(t.fixes.size(), 200u);
  const auto packed = Pack(t, {}, pool);
  ASSERT_TRUE(packed.ok()) << packed.error().message;
  ExpectSameIntegers(*packed, t);
  std::vector<float> row(kCols);
  for (uint32_t r = 0; r < m.rows; ++r) {
    t.DequantizeRow(r, row.data());
    EXPECT_EQ(row[5], 0);
    EXPECT_EQ(row[140], 0);
    EXPECT_NEAR(row[77], m.w[r * kCols + 77], 1e-3);
  }
}

}  // namespace
}  // namespace ecq

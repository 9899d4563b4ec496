// Matrices of the calibrated window quantizer as they are packed: integers come back, and the bytes
// are those asked for.
#include <gtest/gtest.h>

#include "ecq/backend/packed_matrix.h"
#include "ecq/codec/window_table.h"
#include "ecq/pack/pack.h"
#include "ecq/quant/moments_for_test.h"
#include "ecq/quant/window_column_coder.h"
#include "ecq/quant/window_successive.h"

namespace ecq {
namespace {

// What the matrix takes in a file, with columns as 4 bits of class and fixes as kFixBits each.
double StoredBits(const PackedTensor& packed, bool pays_for_tables) {
  double bytes = static_cast<double>(packed.payload.size() + packed.index.size_bytes() +
                                     packed.scales.size_bytes() + packed.col_scales.size_bytes()) +
                 packed.desc.cols / 2.0;
  for (const WindowTable& table : packed.windows) {
    bytes += pays_for_tables ? static_cast<double>(WindowTableBytes(table)) : 0;
  }
  return 8 * bytes + kFixBits * static_cast<double>(packed.fixes.size());
}

struct Shape {
  uint32_t rows;
  uint32_t cols;
};

TEST(CalibratedWindowTest, IntegersComeBackAndTheBytesAreThoseAskedFor) {
  ThreadPool pool(2);
  for (const Shape shape : {Shape{192, 1024}, Shape{1000, 800}, Shape{333, 1100}}) {
    TestMatrix m = GaussianMatrix(shape.rows, shape.rows, shape.cols, 0.3);
    for (size_t i = 0; i < m.w.size(); i += 4999) m.w[i] *= 8;
    const InputMoments moments = CorrelatedMoments(3, shape.cols, 0.7, 0.5);
    for (const bool pays : {false, true}) {
      for (const double bpw : {2.3, 3.0}) {
        const SuccessiveWindowOptions options = {
            .bpw = bpw, .has_memory = pays, .pays_for_tables = pays};
        const auto q = QuantizeWindowSuccessive(m.view(), moments, options, "w", pool);
        ASSERT_TRUE(q.ok()) << q.error().message;
        auto packed = Pack(*q, {}, pool);
        ASSERT_TRUE(packed.ok()) << packed.error().message;
        EXPECT_EQ(packed->desc.codec, CodecId::kWindow);
        const double bits = StoredBits(*packed, pays) / static_cast<double>(m.w.size());
        EXPECT_LE(bits, 1.002 * bpw);
        // A group of 32 columns has half a bit more or less.
        EXPECT_GT(bits, bpw - 16.0 / shape.cols - 0.012) << shape.rows << " x " << shape.cols;

        const PackedMatrix matrix(std::move(packed).value());
        std::vector<int32_t> integers(m.w.size());
        ASSERT_TRUE(matrix.DecodeIntegers(0, shape.rows, integers.data()).ok());
        std::vector<int32_t> expected(q->levels.begin(), q->levels.end());
        for (const Fix& fix : q->fixes) expected[size_t{fix.row} * q->cols + fix.col] += fix.delta;
        EXPECT_EQ(integers, expected);
      }
    }
  }
}

}  // namespace
}  // namespace ecq

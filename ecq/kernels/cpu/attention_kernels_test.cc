// Every attention kernel of every target this machine supports against the scalar reference.
#include "ecq/kernels/cpu/attention_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/half.h"
#include "ecq/base/rng.h"
#include "ecq/kernels/reference/attention.h"

namespace ecq {
namespace {

constexpr double kUlp = 0x1p-24;

// Random keys and values of one head, and what a reader sees of them.
class Head {
 public:
  Head(Rng& rng, KvFormat format, size_t head_dim, size_t positions)
      : format_(format),
        head_dim_(head_dim),
        keys_(AlignUp(positions, kKvBlock) * head_dim * KvElementBytes(format)),
        values_(positions * KvValueStride(head_dim) * KvElementBytes(format)) {
    std::fill(keys_.begin(), keys_.end(), uint8_t{0});
    std::fill(values_.begin(), values_.end(), uint8_t{0});
    for (size_t p = 0; p < AlignUp(positions, kKvBlock); ++p) {
      key_scales_.push_back(static_cast<float>(0.01 + 0.01 * rng.Uniform()));
      value_scales_.push_back(static_cast<float>(0.01 + 0.01 * rng.Uniform()));
    }
    for (size_t p = 0; p < positions; ++p) {
      for (size_t d = 0; d < head_dim; ++d) {
        Put(rng, &keys_, (p / kKvBlock * head_dim + d) * kKvBlock + p % kKvBlock);
        Put(rng, &values_, p * KvValueStride(head_dim) + d);
      }
    }
  }

  KvView view() const {
    return {format_,        head_dim_,          keys_.data(),
            values_.data(), key_scales_.data(), value_scales_.data()};
  }
  double Key(size_t p, size_t d) const {
    const double k = Get(keys_, (p / kKvBlock * head_dim_ + d) * kKvBlock + p % kKvBlock);
    return format_ == KvFormat::kI8 ? k * key_scales_[p] : k;
  }
  double Value(size_t p, size_t d) const {
    const double v = Get(values_, p * KvValueStride(head_dim_) + d);
    return format_ == KvFormat::kI8 ? v * value_scales_[p] : v;
  }

 private:
  void Put(Rng& rng, AlignedBuffer<uint8_t>* to, size_t i) {
    const float x = static_cast<float>(rng.Gaussian());
    switch (format_) {
      case KvFormat::kF32:
        return StoreLe(to->data() + i * sizeof(float), x);
      case KvFormat::kF16:
        return StoreLe(to->data() + i * sizeof(uint16_t), FloatToHalf(x));
      case KvFormat::kI8:
        return StoreLe(to->data() + i, static_cast<int8_t>(std::clamp(x * 40, -127.0f, 127.0f)));
    }
  }
  double Get(const AlignedBuffer<uint8_t>& from, size_t i) const {
    switch (format_) {
      case KvFormat::kF32:
        return LoadLe<float>(from.data() + i * sizeof(float));
      case KvFormat::kF16:
        return HalfToFloat(LoadLe<uint16_t>(from.data() + i * sizeof(uint16_t)));
      case KvFormat::kI8:
        return LoadLe<int8_t>(from.data() + i);
    }
    return 0;
  }

  KvFormat format_;
  size_t head_dim_;
  AlignedBuffer<uint8_t> keys_;
  AlignedBuffer<uint8_t> values_;
  std::vector<float> key_scales_;
  std::vector<float> value_scales_;
};

struct Part {
  Part(size_t rows, size_t head_dim)
      : stride(KvValueStride(head_dim)), sums(rows * stride), maxima(rows), totals(rows) {}
  AttentionPart at() { return {sums.data(), maxima.data(), totals.data()}; }
  double Out(size_t r, size_t d) const { return double{sums[r * stride + d]} / totals[r]; }

  size_t stride;
  std::vector<float> sums, maxima, totals;
};

class AttentionKernelsTest : public testing::TestWithParam<CpuTarget> {
 protected:
  void SetUp() override {
    if (!CpuTargetSupported(GetParam())) GTEST_SKIP() << "not supported by this machine";
    kernels_ = &AttentionKernelsFor(GetParam());
  }

  // Compares with the bound of docs/numerics.md.
  void Check(const Head& head, size_t begin, size_t end, const std::vector<size_t>& begins,
             const std::vector<size_t>& ends) {
    const KvView kv = head.view();
    const size_t count = begins.size();
    std::vector<float> q(count * kv.head_dim);
    for (float& x : q) x = static_cast<float>(rng_.Gaussian() / 4);
    const AttentionRows rows{q.data(), begins.data(), ends.data(), count};
    std::vector<float> scratch(kAttentionScratch);
    Part expected(count, kv.head_dim), actual(count, kv.head_dim);
    reference::Attend(kv, rows, begin, end, scratch.data(), expected.at());
    kernels_->attend(kv, rows, begin, end, scratch.data(), actual.at());
    for (size_t r = 0; r < count; ++r) {
      const size_t first = std::max(begin, begins[r]);
      const size_t last = std::min(end, ends[r]);
      if (first >= last) {
        EXPECT_EQ(actual.maxima[r], kNoScore);
        EXPECT_EQ(actual.totals[r], 0);
        for (size_t d = 0; d < expected.stride; ++d)
          EXPECT_EQ(actual.sums[r * expected.stride + d], 0);
        continue;
      }
      CheckRow(head, &q[r * kv.head_dim], first, last, r, expected, actual);
    }
  }

  void CheckRow(const Head& head, const float* q, size_t first, size_t last, size_t r,
                const Part& expected, const Part& actual) {
    const size_t dim = head.view().head_dim;
    const double n = static_cast<double>(last - first);
    double largest = 0;  // sum of magnitudes of a score
    std::vector<double> weights;
    double total = 0;
    for (size_t p = first; p < last; ++p) {
      double magnitude = 0, score = 0;
      for (size_t d = 0; d < dim; ++d) {
        magnitude += std::abs(q[d] * head.Key(p, d));
        score += q[d] * head.Key(p, d);
      }
      largest = std::max(largest, magnitude);
      weights.push_back(std::exp(score));
      total += weights.back();
    }
    const double weight_error = (static_cast<double>(dim) + 2) * kUlp * largest + 88 * kUlp + 2e-7;
    EXPECT_NEAR(actual.maxima[r], expected.maxima[r], weight_error);
    for (size_t d = 0; d < dim; ++d) {
      double sum = 0;
      for (size_t p = first; p < last; ++p) {
        sum += weights[p - first] / total * std::abs(head.Value(p, d));
      }
      const double bound = (2 * weight_error + (2 * n + 4) * kUlp) * sum;
      ASSERT_NEAR(actual.Out(r, d), expected.Out(r, d), bound) << "row " << r << " dim " << d;
    }
  }

  const AttentionKernels* kernels_ = nullptr;
  Rng rng_{11};
};

TEST_P(AttentionKernelsTest, MatchesReferenceForEveryNumberOfRowsAndPositions) {
  for (const KvFormat format : {KvFormat::kF32, KvFormat::kF16, KvFormat::kI8}) {
    for (const size_t head_dim : {2, 10, 64, 80, 128}) {
      const Head head(rng_, format, head_dim, 512);
      for (size_t count = 1; count <= 18; ++count) {
        const size_t last = 1 + rng_.Next() % kKvSegment;
        for (const size_t begin : {size_t{0}, kKvSegment}) {
          Check(head, begin, begin + last, std::vector<size_t>(count, 0),
                std::vector<size_t>(count, begin + last));
        }
      }
    }
  }
}

TEST_P(AttentionKernelsTest, RowsSeeNoMoreThanTheyShould) {
  for (const KvFormat format : {KvFormat::kF32, KvFormat::kF16, KvFormat::kI8}) {
    const Head head(rng_, format, 20, 512);
    for (int i = 0; i < 100; ++i) {
      std::vector<size_t> begins, ends;
      for (size_t r = 0; r < 1 + rng_.Next() % 12; ++r) {
        begins.push_back(rng_.Next() % 512);
        ends.push_back(rng_.Next() % 513);
      }
      Check(head, 256, 512 - rng_.Next() % 200, begins, ends);
    }
  }
}

TEST_P(AttentionKernelsTest, ARowDoesNotDependOnTheOthers) {
  const Head head(rng_, KvFormat::kF16, 64, kKvSegment);
  const size_t count = 13;
  std::vector<float> q(count * 64);
  for (float& x : q) x = static_cast<float>(rng_.Gaussian() / 4);
  std::vector<size_t> begins, ends;
  for (size_t r = 0; r < count; ++r) {
    begins.push_back(r * 3);
    ends.push_back(200 + r);
  }
  std::vector<float> scratch(kAttentionScratch);
  Part all(count, 64);
  kernels_->attend(head.view(), {q.data(), begins.data(), ends.data(), count}, 0, kKvSegment,
                   scratch.data(), all.at());
  for (size_t r = 0; r < count; ++r) {
    Part one(1, 64);
    kernels_->attend(head.view(), {&q[r * 64], &begins[r], &ends[r], 1}, 0, kKvSegment,
                     scratch.data(), one.at());
    EXPECT_EQ(one.maxima[0], all.maxima[r]);
    EXPECT_EQ(one.totals[0], all.totals[r]);
    EXPECT_TRUE(std::equal(one.sums.begin(), one.sums.end(), &all.sums[r * 64]));
  }
}

TEST_P(AttentionKernelsTest, HalvesAreRoundedAndStayFinite) {
  std::vector<float> x(1000);
  for (float& v : x) v = static_cast<float>(std::exp(8 * rng_.Gaussian()) * rng_.Gaussian());
  const float infinity = std::numeric_limits<float>::infinity();
  std::copy_n(
      std::vector<float>{infinity, -infinity, 65519, 65521, -1e30f, 0, -0.0f, 1e-8f}.begin(), 8,
      x.begin());
  for (const size_t n : {1, 7, 17, 1000}) {
    std::vector<uint16_t> out(n + 1, 0x1234);
    kernels_->encode_f16(x.data(), n, out.data());
    for (size_t i = 0; i < n; ++i) {
      EXPECT_EQ(out[i], FloatToHalf(std::clamp(x[i], -65504.0f, 65504.0f))) << x[i];
    }
    EXPECT_EQ(out[n], 0x1234);
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> nans(17, nan);
  std::vector<uint16_t> out(17);
  kernels_->encode_f16(nans.data(), 17, out.data());
  for (const uint16_t half : out) EXPECT_TRUE(std::isnan(HalfToFloat(half)));
}

INSTANTIATE_TEST_SUITE_P(Targets, AttentionKernelsTest, testing::ValuesIn(kAllCpuTargets),
                         [](const auto& test) { return std::string(CpuTargetName(test.param)); });

}  // namespace
}  // namespace ecq

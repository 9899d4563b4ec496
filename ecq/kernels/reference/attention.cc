// Attention in plain scalar code.
#include "ecq/kernels/reference/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ecq/base/half.h"

namespace ecq::reference {
namespace {

constexpr float kLargestHalf = 65504;

double Element(KvFormat format, const uint8_t* elements, size_t i) {
  switch (format) {
    case KvFormat::kF32:
      return LoadLe<float>(elements + i * sizeof(float));
    case KvFormat::kF16:
      return HalfToFloat(LoadLe<uint16_t>(elements + i * sizeof(uint16_t)));
    case KvFormat::kI8:
      return LoadLe<int8_t>(elements + i);
  }
  return 0;
}

double Score(const KvView& kv, const float* q, size_t position) {
  const size_t block = position / kKvBlock * kv.head_dim * kKvBlock;
  double score = 0;
  for (size_t d = 0; d < kv.head_dim; ++d) {
    score += q[d] * Element(kv.format, kv.keys, block + d * kKvBlock + position % kKvBlock);
  }
  return kv.format == KvFormat::kI8 ? score * kv.key_scales[position] : score;
}

double Value(const KvView& kv, size_t position, size_t d) {
  const double value = Element(kv.format, kv.values, position * KvValueStride(kv.head_dim) + d);
  return kv.format == KvFormat::kI8 ? value * kv.value_scales[position] : value;
}

}  // namespace

void Attend(const KvView& kv, const AttentionRows& rows, size_t begin, size_t end, float* scratch,
            const AttentionPart& out) {
  const size_t stride = KvValueStride(kv.head_dim);
  for (size_t r = 0; r < rows.count; ++r) {
    const size_t first = std::max(begin, rows.begins[r]);
    const size_t last = std::min(end, rows.ends[r]);
    std::vector<double> sums(stride);
    double max = kNoScore;
    double total = 0;
    for (size_t j = first; j < last; ++j) {
      const float score = static_cast<float>(Score(kv, rows.q + r * kv.head_dim, j));
      scratch[j - begin] = score;
      max = std::max(max, double{score});
    }
    for (size_t j = first; j < last; ++j) {
      const double weight = std::exp(scratch[j - begin] - max);
      total += weight;
      for (size_t d = 0; d < kv.head_dim; ++d) sums[d] += weight * Value(kv, j, d);
    }
    for (size_t d = 0; d < stride; ++d) out.sums[r * stride + d] = static_cast<float>(sums[d]);
    out.maxima[r] = static_cast<float>(max);
    out.totals[r] = static_cast<float>(total);
  }
}

void EncodeF16(const float* x, size_t n, uint16_t* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = FloatToHalf(x[i] > kLargestHalf    ? kLargestHalf
                         : x[i] < -kLargestHalf ? -kLargestHalf
                                                : x[i]);
  }
}

}  // namespace ecq::reference

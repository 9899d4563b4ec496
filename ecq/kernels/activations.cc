// Rounding of activations to int8 blocks.
#include "ecq/kernels/activations.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace ecq {
namespace {

// Adding and subtracting 1.5 * 2^23 leaves |v| <= 2^22 rounded to an integer, ties to even.
constexpr float kRoundingShift = 0x1.8p23f;

// Largest |x| as the largest bit pattern, which puts infinities and NaN above all numbers.
inline float MaxMagnitude(const float* x, size_t n) {
  int32_t max_bits = 0;
  for (size_t i = 0; i < n; ++i) {
    max_bits = std::max(max_bits, std::bit_cast<int32_t>(x[i]) & 0x7fffffff);
  }
  return std::bit_cast<float>(max_bits);
}

inline float QuantizeValues(const float* x, size_t n, int8_t* q) {
  const float max = MaxMagnitude(x, n);
  if (max < kSmallestBlockMax || !std::isfinite(max)) {
    std::memset(q, 0, n);
    return std::isfinite(max) ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  }
  const float inverse = 127.0f / max;
  for (size_t i = 0; i < n; ++i) {
    q[i] = static_cast<int8_t>(x[i] * inverse + kRoundingShift - kRoundingShift);
  }
  return max / 127.0f;
}

}  // namespace

float QuantizeBlock(const float* x, size_t n, int8_t* q) { return QuantizeValues(x, n, q); }

void QuantizeActivations(const float* x, size_t k, int8_t* q, float* scales) {
  const size_t whole = k / kActivationBlock;
  for (size_t b = 0; b < whole; ++b) {
    scales[b] =
        QuantizeValues(x + b * kActivationBlock, kActivationBlock, q + b * kActivationBlock);
  }
  if (const size_t rest = k % kActivationBlock; rest != 0) {
    float padded[kActivationBlock] = {};
    std::copy_n(x + whole * kActivationBlock, rest, padded);
    scales[whole] = QuantizeValues(padded, kActivationBlock, q + whole * kActivationBlock);
  }
}

void TransposeTuples(const int8_t* q, size_t k, int8_t* q_tuples) {
  constexpr uint32_t kEven = 0x00ff00ff;
  constexpr uint32_t kLow = 0x0000ffff;
  for (size_t begin = 0; begin < PaddedActivations(k); begin += 16) {
    uint32_t in[4];
    std::memcpy(in, q + begin, sizeof(in));
    // Bytes 0 and 2, 1 and 3, of two neighbours in turn; then the halves of those.
    const uint32_t even_01 = (in[0] & kEven) | (in[1] & kEven) << 8;
    const uint32_t even_23 = (in[2] & kEven) | (in[3] & kEven) << 8;
    const uint32_t odd_01 = (in[0] >> 8 & kEven) | (in[1] & ~kEven);
    const uint32_t odd_23 = (in[2] >> 8 & kEven) | (in[3] & ~kEven);
    const uint32_t out[4] = {(even_01 & kLow) | even_23 << 16, (odd_01 & kLow) | odd_23 << 16,
                             even_01 >> 16 | (even_23 & ~kLow), odd_01 >> 16 | (odd_23 & ~kLow)};
    std::memcpy(q_tuples + begin, out, sizeof(out));
  }
}

void StoreInPanel(const int8_t* q, size_t k, size_t row, int8_t* panels) {
  int8_t* to = panels + PanelIndex(k, row, 0);
  for (size_t i = 0; i < PaddedActivations(k); i += kPanelValues) {
    std::memcpy(to, q + i, kPanelValues);
    to += kPanelRows * kPanelValues;
  }
}

void RoundActivations(const float* x, size_t k, float* out) {
  for (size_t begin = 0; begin < k; begin += kActivationBlock) {
    const size_t n = std::min(kActivationBlock, k - begin);
    int8_t q[kActivationBlock];
    float scale;
    QuantizeActivations(x + begin, n, q, &scale);
    for (size_t i = 0; i < n; ++i) out[begin + i] = static_cast<float>(q[i]) * scale;
  }
}

}  // namespace ecq

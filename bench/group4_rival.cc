// The product of the 4-bit group format.
#include "bench/group4_rival.h"

#include <numeric>

#include "ecq/base/bytes.h"
#include "ecq/base/cpu_target.h"
#include "ecq/base/half.h"
#include "ecq/base/rng.h"
#include "ecq/base/target_region.h"
#include "ecq/kernels/activations.h"
#include "ecq/kernels/cpu/intrinsics.h"

namespace ecq::bench {
namespace {

constexpr size_t kRows = 32;
constexpr size_t kWords = 4;
constexpr size_t kScaleBytes = kRows * sizeof(uint16_t);
constexpr size_t kGroupBytes = kScaleBytes + kWords * kRows * sizeof(uint32_t);

}  // namespace

Group4Rival::Group4Rival(uint32_t rows, uint32_t cols)
    : rows_(rows), cols_(cols), payload_(rows / kRows * (cols / kActivationBlock) * kGroupBytes) {
  Rng rng(3);
  for (size_t at = 0; at < payload_.size(); at += sizeof(uint16_t)) {
    const bool is_scale = at % kGroupBytes < kScaleBytes;
    StoreLe(payload_.data() + at,
            is_scale ? FloatToHalf(0.01f) : static_cast<uint16_t>(rng.Next()));
  }
}

bool Group4Rival::Supported() { return CpuTargetSupported(CpuTarget::kAvx512); }

#if defined(__x86_64__)
ECQ_TARGET_BEGIN_AVX512
namespace {

// 16 rows of a group: adds scale * dot to `sum`. `words` are 128 bytes apart.
inline __m512 AddGroup(__m512 sum, const uint8_t* scales, const uint8_t* words, const int8_t* q,
                       __m512i offset, __m512 q_scale) {
  const __m512i nibble = _mm512_set1_epi8(15);
  __m512i low = offset;
  __m512i high = _mm512_setzero_si512();
  for (size_t k = 0; k < kWords; ++k) {
    const __m512i word = _mm512_loadu_si512(words + k * kRows * sizeof(uint32_t));
    const __m512i x_low = _mm512_set1_epi32(LoadLe<int32_t>(q + 8 * k));
    const __m512i x_high = _mm512_set1_epi32(LoadLe<int32_t>(q + 8 * k + 4));
    low = _mm512_dpbusd_epi32(low, _mm512_and_si512(word, nibble), x_low);
    high = _mm512_dpbusd_epi32(high, _mm512_and_si512(_mm512_srli_epi16(word, 4), nibble), x_high);
  }
  const __m512 scale =
      _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales)));
  const __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(low, high));
  return _mm512_fmadd_ps(dot, _mm512_mul_ps(scale, q_scale), sum);
}

}  // namespace

void Group4Rival::Multiply(const float* x, float* y) const {
  thread_local std::vector<int8_t> q;
  thread_local std::vector<float> q_scales;
  const size_t groups = cols_ / kActivationBlock;
  q.resize(cols_);
  q_scales.resize(groups);
  QuantizeActivations(x, cols_, q.data(), q_scales.data());
  thread_local std::vector<int32_t> q_sums;
  q_sums.resize(groups);
  for (size_t g = 0; g < groups; ++g) {
    const int8_t* const q_group = q.data() + g * kActivationBlock;
    q_sums[g] = std::accumulate(q_group, q_group + kActivationBlock, 0);
  }

  const uint8_t* group = payload_.data();
  for (size_t row = 0; row < rows_; row += kRows) {
    __m512 first = _mm512_setzero_ps();
    __m512 second = _mm512_setzero_ps();
    for (size_t g = 0; g < groups; ++g, group += kGroupBytes) {
      const int8_t* const q_group = q.data() + g * kActivationBlock;
      const __m512i offset = _mm512_set1_epi32(-8 * q_sums[g]);
      const __m512 q_scale = _mm512_set1_ps(q_scales[g]);
      const uint8_t* const words = group + kScaleBytes;
      first = AddGroup(first, group, words, q_group, offset, q_scale);
      second = AddGroup(second, group + kScaleBytes / 2, words + sizeof(__m512i), q_group, offset,
                        q_scale);
    }
    _mm512_storeu_ps(y + row, first);
    _mm512_storeu_ps(y + row + kRows / 2, second);
  }
}
ECQ_TARGET_END
#else
void Group4Rival::Multiply(const float*, float*) const {}
#endif

}  // namespace ecq::bench

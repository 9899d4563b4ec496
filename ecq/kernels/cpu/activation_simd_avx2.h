// The vocabulary of the activation kernels in AVX2. Included inside a target region, after
// dense_simd_avx2.h.
#pragma once

namespace ecq::avx2 {

inline F32 Magnitude(F32 v) {
  return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MAX)));
}
// Of magnitudes as bit patterns: infinities and NaNs are above all numbers.
inline F32 MaxBits(F32 a, F32 b) {
  return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
inline float MaxLanesBits(F32 v) {
  const __m256i bits = _mm256_castps_si256(v);
  __m128i most = _mm_max_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0b01'00'11'10));
  most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0b10'11'00'01));
  return std::bit_cast<float>(_mm_cvtsi128_si32(most));
}

// Stores each lane of v, |v| < 128, rounded to an integer, ties to even; returns the sum.
inline int32_t StoreRounded(int8_t* p, F32 v) {
  const __m256i rounded = _mm256_cvtps_epi32(v);
  const __m128i low = _mm256_castsi256_si128(rounded);
  const __m128i high = _mm256_extracti128_si256(rounded, 1);
  const __m128i words = _mm_packs_epi32(low, high);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
  __m128i sum = _mm_add_epi32(low, high);
  sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b01'00'11'10));
  return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b10'11'00'01)));
}

// TransposeTuples() of one block of 32 values.
inline void TransposeTupleBlock(const int8_t* q, int8_t* q_tuples) {
  const __m128i columns = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m256i block = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q_tuples),
                      _mm256_shuffle_epi8(block, _mm256_broadcastsi128_si256(columns)));
}

}  // namespace ecq::avx2

// The vocabulary of the activation kernels in AVX2. Included inside a target region, after
// dense_simd_avx2.h.
#pragma once

namespace ecq::avx2 {

// Lane i and lane i ^ kHalf become their sum (where i lacks the bit kHalf) and their difference.
template <size_t kHalf>
inline F32 Butterfly(F32 v) {
  constexpr int kUpper = kHalf == 1 ? 0xaa : kHalf == 2 ? 0xcc : 0xf0;
  F32 other;
  if constexpr (kHalf == 1) other = _mm256_permute_ps(v, 0b10'11'00'01);
  if constexpr (kHalf == 2) other = _mm256_permute_ps(v, 0b01'00'11'10);
  if constexpr (kHalf == 4) other = _mm256_permute2f128_ps(v, v, 0x01);
  return _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), kUpper);
}

// Negates lane i where RotateHadamard() negates value first + i.
inline F32 FlipSigns(F32 v, uint32_t first) {
  const __m256i index = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(first)),
                                         _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  const __m256i hash = _mm256_mullo_epi32(index, _mm256_set1_epi32(static_cast<int>(0x9e3779b1u)));
  const __m256i sign = _mm256_and_si256(hash, _mm256_set1_epi32(INT32_MIN));
  return _mm256_xor_ps(v, _mm256_castsi256_ps(sign));
}

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

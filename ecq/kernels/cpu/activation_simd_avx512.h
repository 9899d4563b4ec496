// The vocabulary of the activation kernels in AVX-512. Included inside a target region, after
// dense_simd_avx512.h.
#pragma once

namespace ecq::avx512 {

inline F32 Magnitude(F32 v) { return _mm512_abs_ps(v); }
// Of magnitudes as bit patterns: infinities and NaNs are above all numbers.
inline F32 MaxBits(F32 a, F32 b) {
  return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
inline float MaxLanesBits(F32 v) {
  return std::bit_cast<float>(_mm512_reduce_max_epi32(_mm512_castps_si512(v)));
}

// Stores each lane of v, |v| < 128, rounded to an integer, ties to even; returns the sum.
inline int32_t StoreRounded(int8_t* p, F32 v) {
  const __m512i rounded = _mm512_cvtps_epi32(v);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(rounded));
  return _mm512_reduce_add_epi32(rounded);
}

// TransposeTuples() of one block of 32 values.
inline void TransposeTupleBlock(const int8_t* q, int8_t* q_tuples) {
  const __m128i columns = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m256i block = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(q_tuples),
                      _mm256_shuffle_epi8(block, _mm256_broadcastsi128_si256(columns)));
}

}  // namespace ecq::avx512

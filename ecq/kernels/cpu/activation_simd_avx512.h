// The vocabulary of the activation kernels in AVX-512. Included inside a target region, after
// dense_simd_avx512.h.
#pragma once

namespace ecq::avx512 {

// Lane i and lane i ^ kHalf become their sum (where i lacks the bit kHalf) and their difference.
template <size_t kHalf>
inline F32 Butterfly(F32 v) {
  constexpr __mmask16 kUpper = kHalf == 1   ? 0xaaaa
                               : kHalf == 2 ? 0xcccc
                               : kHalf == 4 ? 0xf0f0
                                            : 0xff00;
  F32 other;
  if constexpr (kHalf == 1) other = _mm512_permute_ps(v, 0b10'11'00'01);
  if constexpr (kHalf == 2) other = _mm512_permute_ps(v, 0b01'00'11'10);
  if constexpr (kHalf == 4) other = _mm512_shuffle_f32x4(v, v, 0b10'11'00'01);
  if constexpr (kHalf == 8) other = _mm512_shuffle_f32x4(v, v, 0b01'00'11'10);
  return _mm512_mask_sub_ps(_mm512_add_ps(v, other), kUpper, other, v);
}

// Negates lane i where RotateHadamard() negates value first + i.
inline F32 FlipSigns(F32 v, uint32_t first) {
  const __m512i index =
      _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first)),
                       _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  const __m512i hash = _mm512_mullo_epi32(index, _mm512_set1_epi32(static_cast<int>(0x9e3779b1u)));
  // v ^ (hash & sign bit)
  return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(v), hash,
                                                       _mm512_set1_epi32(INT32_MIN), 0b0111'1000));
}

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

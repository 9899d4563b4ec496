// The vector vocabulary of the dense kernels in AVX2 + FMA. Included inside a target region.
#pragma once

namespace ecq::avx2 {

using F32 = __m256;
inline constexpr size_t kLanes = 8;

// All bits set in the first n < kLanes lanes.
inline __m256i FirstLanes(size_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline F32 Set(float value) { return _mm256_set1_ps(value); }
inline F32 Load(const float* p) { return _mm256_loadu_ps(p); }
inline void Store(float* p, F32 v) { _mm256_storeu_ps(p, v); }
// The first n < kLanes values; other lanes are zero on load and untouched on store.
inline F32 LoadFirst(const float* p, size_t n) { return _mm256_maskload_ps(p, FirstLanes(n)); }
inline void StoreFirst(float* p, size_t n, F32 v) { _mm256_maskstore_ps(p, FirstLanes(n), v); }

// kLanes floats, binary16 numbers or signed bytes.
inline F32 LoadAsF32(const float* p) { return Load(p); }
inline F32 LoadAsF32(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline F32 LoadAsF32(const int8_t* p) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}
// kLanes binary16 numbers, to nearest, ties to even.
inline void StoreHalves(uint16_t* p, F32 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

inline F32 Add(F32 a, F32 b) { return _mm256_add_ps(a, b); }
inline F32 Sub(F32 a, F32 b) { return _mm256_sub_ps(a, b); }
inline F32 Mul(F32 a, F32 b) { return _mm256_mul_ps(a, b); }
inline F32 Div(F32 a, F32 b) { return _mm256_div_ps(a, b); }
inline F32 MulAdd(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
// a NaN in `b` is the result.
inline F32 Max(F32 a, F32 b) { return _mm256_max_ps(a, b); }
inline F32 Min(F32 a, F32 b) { return _mm256_min_ps(a, b); }

inline F32 RoundToInteger(F32 v) {
  return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// 2^n for integral n in [-126, 127].
inline F32 PowerOfTwo(F32 n) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}

// One round of a Hadamard transform: lanes i and i + kHalf become their sum and difference.
template <size_t kHalf>
inline F32 Butterfly(F32 v) {
  static_assert(kHalf == 1 || kHalf == 2 || kHalf == 4);
  if constexpr (kHalf == 1) {
    const F32 other = _mm256_permute_ps(v, 0xb1);
    return _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xaa);
  } else if constexpr (kHalf == 2) {
    const F32 other = _mm256_permute_ps(v, 0x4e);
    return _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xcc);
  } else {
    const F32 other = _mm256_permute2f128_ps(v, v, 1);
    return _mm256_blend_ps(_mm256_add_ps(v, other), _mm256_sub_ps(other, v), 0xf0);
  }
}
// Negates the lanes l where bit 31 of first + l * step is set.
inline F32 NegateWhere(F32 v, uint32_t first, uint32_t step) {
  const __m256i lanes = _mm256_mullo_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                           _mm256_set1_epi32(static_cast<int>(step)));
  const __m256i bits = _mm256_add_epi32(lanes, _mm256_set1_epi32(static_cast<int>(first)));
  const __m256i signs = _mm256_and_si256(bits, _mm256_set1_epi32(INT32_MIN));
  return _mm256_xor_ps(v, _mm256_castsi256_ps(signs));
}

inline float SumLanes(F32 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
inline float MaxLanes(F32 v) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

}  // namespace ecq::avx2

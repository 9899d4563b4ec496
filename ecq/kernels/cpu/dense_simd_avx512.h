// The vector vocabulary of the dense kernels in AVX-512. Included inside a target region.
#pragma once

namespace ecq::avx512 {

using F32 = __m512;
inline constexpr size_t kLanes = 16;

// The first n < kLanes lanes.
inline __mmask16 FirstLanes(size_t n) { return static_cast<__mmask16>((1u << n) - 1); }

inline F32 Set(float value) { return _mm512_set1_ps(value); }
inline F32 Load(const float* p) { return _mm512_loadu_ps(p); }
inline void Store(float* p, F32 v) { _mm512_storeu_ps(p, v); }
// The first n < kLanes values; other lanes are zero on load and untouched on store.
inline F32 LoadFirst(const float* p, size_t n) { return _mm512_maskz_loadu_ps(FirstLanes(n), p); }
inline void StoreFirst(float* p, size_t n, F32 v) { _mm512_mask_storeu_ps(p, FirstLanes(n), v); }

// kLanes floats, binary16 numbers or signed bytes.
inline F32 LoadAsF32(const float* p) { return Load(p); }
inline F32 LoadAsF32(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline F32 LoadAsF32(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}
// kLanes binary16 numbers, to nearest, ties to even.
inline void StoreHalves(uint16_t* p, F32 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

inline F32 Add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
inline F32 Sub(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
inline F32 Mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
inline F32 Div(F32 a, F32 b) { return _mm512_div_ps(a, b); }
inline F32 MulAdd(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
// a NaN in `b` is the result.
inline F32 Max(F32 a, F32 b) { return _mm512_max_ps(a, b); }
inline F32 Min(F32 a, F32 b) { return _mm512_min_ps(a, b); }

inline F32 RoundToInteger(F32 v) {
  return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// 2^n for integral n in [-126, 127].
inline F32 PowerOfTwo(F32 n) { return _mm512_scalef_ps(Set(1.0f), n); }

// One round of a Hadamard transform: lanes i and i + kHalf become their sum and difference.
template <size_t kHalf>
inline F32 Butterfly(F32 v) {
  static_assert(kHalf == 1 || kHalf == 2 || kHalf == 4 || kHalf == 8);
  F32 other;
  __mmask16 high;
  if constexpr (kHalf == 1) {
    other = _mm512_permute_ps(v, 0xb1);
    high = 0xaaaa;
  } else if constexpr (kHalf == 2) {
    other = _mm512_permute_ps(v, 0x4e);
    high = 0xcccc;
  } else if constexpr (kHalf == 4) {
    other = _mm512_shuffle_f32x4(v, v, 0xb1);
    high = 0xf0f0;
  } else {
    other = _mm512_shuffle_f32x4(v, v, 0x4e);
    high = 0xff00;
  }
  return _mm512_mask_sub_ps(_mm512_add_ps(v, other), high, other, v);
}
// Negates the lanes l where bit 31 of first + l * step is set.
inline F32 NegateWhere(F32 v, uint32_t first, uint32_t step) {
  const __m512i lanes =
      _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                         _mm512_set1_epi32(static_cast<int>(step)));
  const __m512i bits = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int>(first)));
  const __m512i signs = _mm512_and_si512(bits, _mm512_set1_epi32(INT32_MIN));
  return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(v), signs));
}

inline float SumLanes(F32 v) { return _mm512_reduce_add_ps(v); }
inline float MaxLanes(F32 v) { return _mm512_reduce_max_ps(v); }

}  // namespace ecq::avx512

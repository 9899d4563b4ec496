// The integer vocabulary of the coded kernels in AVX-512. Included inside a target region, after
// dense_simd_avx512.h.
#pragma once

namespace ecq::avx512 {

inline constexpr size_t kTilesInFlight = 2;  // decoded side by side

using U32 = __m512i;  // kLanes lanes of 32 bits, also where they hold signed numbers

inline U32 SetU32(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }
inline U32 LoadU32(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void StoreU32(uint8_t* p, U32 v) { _mm512_storeu_si512(p, v); }
inline U32 AndU32(U32 a, U32 b) { return _mm512_and_si512(a, b); }
inline U32 OrU32(U32 a, U32 b) { return _mm512_or_si512(a, b); }
inline U32 XorU32(U32 a, U32 b) { return _mm512_xor_si512(a, b); }
inline U32 AddU32(U32 a, U32 b) { return _mm512_add_epi32(a, b); }
inline U32 MulU32(U32 a, U32 b) { return _mm512_mullo_epi32(a, b); }
template <int kCount>
inline U32 ShiftRight(U32 v) {
  return _mm512_srli_epi32(v, kCount);
}
template <int kCount>
inline U32 ShiftLeft(U32 v) {
  return _mm512_slli_epi32(v, kCount);
}
// Counts of 32 and more give 0.
inline U32 ShiftRightBy(U32 v, uint32_t count) {
  return _mm512_srl_epi32(v, _mm_cvtsi32_si128(static_cast<int>(count)));
}
inline U32 ShiftLeftBy(U32 v, uint32_t count) {
  return _mm512_sll_epi32(v, _mm_cvtsi32_si128(static_cast<int>(count)));
}
inline U32 Gather(const uint32_t* table, U32 index) {
  return _mm512_i32gather_epi32(index, table, sizeof(uint32_t));
}

// Lanes below 2^16 are shifted up by a word and take, in lane order, the next words at `next`,
// which advances past them. Reads 32 bytes.
inline U32 Refill(U32 states, const uint8_t*& next) {
  const __mmask16 needy = _mm512_cmplt_epu32_mask(states, SetU32(kRansLowerBound));
  const U32 words =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(next)));
  const U32 spread = _mm512_maskz_expand_epi32(needy, words);
  next += sizeof(uint16_t) * static_cast<uint32_t>(_mm_popcnt_u32(needy));
  return _mm512_mask_or_epi32(states, needy, _mm512_slli_epi32(states, 16), spread);
}

inline bool AllEqual(U32 a, U32 b) { return _mm512_cmpneq_epi32_mask(a, b) == 0; }

// The lowest byte of each lane, a two's complement number, as f32.
inline F32 LowByteToF32(U32 v) {
  return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(v, 24), 24));
}
inline F32 I32ToF32(U32 v) { return _mm512_cvtepi32_ps(v); }

// Stores the lowest byte of each lane: kLanes bytes.
inline void StoreLowBytes(int8_t* p, U32 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v));
}

// sum + the products of four signed bytes `a` with four signed bytes `b`, for each lane. The
// instruction takes unsigned times signed: a + 128 is used instead, and `sum` must start at -128
// times the sum of all b.
inline constexpr int32_t kDotOffset = 128;
inline U32 Dot4(U32 sum, U32 a, U32 b) {
  return _mm512_dpbusd_epi32(sum, _mm512_xor_si512(a, SetU32(0x80808080u)), b);
}

}  // namespace ecq::avx512

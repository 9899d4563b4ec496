// The integer vocabulary of the coded kernels in AVX2. Included inside a target region, after
// dense_simd_avx2.h.
#pragma once

namespace ecq::avx2 {

inline constexpr size_t kTilesInFlight = 2;  // decoded side by side

using U32 = __m256i;  // kLanes lanes of 32 bits, also where they hold signed numbers

inline U32 SetU32(uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); }
inline U32 LoadU32(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline void StoreU32(uint8_t* p, U32 v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
inline U32 AndU32(U32 a, U32 b) { return _mm256_and_si256(a, b); }
inline U32 OrU32(U32 a, U32 b) { return _mm256_or_si256(a, b); }
inline U32 XorU32(U32 a, U32 b) { return _mm256_xor_si256(a, b); }
inline U32 AddU32(U32 a, U32 b) { return _mm256_add_epi32(a, b); }
inline U32 MulU32(U32 a, U32 b) { return _mm256_mullo_epi32(a, b); }
template <int kCount>
inline U32 ShiftRight(U32 v) {
  return _mm256_srli_epi32(v, kCount);
}
template <int kCount>
inline U32 ShiftLeft(U32 v) {
  return _mm256_slli_epi32(v, kCount);
}
// Counts of 32 and more give 0.
inline U32 ShiftRightBy(U32 v, uint32_t count) {
  return _mm256_srl_epi32(v, _mm_cvtsi32_si128(static_cast<int>(count)));
}
inline U32 ShiftLeftBy(U32 v, uint32_t count) {
  return _mm256_sll_epi32(v, _mm_cvtsi32_si128(static_cast<int>(count)));
}
inline U32 Gather(const uint32_t* table, U32 index) {
  return _mm256_i32gather_epi32(reinterpret_cast<const int*>(table), index, sizeof(uint32_t));
}

// kExpand[mask], one nibble per lane: which of the next words a lane takes, i.e. how many lanes
// below it are set in the mask.
struct ExpandTable {
  uint32_t nibbles[256];
};
inline constexpr ExpandTable kExpand = [] {
  ExpandTable table{};
  for (uint32_t mask = 0; mask < 256; ++mask) {
    uint32_t rank = 0;
    for (uint32_t lane = 0; lane < 8; ++lane) {
      table.nibbles[mask] |= rank << (4 * lane);
      rank += mask >> lane & 1;
    }
  }
  return table;
}();

// Lanes below 2^16 are shifted up by a word and take, in lane order, the next words at `next`,
// which advances past them. Reads 16 bytes.
inline U32 Refill(U32 states, const uint8_t*& next) {
  const U32 needy = _mm256_cmpeq_epi32(_mm256_srli_epi32(states, 16), _mm256_setzero_si256());
  const uint32_t mask = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(needy)));
  const U32 words = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(next)));
  // VPERMD looks at the low 3 bits of each index only.
  const U32 ranks = _mm256_srlv_epi32(SetU32(kExpand.nibbles[mask]),
                                      _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
  const U32 spread = _mm256_permutevar8x32_epi32(words, ranks);
  next += sizeof(uint16_t) * static_cast<uint32_t>(__builtin_popcount(mask));
  const U32 refilled = _mm256_or_si256(_mm256_slli_epi32(states, 16), spread);
  return _mm256_blendv_epi8(states, refilled, needy);
}

inline bool AllEqual(U32 a, U32 b) { return _mm256_movemask_epi8(_mm256_cmpeq_epi32(a, b)) == -1; }

// The lowest byte of each lane, a two's complement number, as f32.
inline F32 LowByteToF32(U32 v) {
  return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(v, 24), 24));
}
inline F32 I32ToF32(U32 v) { return _mm256_cvtepi32_ps(v); }

// Stores the lowest byte of each lane: kLanes bytes.
inline void StoreLowBytes(int8_t* p, U32 v) {
  const U32 picked = _mm256_shuffle_epi8(
      v, _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                          0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
  const uint32_t low = static_cast<uint32_t>(_mm256_extract_epi32(picked, 0));
  const uint32_t high = static_cast<uint32_t>(_mm256_extract_epi32(picked, 4));
  StoreLe(p, low);
  StoreLe(p + sizeof(low), high);
}

// sum + the products of four signed bytes `a` with four signed bytes `b`, for each lane.
// |a| * (b with a's sign) keeps the 16-bit sums of pairs inside 2 * 128 * 127 < 2^15.
inline constexpr int32_t kDotOffset = 0;
inline U32 Dot4(U32 sum, U32 a, U32 b) {
  const U32 pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

}  // namespace ecq::avx2

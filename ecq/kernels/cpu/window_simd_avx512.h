// The vocabulary of the window kernels in AVX-512. Included inside a target region, after
// packed_simd_avx512.h.
#pragma once

namespace ecq::avx512 {

// A byte for each of four tuples of kLanes rows: dword r belongs to row r, byte q of it to tuple q.
// Weights are in offset binary, where negating is subtracting from 0 as well, because the dot
// product takes unsigned bytes.
using Bytes = __m512i;
using ByteMask = __mmask64;

// The four byte planes of a table.
struct WindowEntries {
  Bytes low[kTupleCols];
  Bytes high[kTupleCols];
};

inline WindowEntries LoadWindowEntries(const WindowPlanes& table) {
  WindowEntries entries;
  for (size_t j = 0; j < kTupleCols; ++j) {
    entries.low[j] = _mm512_load_si512(table.planes[j]);
    entries.high[j] = _mm512_load_si512(table.planes[j] + sizeof(Bytes));
  }
  return entries;
}

// Weights of the entries that the low seven bits of `n` pick.
inline void LookUp(const WindowEntries& entries, Bytes n, Bytes (&weights)[kTupleCols]) {
  for (size_t j = 0; j < kTupleCols; ++j) {
    weights[j] = _mm512_permutex2var_epi8(entries.low[j], n, entries.high[j]);
  }
}

// The same for tables of 16 or 32 entries, which fill `low` as often as they fit.
template <uint32_t kEntries>
inline void LookUpFew(const WindowEntries& entries, Bytes n, Bytes (&weights)[kTupleCols]) {
  for (size_t j = 0; j < kTupleCols; ++j) {
    weights[j] = _mm512_permutexvar_epi8(n, entries.low[j]);
  }
}

template <int kBit>
inline ByteMask BitOf(Bytes v) {
  if constexpr (kBit == 7) return _mm512_movepi8_mask(v);
  return _mm512_test_epi8_mask(v, _mm512_set1_epi8(static_cast<char>(1 << kBit)));
}

inline void ExchangeBytes(ByteMask where, Bytes& a, Bytes& b) {
  const Bytes old_a = a;
  a = _mm512_mask_blend_epi8(where, a, b);
  b = _mm512_mask_blend_epi8(where, b, old_a);
}

inline void NegateBytes(ByteMask where, Bytes& v) {
  v = _mm512_mask_sub_epi8(v, where, _mm512_setzero_si512(), v);
}

inline void AddToBytes(ByteMask where, Bytes& v, Bytes step) {
  v = _mm512_mask_add_epi8(v, where, v, step);
}

inline Bytes SetBytes(uint32_t value) { return _mm512_set1_epi8(static_cast<char>(value)); }
inline Bytes LoadBytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void StoreBytes(uint8_t* p, Bytes v) { StoreU32(p, v); }
// The low (half 0) or high nibble of every byte.
inline Bytes NibbleOf(Bytes v, uint32_t half) {
  return _mm512_and_si512(_mm512_srli_epi16(v, 4 * half), SetBytes(15));
}
// Numbers of six bits, out of a nibble and of the two bits at the bottom of each byte of `high`.
inline Bytes JoinBits(Bytes nibble, Bytes high) {
  return _mm512_or_si512(nibble, _mm512_and_si512(_mm512_slli_epi16(high, 4), SetBytes(0x30)));
}
// Dword r is the one before p + 4 r; dword 0 is 0, and nothing before p is read.
inline Bytes LoadBytesAboveFirst(const uint8_t* p) {
  return _mm512_maskz_loadu_epi32(0xfffe, p - sizeof(uint32_t));
}
// kLanes words of 16 bits as dwords.
inline U32 LoadU16(const uint8_t* p) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

// Brings the kBits raw bits of tuple 4 * half + q of every dword to the bottom of byte q; the bits
// above them are undefined.
template <uint32_t kBits>
inline Bytes SpreadRawBits(U32 words, uint32_t half) {
  // Bit positions for the two dwords of a qword, byte q of byte.
  constexpr uint64_t kSteps = uint64_t{3 * kBits} << 24 | uint64_t{2 * kBits} << 16 | kBits << 8;
  const uint64_t first = half * kTupleCols * kBits * uint64_t{0x01010101};
  const uint64_t positions = (first + kSteps) | (first + kSteps + 0x20202020) << 32;
  return _mm512_multishift_epi64_epi8(_mm512_set1_epi64(static_cast<int64_t>(positions)), words);
}

// sum + the products of four weights with four signed bytes `x`, for each lane; starts as Dot4.
inline U32 DotWeights(U32 sum, Bytes weights, U32 x) {
  return _mm512_dpbusd_epi32(sum, weights, x);
}

// Weights as two's complement numbers.
inline U32 ToLevels(Bytes weights) { return XorU32(weights, SetU32(0x80808080u)); }
inline Bytes FromLevels(U32 levels) { return XorU32(levels, SetU32(0x80808080u)); }

// Vectors of rows of W whose sums with a panel of x fit the registers.
inline constexpr size_t kBatchVecs = 2;

}  // namespace ecq::avx512

// The vocabulary of the window kernels in AVX2. Included inside a target region, after
// packed_simd_avx2.h.
#pragma once

namespace ecq::avx2 {

// A byte for each of four tuples of kLanes rows: dword r belongs to row r, byte q of it to tuple q.
// Weights are two's complement numbers.
using Bytes = __m256i;
using ByteMask = __m256i;  // the top bit of every byte counts

// The four byte planes of a table, each as tables of 16.
inline constexpr size_t kSlices = kWindowEntries / sizeof(__m128i);
struct WindowEntries {
  __m128i slices[kTupleCols][kSlices];
};

inline WindowEntries LoadWindowEntries(const WindowPlanes& table) {
  WindowEntries entries;
  for (size_t j = 0; j < kTupleCols; ++j) {
    for (size_t s = 0; s < kSlices; ++s) {
      const __m128i slice =
          _mm_load_si128(reinterpret_cast<const __m128i*>(table.planes[j] + s * sizeof(__m128i)));
      entries.slices[j][s] = _mm_xor_si128(slice, _mm_set1_epi8(-128));
    }
  }
  return entries;
}

inline Bytes SetBytes(uint32_t value) { return _mm256_set1_epi8(static_cast<char>(value)); }

// Brings bit kBit of every byte to its top.
template <int kBit>
inline ByteMask BitOf(Bytes v) {
  return _mm256_slli_epi16(v, 7 - kBit);
}

// Weights of the entries that the low seven bits of `n` pick: four bits choose in every slice, the
// others choose the slice. Depth first, so that few registers are live.
inline void LookUp(const WindowEntries& entries, Bytes n, Bytes (&weights)[kTupleCols]) {
  const Bytes low = _mm256_and_si256(n, SetBytes(sizeof(__m128i) - 1));
  const ByteMask bit4 = BitOf<4>(n);
  const ByteMask bit5 = BitOf<5>(n);
  const ByteMask bit6 = BitOf<6>(n);
  for (size_t j = 0; j < kTupleCols; ++j) {
    const auto from_slice = [&](size_t s) {
      return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries.slices[j][s]), low);
    };
    const auto from_two = [&](size_t s) {
      return _mm256_blendv_epi8(from_slice(s), from_slice(s + 1), bit4);
    };
    const auto from_four = [&](size_t s) {
      return _mm256_blendv_epi8(from_two(s), from_two(s + 2), bit5);
    };
    weights[j] = _mm256_blendv_epi8(from_four(0), from_four(4), bit6);
  }
}

// Weights of the entries `n`, 16 or 32 of them; bit 7 of every byte of n is 0.
template <uint32_t kEntries>
inline void LookUpFew(const WindowEntries& entries, Bytes n, Bytes (&weights)[kTupleCols]) {
  for (size_t j = 0; j < kTupleCols; ++j) {
    const auto from_slice = [&](size_t s) {
      return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries.slices[j][s]), n);
    };
    weights[j] = from_slice(0);
    if constexpr (kEntries == 32) {
      weights[j] = _mm256_blendv_epi8(weights[j], from_slice(1), BitOf<4>(n));
    }
  }
}

// The low (half 0) or high nibble of every byte.
inline Bytes NibbleOf(Bytes v, uint32_t half) {
  const Bytes shifted = _mm256_srli_epi16(v, static_cast<int>(4 * half));
  return _mm256_and_si256(shifted, SetBytes(15));
}

// Numbers of six bits, out of a nibble and of the two bits at the bottom of each byte of `high`.
inline Bytes JoinBits(Bytes nibble, Bytes high) {
  return _mm256_or_si256(nibble, _mm256_and_si256(_mm256_slli_epi16(high, 4), SetBytes(0x30)));
}

inline void ExchangeBytes(ByteMask where, Bytes& a, Bytes& b) {
  const Bytes old_a = a;
  a = _mm256_blendv_epi8(a, b, where);
  b = _mm256_blendv_epi8(b, old_a, where);
}

inline void NegateBytes(ByteMask where, Bytes& v) {
  v = _mm256_sign_epi8(v, _mm256_or_si256(where, _mm256_set1_epi8(1)));
}

inline void AddToBytes(ByteMask where, Bytes& v, Bytes step) {
  v = _mm256_blendv_epi8(v, _mm256_add_epi8(v, step), where);
}

inline Bytes LoadBytes(const uint8_t* p) { return LoadU32(p); }
inline void StoreBytes(uint8_t* p, Bytes v) { StoreU32(p, v); }
// Dword r is the one before p + 4 r; dword 0 is 0, and nothing before p is read.
inline Bytes LoadBytesAboveFirst(const uint8_t* p) {
  return _mm256_maskload_epi32(reinterpret_cast<const int*>(p - sizeof(uint32_t)),
                               _mm256_setr_epi32(0, -1, -1, -1, -1, -1, -1, -1));
}
// kLanes words of 16 bits as dwords.
inline U32 LoadU16(const uint8_t* p) {
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

// Every dword's bytes chosen anew: byte q takes byte (picks >> 8 q) & 3.
inline Bytes ShuffleDwordBytes(U32 v, uint32_t picks) {
  const __m128i dwords = _mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c);
  const __m128i control = _mm_add_epi8(dwords, _mm_set1_epi32(static_cast<int>(picks)));
  return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(control));
}

// Brings the kBits raw bits of tuple 4 * half + q of every dword to the bottom of byte q; the bits
// above them are undefined.
template <uint32_t kBits>
inline Bytes SpreadRawBits(U32 words, uint32_t half) {
  const U32 odd_bytes = _mm256_set1_epi16(static_cast<int16_t>(0xff00));
  if constexpr (kBits == 4) {
    const Bytes pairs = ShuffleDwordBytes(words, half * 0x02020202 + 0x01010000);
    return _mm256_blendv_epi8(pairs, _mm256_srli_epi16(pairs, 4), odd_bytes);
  }
  const Bytes quads = ShuffleDwordBytes(words, half * 0x01010101);
  const Bytes low = _mm256_blendv_epi8(quads, _mm256_srli_epi16(quads, 2), odd_bytes);
  return _mm256_blend_epi16(low, _mm256_srli_epi16(low, 4), 0xaa);
}

// sum + the products of four weights with four signed bytes `x`, for each lane; starts as Dot4.
inline U32 DotWeights(U32 sum, Bytes weights, U32 x) { return Dot4(sum, weights, x); }

// Weights as two's complement numbers.
inline U32 ToLevels(Bytes weights) { return weights; }
inline Bytes FromLevels(U32 levels) { return levels; }

// Vectors of rows of W whose sums with a panel of x fit the registers.
inline constexpr size_t kBatchVecs = 2;

}  // namespace ecq::avx2

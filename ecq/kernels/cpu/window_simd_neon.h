// The vocabulary of the window kernels in NEON. Included inside a target region, after
// packed_simd_neon.h.
#pragma once

namespace ecq::neon {

// A byte for each of four tuples of kLanes rows: dword r belongs to row r, byte q of it to tuple q.
// Weights are two's complement numbers.
struct Bytes {
  uint8x16_t v[2];
};
using ByteMask = Bytes;  // all bits of a byte, or none

// The four byte planes of a table. They would fill the register file, so they stay in memory.
struct WindowEntries {
  alignas(64) uint8_t planes[kTupleCols][kWindowEntries];
};

inline WindowEntries LoadWindowEntries(const WindowPlanes& table) {
  WindowEntries entries;
  for (size_t j = 0; j < kTupleCols; ++j) {
    for (size_t i = 0; i < kWindowEntries; i += 16) {
      vst1q_u8(entries.planes[j] + i, veorq_u8(vld1q_u8(table.planes[j] + i), vdupq_n_u8(0x80)));
    }
  }
  return entries;
}

inline Bytes SetBytes(uint32_t value) {
  const uint8x16_t bytes = vdupq_n_u8(static_cast<uint8_t>(value));
  return {{bytes, bytes}};
}

template <int kBit>
inline ByteMask BitOf(Bytes v) {
  if constexpr (kBit == 7) {
    return {{vcltzq_s8(vreinterpretq_s8_u8(v.v[0])), vcltzq_s8(vreinterpretq_s8_u8(v.v[1]))}};
  }
  const uint8x16_t bit = vdupq_n_u8(1 << kBit);
  return {{vtstq_u8(v.v[0], bit), vtstq_u8(v.v[1], bit)}};
}

// Weights of the entries that the low seven bits of `n` pick. A look-up in four registers gives 0,
// or what was there, for indexes that lead out of them.
inline void LookUp(const WindowEntries& entries, Bytes n, Bytes (&weights)[kTupleCols]) {
  constexpr size_t kHalf = kWindowEntries / 2;
  uint8x16_t in_low[2];
  uint8x16_t in_high[2];
  for (size_t i = 0; i < 2; ++i) {
    in_low[i] = vandq_u8(n.v[i], vdupq_n_u8(kWindowEntries - 1));
    in_high[i] = veorq_u8(in_low[i], vdupq_n_u8(kHalf));
  }
  for (size_t j = 0; j < kTupleCols; ++j) {
    const uint8x16x4_t low = vld1q_u8_x4(entries.planes[j]);
    for (size_t i = 0; i < 2; ++i) weights[j].v[i] = vqtbl4q_u8(low, in_low[i]);
    const uint8x16x4_t high = vld1q_u8_x4(entries.planes[j] + kHalf);
    for (size_t i = 0; i < 2; ++i) {
      weights[j].v[i] = vqtbx4q_u8(weights[j].v[i], high, in_high[i]);
    }
  }
}

// The same for tables of 16 or 32 entries; bits 6 and 7 of n are 0.
template <uint32_t kEntries>
inline void LookUpFew(const WindowEntries& entries, Bytes n, Bytes (&weights)[kTupleCols]) {
  for (size_t j = 0; j < kTupleCols; ++j) {
    for (size_t i = 0; i < 2; ++i) {
      const uint8x16_t index = vandq_u8(n.v[i], vdupq_n_u8(kEntries - 1));
      weights[j].v[i] = kEntries == 16 ? vqtbl1q_u8(vld1q_u8(entries.planes[j]), index)
                                       : vqtbl2q_u8(vld1q_u8_x2(entries.planes[j]), index);
    }
  }
}

// The low (half 0) or high nibble of every byte.
inline Bytes NibbleOf(Bytes v, uint32_t half) {
  const int8x16_t shift = vdupq_n_s8(static_cast<int8_t>(-4 * static_cast<int32_t>(half)));
  for (uint8x16_t& part : v.v) part = vandq_u8(vshlq_u8(part, shift), vdupq_n_u8(15));
  return v;
}

// Numbers of six bits, out of a nibble and of the two bits at the bottom of each byte of `high`.
inline Bytes JoinBits(Bytes nibble, Bytes high) {
  for (size_t i = 0; i < 2; ++i) {
    const uint8x16_t bits = vandq_u8(vshlq_n_u8(high.v[i], 4), vdupq_n_u8(0x30));
    nibble.v[i] = vorrq_u8(nibble.v[i], bits);
  }
  return nibble;
}

inline void ExchangeBytes(ByteMask where, Bytes& a, Bytes& b) {
  const Bytes old_a = a;
  for (size_t i = 0; i < 2; ++i) {
    a.v[i] = vbslq_u8(where.v[i], b.v[i], a.v[i]);
    b.v[i] = vbslq_u8(where.v[i], old_a.v[i], b.v[i]);
  }
}

// -v = (v ^ -1) - -1.
inline void NegateBytes(ByteMask where, Bytes& v) {
  for (size_t i = 0; i < 2; ++i) v.v[i] = vsubq_u8(veorq_u8(v.v[i], where.v[i]), where.v[i]);
}

inline void AddToBytes(ByteMask where, Bytes& v, Bytes step) {
  for (size_t i = 0; i < 2; ++i) v.v[i] = vaddq_u8(v.v[i], vandq_u8(step.v[i], where.v[i]));
}

inline Bytes LoadBytes(const uint8_t* p) { return {{vld1q_u8(p), vld1q_u8(p + 16)}}; }
inline void StoreBytes(uint8_t* p, Bytes v) {
  vst1q_u8(p, v.v[0]);
  vst1q_u8(p + 16, v.v[1]);
}
// Dword r is the one before p + 4 r; dword 0 is 0, and nothing before p is read.
inline Bytes LoadBytesAboveFirst(const uint8_t* p) {
  return {{vextq_u8(vdupq_n_u8(0), vld1q_u8(p), 12), vld1q_u8(p + 12)}};
}
// kLanes words of 16 bits as dwords.
inline U32 LoadU16(const uint8_t* p) {
  const uint16x8_t words = vreinterpretq_u16_u8(vld1q_u8(p));
  return {{vmovl_u16(vget_low_u16(words)), vmovl_high_u16(words)}};
}

// Brings the kBits raw bits of tuple 4 * half + q of every dword to the bottom of byte q; the bits
// above them are undefined.
template <uint32_t kBits>
inline Bytes SpreadRawBits(U32 words, uint32_t half) {
  static_assert(kBits == 2 || kBits == 4);
  // The byte that holds the bits of tuple q, then a shift in it.
  const uint8x16_t first = kBits == 2
                               ? uint8x16_t{0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12}
                               : uint8x16_t{0, 0, 1, 1, 4, 4, 5, 5, 8, 8, 9, 9, 12, 12, 13, 13};
  const int8x16_t shift =
      kBits == 2 ? int8x16_t{0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6}
                 : int8x16_t{0, -4, 0, -4, 0, -4, 0, -4, 0, -4, 0, -4, 0, -4, 0, -4};
  const uint8x16_t picks = vaddq_u8(first, vdupq_n_u8(static_cast<uint8_t>(half * kBits / 2)));
  Bytes spread;
  for (size_t i = 0; i < 2; ++i) {
    spread.v[i] = vshlq_u8(vqtbl1q_u8(vreinterpretq_u8_u32(words.v[i]), picks), shift);
  }
  return spread;
}

// sum + the products of four weights with four signed bytes `x`, for each lane; starts as Dot4.
inline U32 DotWeights(U32 sum, Bytes weights, U32 x) {
  return {{DotBytes(sum.v[0], vreinterpretq_s8_u8(weights.v[0]), vreinterpretq_s8_u32(x.v[0])),
           DotBytes(sum.v[1], vreinterpretq_s8_u8(weights.v[1]), vreinterpretq_s8_u32(x.v[1]))}};
}

// Weights as two's complement numbers.
inline U32 ToLevels(Bytes weights) {
  return {{vreinterpretq_u32_u8(weights.v[0]), vreinterpretq_u32_u8(weights.v[1])}};
}
inline Bytes FromLevels(U32 levels) {
  return {{vreinterpretq_u8_u32(levels.v[0]), vreinterpretq_u8_u32(levels.v[1])}};
}

// Vectors of rows of W whose sums with a panel of x fit the registers.
inline constexpr size_t kBatchVecs = 2;

}  // namespace ecq::neon

// The window code: four weights (a tuple) for every code, at a fixed place.
//
// A tuple is four neighbouring columns of one row. Its code n, a byte or less, picks one of at most
// 128 entries of a table; four bits of the code p that stands above it, in the row before, turn the
// entry by exchanging or negating weights; raw bits add signs and low bits. So one point in four
// dimensions depends on the last twelve bits of a stream that runs down the rows (a bit-shift
// trellis), while every bit stands where it can be found without decoding anything else, and no bit
// can lead out of the table. Turning a small table replaces a table of 4096 entries, which no
// register file holds.
//
// Sources: trellis-coded quantization, Marcellin and Fischer, IEEE Trans. Comm. 38(1), 1990; the
// bit-shift trellis, QTIP, arXiv:2406.11235. Turning the entries: docs/experiments/window_code.md.
#pragma once

#include "ecq/portable/port.h"

namespace ecq {

constexpr uint32_t kTupleCols = 4;
constexpr uint32_t kWindowEntries = 128;  // most of a table
constexpr uint32_t kWindowStateBits = 4;  // bits of the code above that count

// Columns are coded in groups of 32, which are 8 tuples of every lane.
constexpr uint32_t kWindowGroupCols = 32;
constexpr uint32_t kWindowGroupTuples = kWindowGroupCols / kTupleCols;

// Bits of a tuple: those of its code n and, beside a byte, raw bits; a quarter of them for each
// weight. What raw bits do:
//   0: nothing    2: negate weights 0 and 1; 0 and 2    4: signs
//   6: signs, then low bits of weights 0 and 2 of the entry, before it turns    8: signs, low bits
constexpr uint32_t kWindowByteBits = 8;  // of a code that is a byte; shorter ones have 4 or 6 bits
constexpr uint32_t kWindowMaxRawBits = 8;
ECQ_FN bool IsWindowCode(uint32_t code_bits, uint32_t raw_bits) {
  if (code_bits == 4 || code_bits == 6) return raw_bits == 0;
  return code_bits == kWindowByteBits && raw_bits % 2 == 0 && raw_bits <= kWindowMaxRawBits;
}
ECQ_FN bool HasLowBits(uint32_t raw_bits) { return raw_bits > 4; }
// Entries of a table; the low bits of n pick one.
ECQ_FN uint32_t NumWindowEntries(uint32_t code_bits) {
  return code_bits == 4 ? 16 : 1u << (code_bits - 1);
}

// A group holds, for the lanes of a block (32, fewer in the last block),
//   bytes:          [half][lane] the bytes of four tuples
//   shorter codes:  [lane] u32, the low nibbles of n: of tuple q in bits 8 q and up, of tuple 4 + q
//                   in bits 8 q + 4 and up; then, for 6 bits, [lane] u16, the rest of n
//   raw bits:       [lane] words of 2, 4, 4 + 2 or 4 + 4 bytes for 2, 4, 6 or 8 raw bits
// where a u16 has two bits for every tuple, a u32 four, tuple t those from 2 t or 4 t on. Of 8 raw
// bits the first word has those of the tuples 0 to 3, the second the rest; of 6 the first has the
// signs, the second the low bits. So a lane has as many u32 as its bytes hold, then a u16 if two
// bytes are left.
ECQ_FN uint32_t WindowGroupLaneBytes(uint32_t code_bits, uint32_t raw_bits) {
  return code_bits + raw_bits;  // of one lane: 8 tuples of as many bits
}

// Four levels, weight j in byte j, two's complement.
struct WindowTuple {
  uint32_t bytes;
};

ECQ_FN WindowTuple ExchangeWeights(WindowTuple t, uint32_t a, uint32_t b) {
  const uint32_t difference = (t.bytes >> 8 * a ^ t.bytes >> 8 * b) & 0xffu;
  return WindowTuple{t.bytes ^ (difference << 8 * a | difference << 8 * b)};
}

ECQ_FN WindowTuple NegateWeight(WindowTuple t, uint32_t j) {
  const uint32_t negated = (0u - (t.bytes >> 8 * j)) & 0xffu;
  return WindowTuple{(t.bytes & ~(0xffu << 8 * j)) | negated << 8 * j};
}

ECQ_FN WindowTuple AddToWeight(WindowTuple t, uint32_t j, uint32_t step) {
  const uint32_t sum = ((t.bytes >> 8 * j) + step) & 0xffu;
  return WindowTuple{(t.bytes & ~(0xffu << 8 * j)) | sum << 8 * j};
}

ECQ_FN WindowTuple ExchangeHalves(WindowTuple t) {
  return WindowTuple{t.bytes << 16 | t.bytes >> 16};
}

ECQ_FN WindowTuple NegateAll(WindowTuple t) {
  for (uint32_t j = 0; j < kTupleCols; ++j) t = NegateWeight(t, j);
  return t;
}

// Turns an entry of a table whose codes are bytes: `n` the tuple's own byte, `p` the byte above it
// (0 in the first row of a block, and everywhere in a code without memory). Order matters.
ECQ_FN WindowTuple TurnEntry(WindowTuple t, uint32_t n, uint32_t p, uint32_t raw_bits) {
  const bool has_signs = raw_bits >= 4;  // then the table holds magnitudes, and negating is no use
  if ((n & 0x80u) && has_signs) t = ExchangeHalves(t);
  if ((n & 0x80u) && !has_signs) t = NegateAll(t);
  if (p & 1u) t = ExchangeWeights(t, 0, 1);
  if (p & 2u) t = ExchangeWeights(t, 2, 3);
  if (has_signs) {
    if (p & 4u) t = ExchangeWeights(t, 1, 2);
    if (p & 8u) t = ExchangeWeights(t, 0, 2);
    return t;
  }
  if (p & 4u) t = ExchangeHalves(t);
  if ((p & 8u) && raw_bits == 0) t = NegateWeight(NegateWeight(t, 0), 1);
  if ((p & 8u) && raw_bits == 2) t = ExchangeWeights(t, 1, 2);
  return t;
}

// The same for shorter codes. Bits 0 and 1 of p turn by the quaternions i and j.
ECQ_FN WindowTuple TurnShortEntry(WindowTuple t, uint32_t n, uint32_t p, uint32_t code_bits) {
  if (n & 0x20u) t = NegateAll(t);  // 6 bits only
  if (p & 1u) {
    t = ExchangeWeights(ExchangeWeights(t, 0, 1), 2, 3);
    t = NegateWeight(NegateWeight(t, 0), 2);
  }
  if (p & 2u) t = NegateWeight(NegateWeight(ExchangeHalves(t), 0), 3);
  if (p & 4u) t = code_bits == 4 ? NegateAll(t) : NegateWeight(NegateWeight(t, 0), 1);
  if (p & 8u) t = ExchangeWeights(t, 1, 2);
  return t;
}

// The low bits of 6 raw bits, on the entry before it is turned. A low bit is worth `low_step`.
ECQ_FN WindowTuple AddLowPair(WindowTuple t, uint32_t raw, uint32_t low_step) {
  if (raw & 16u) t = AddToWeight(t, 0, low_step);
  if (raw & 32u) t = AddToWeight(t, 2, low_step);
  return t;
}

// Applies the other raw bits of a tuple to its turned entry.
ECQ_FN WindowTuple ApplyRawBits(WindowTuple t, uint32_t raw, uint32_t raw_bits, uint32_t low_step) {
  if (raw_bits == 2) {
    if (raw & 1u) t = NegateWeight(NegateWeight(t, 0), 1);
    if (raw & 2u) t = NegateWeight(NegateWeight(t, 0), 2);
    return t;
  }
  for (uint32_t j = 0; j < kTupleCols; ++j) {
    if (raw_bits == 8 && (raw >> (4 + j) & 1u)) t = AddToWeight(t, j, low_step);
    if (raw_bits != 0 && (raw >> j & 1u)) t = NegateWeight(t, j);
  }
  return t;
}

// What a code decodes to: `entry` is the one that it picks.
ECQ_FN WindowTuple DecodeEntry(WindowTuple entry, uint32_t n, uint32_t p, uint32_t raw,
                               uint32_t code_bits, uint32_t raw_bits, uint32_t low_step) {
  if (code_bits < kWindowByteBits) return TurnShortEntry(entry, n, p, code_bits);
  if (raw_bits == 6) entry = AddLowPair(entry, raw, low_step);
  return ApplyRawBits(TurnEntry(entry, n, p, raw_bits), raw, raw_bits, low_step);
}

// What a code means, for the columns of one span.
struct WindowTable {
  uint32_t raw_bits;
  uint32_t low_step;                           // with low bits only, else 0
  int8_t entries[kWindowEntries][kTupleCols];  // never -128: negating stays inside int8
  uint32_t code_bits = kWindowByteBits;        // shorter codes: the entries they lack are 0

  constexpr bool operator==(const WindowTable&) const = default;
};

ECQ_FN int32_t WeightOf(WindowTuple t, uint32_t j) {
  return static_cast<int32_t>(t.bytes << (24 - 8 * j)) >> 24;
}

}  // namespace ecq

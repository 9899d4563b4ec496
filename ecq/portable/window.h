// The window code: four weights (a tuple) for every byte, at a fixed place.
//
// A tuple is four neighbouring columns of one row. Its new byte n picks one of 128 entries of a
// table; four bits of the byte p that stands above it, in the row before, turn the entry by
// exchanging or negating weights; raw bits add signs and a low bit. So one point in four dimensions
// depends on the last twelve bits of a stream that runs down the rows (a bit-shift trellis), while
// every bit stands where it can be found without decoding anything else, and no bit can lead out of
// the table. Turning a small table replaces a table of 4096 entries, which no register file holds.
//
// Sources: trellis-coded quantization, Marcellin and Fischer, IEEE Trans. Comm. 38(1), 1990; the
// bit-shift trellis, QTIP, arXiv:2406.11235. Turning the entries: docs/experiments/window_code.md.
#pragma once

#include "ecq/portable/port.h"

namespace ecq {

constexpr uint32_t kTupleCols = 4;
constexpr uint32_t kWindowEntries = 128;
constexpr uint32_t kWindowStateBits = 4;  // bits of the byte above that count

// Columns are coded in groups of 32, which are 8 tuples of every lane. A group holds, for the lanes
// of a block (32, fewer in the last block), [half][lane] the bytes of four tuples, then
// [word][lane] the raw words. The raw bits of tuple t are the bits t * raw_bits and up of the
// lane's words.
constexpr uint32_t kWindowGroupCols = 32;
constexpr uint32_t kWindowGroupTuples = kWindowGroupCols / kTupleCols;

// Raw bits of a tuple, beside its byte; 2 + raw_bits / 4 bits a weight in all.
//   0: none    2: negate weights 0 and 1; 0 and 2    4: signs    8: signs, then low bits
constexpr uint32_t kWindowMaxRawBits = 8;
ECQ_FN bool IsWindowRawBits(uint32_t raw_bits) {
  return raw_bits == 0 || raw_bits == 2 || raw_bits == 4 || raw_bits == 8;
}
ECQ_FN uint32_t WindowRawWordBytes(uint32_t raw_bits) { return raw_bits < 4 ? raw_bits : 4; }
// Bytes of one lane in a group.
ECQ_FN uint32_t WindowGroupLaneBytes(uint32_t raw_bits) { return kWindowGroupTuples + raw_bits; }

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

// Turns a table entry: `n` the tuple's own byte, `p` the byte above it (0 in the first row of a
// block, and everywhere in a code without memory). Order matters.
ECQ_FN WindowTuple TurnEntry(WindowTuple t, uint32_t n, uint32_t p, uint32_t raw_bits) {
  const bool has_signs = raw_bits >= 4;  // then the table holds magnitudes, and negating is no use
  if ((n & 0x80u) && has_signs) t = ExchangeHalves(t);
  if ((n & 0x80u) && !has_signs) {
    for (uint32_t j = 0; j < kTupleCols; ++j) t = NegateWeight(t, j);
  }
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

// Applies the raw bits of a tuple. A low bit is worth `low_step`.
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

// What a byte means, for the columns of one span.
struct WindowTable {
  uint32_t raw_bits;
  uint32_t low_step;                           // raw_bits 8 only, else 0
  int8_t entries[kWindowEntries][kTupleCols];  // never -128: negating stays inside int8

  constexpr bool operator==(const WindowTable&) const = default;
};

ECQ_FN int32_t WeightOf(WindowTuple t, uint32_t j) {
  return static_cast<int32_t>(t.bytes << (24 - 8 * j)) >> 24;
}

}  // namespace ecq

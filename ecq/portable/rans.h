// rANS 32x16: up to 32 interleaved states of 32 bits, renormalised by 16-bit words.
//
// Three things surprise a first reader. The encoder runs backwards: it codes the last symbol first
// and writes words from the end of the buffer, so that the decoder reads everything forwards. The
// lanes of a tile share one word stream with no marks in it: in each step the lanes whose state
// fell below kRansLowerBound take the next words in lane order. The encoder starts every lane at
// kRansLowerBound, so the decoder must end there: a free check of the whole tile.
//
// Source: Duda, arXiv:1311.2540; interleaving: Giesen, arXiv:1402.3392.
#pragma once

#include "ecq/portable/port.h"

namespace ecq {

// Lower bound of the state interval [2^16, 2^32). With prob_bits <= 14 a popped state is at least
// 2^2, so one 16-bit word always brings it back into the interval.
constexpr uint32_t kRansLowerBound = 1u << 16;

constexpr uint32_t kRansMinProbBits = 8;
constexpr uint32_t kRansMaxProbBits = 14;

// What the decoder needs to know about one slot, i.e. about one value of state mod 2^prob_bits.
struct RansSlot {
  uint32_t freq;  // frequency of the symbol that owns the slot, in [1, 2^prob_bits]
  uint32_t bias;  // slot - cum[symbol], in [0, freq)
  int32_t level;  // the integer the symbol stands for, in [-128, 127]
};

// Slot tables with prob_bits <= 12 hold 32-bit entries, so that one gather fetches everything:
// bits 0..7 level (two's complement), 8..19 bias, 20..31 freq - 1.
constexpr uint32_t kRansMaxFusedProbBits = 12;

ECQ_FN uint32_t PackSlot32(RansSlot s) {
  return (static_cast<uint32_t>(s.level) & 0xffu) | s.bias << 8 | (s.freq - 1) << 20;
}

ECQ_FN RansSlot UnpackSlot32(uint32_t e) {
  return RansSlot{(e >> 20) + 1, e >> 8 & 0xfffu,
                  static_cast<int32_t>(static_cast<uint32_t>(e) << 24) >> 24};
}

// Wider tables: bits 0..7 level, 16..31 bias, 32..47 freq - 1.
ECQ_FN uint64_t PackSlot64(RansSlot s) {
  return (static_cast<uint64_t>(s.level) & 0xffu) | static_cast<uint64_t>(s.bias) << 16 |
         static_cast<uint64_t>(s.freq - 1) << 32;
}

ECQ_FN RansSlot UnpackSlot64(uint64_t e) {
  return RansSlot{static_cast<uint32_t>(e >> 32 & 0xffffu) + 1,
                  static_cast<uint32_t>(e >> 16 & 0xffffu),
                  static_cast<int32_t>(static_cast<uint32_t>(e) << 24) >> 24};
}

// Removes the symbol that owns `slot` from the state: D(x) = freq * (x >> prob_bits) + bias. The
// result may lie below kRansLowerBound; then RansRefill() must follow with the lane's next word.
// A symbol with freq == 2^prob_bits leaves the state as it is: it costs nothing.
ECQ_FN uint32_t RansPop(uint32_t state, RansSlot slot, uint32_t prob_bits) {
  return slot.freq * (state >> prob_bits) + slot.bias;
}

ECQ_FN bool RansNeedsWord(uint32_t state) { return state < kRansLowerBound; }

ECQ_FN uint32_t RansRefill(uint32_t state, uint32_t word) { return state << 16 | word; }

// The inverse of RansPop for a symbol of frequency freq starting at cum. Pre: the state was brought
// below RansPushLimit().
ECQ_FN uint32_t RansPush(uint32_t state, uint32_t freq, uint32_t cum, uint32_t prob_bits) {
  return ((state / freq) << prob_bits) + state % freq + cum;
}

// States at or above this value must give away their low word before the symbol is pushed. At most
// 2^32 (when freq == 2^prob_bits), hence 64 bits.
ECQ_FN uint64_t RansPushLimit(uint32_t freq, uint32_t prob_bits) {
  return (static_cast<uint64_t>(kRansLowerBound >> prob_bits) << 16) * freq;
}

}  // namespace ecq

// rANS 16x8: rans.h with states of 16 bits, renormalised by bytes, for vectors of 32 lanes.
//
// Everything is small so that a decoder needs no table in memory: 8 bits of probability, at most 32
// symbols, and slots arranged by the alias method (Walker, Electronics Letters 10, 1974; in an rANS
// coder: Giesen, "rANS with static probability distributions", 2014): a slot is looked up among 32
// *buckets* of 8 slots, of which each belongs to at most two symbols. So one look-up in 32 entries
// of 16 bits finds the bucket, a second one the symbol.
//
// RansPop() takes a symbol from a state, with prob_bits = kRans16ProbBits.
#pragma once

#include "ecq/portable/port.h"

namespace ecq {

constexpr uint32_t kRans16ProbBits = 8;
constexpr uint32_t kRans16Slots = 1u << kRans16ProbBits;
constexpr uint32_t kRans16MaxSymbols = 32;
constexpr uint32_t kRans16BucketSlots = kRans16Slots / kRans16MaxSymbols;

// Raw bits that every weight may have below its symbol: level = symbol's level * 2^low_bits + bits.
constexpr uint32_t kRans16MaxLowBits = 2;

// Lower bound of the state interval [2^8, 2^16). A popped state of that interval is at least 1, so
// one byte always brings it back.
constexpr uint32_t kRans16LowerBound = 1u << 8;

// The slots of bucket b are b, b + 32, b + 64, ...: number i of them is slot 32 * i + b.
ECQ_FN uint32_t Rans16BucketOf(uint32_t slot) { return slot % kRans16MaxSymbols; }
ECQ_FN uint32_t Rans16PlaceInBucket(uint32_t slot) { return slot / kRans16MaxSymbols; }

// A step begins with low_bits planes of one bit for each of the active lanes, lane 0 in bit 0.
ECQ_FN uint32_t Rans16PlaneBytes(uint32_t active_lanes) { return (active_lanes + 7) / 8; }

ECQ_FN bool Rans16NeedsByte(uint32_t state) { return state < kRans16LowerBound; }

ECQ_FN uint32_t Rans16Refill(uint32_t state, uint32_t byte) { return state << 8 | byte; }

// States at or above this value must give away their low byte before a symbol of frequency freq is
// pushed.
ECQ_FN uint32_t Rans16PushLimit(uint32_t freq) { return freq << 8; }

}  // namespace ecq

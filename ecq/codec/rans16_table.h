// How the slots of a rANS 16x8 table are arranged (portable/rans16.h; docs/format.md, 4.4).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/codec/frequency_table.h"
#include "ecq/portable/rans16.h"

namespace ecq {

// The first `own` slots of bucket b are the ranks 0, 1, ... of symbol b. Slot number i >= own is
// rank (i + other_bias) mod 256 of symbol `other`.
struct Rans16Bucket {
  uint8_t own = 0;
  uint8_t other = 0;
  uint8_t other_bias = 0;
};

// A symbol is a level of the table that occurs, to be multiplied by 2^low_bits; they are numbered
// by rising level. Numbers without a symbol have frequency 0.
struct Rans16Table {
  std::array<int8_t, kRans16MaxSymbols> levels{};  // multiples of 2^low_bits
  std::array<uint8_t, kRans16MaxSymbols> freqs{};
  std::array<Rans16Bucket, kRans16MaxSymbols> buckets{};

  // All kRans16Slots slots in order; `bias` is the rank.
  std::vector<RansSlot> Slots() const;
};

// Whether a table can be used: 8 bits, at most 32 symbols, each of a frequency of at most 255, and
// all levels that they make with low_bits in [-128, 127].
// Errors: kBadTable, starting with `where`.
Status CheckRans16Table(const FrequencyTable& table, uint32_t low_bits, std::string_view where);

// Pre: CheckRans16Table() returned OK.
Rans16Table ArrangeRans16(const FrequencyTable& table, uint32_t low_bits);

}  // namespace ecq

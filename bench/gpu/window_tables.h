// Tables of the window kernels, all derived from TurnEntry by applying it.
#pragma once

#include <cstdint>
#include <vector>

#include "ecq/portable/window.h"

namespace ecq::gpu {

// How a kernel turns entries.
enum class Turning {
  kFree,           // no memory: 256 entries, bit 7 applied
  kExpanded,       // 4096 turned entries, index n | p << 8
  kPartial,        // 1024 entries with the exchanges; negations move to the activations
  kSelectorLds,    // 256 entries; a byte permutation from a table of 16 in shared memory
  kSelectorAlu,    // 256 entries; the permutation from PRMT look-ups
  kSelectorMixed,  // rows 0 and 1 of a lane as kSelectorLds, 2 and 3 as kSelectorAlu
  kRowsExpanded,   // 4 rows x 1 column: 4096 turned entries, then a byte transpose
  kRowsFolded,     // 4 rows x 1 column: 1024 entries, the exchanges done by the transpose itself
  kTurned,         // 256 entries; all turns of the activations in shared memory (TurnedProduct)
};

ECQ_FN bool IsColumnTuple(Turning t) {
  return t == Turning::kRowsExpanded || t == Turning::kRowsFolded;
}

// Byte look-ups by PRMT, indexed by p & 7 (two registers of four bytes each). `low` and `high` give
// the two bytes of a selector; `low_flip` and `high_flip` are read with bit 3 of p as PRMT's sign
// mode: 0x44 stays for p < 8 and becomes 0 above, 0 stays 0.
struct SelectorBytes {
  uint32_t low[2];
  uint32_t high[2];
  uint32_t low_flip[2];
  uint32_t high_flip[2];
};

struct TurnTables {
  std::vector<uint32_t> entries;  // one 32-bit word for every index
  uint32_t selectors[16] = {};    // PRMT selectors by p; see SelectorOf
  SelectorBytes bytes = {};
};

inline uint32_t EntryWord(const WindowTable& table, uint32_t n) {
  uint32_t word = 0;
  for (uint32_t j = 0; j < kTupleCols; ++j) {
    word |= static_cast<uint32_t>(static_cast<uint8_t>(table.entries[n & 127u][j])) << 8 * j;
  }
  return word;
}

// The selector of the turn by p. For entries: byte j of the result is byte sel[j] of the entry.
// For activations (`of_activations`): the activations turned back, so that the dot product with the
// unturned entry is the same; indices 4 to 7 name the negated activations.
inline uint32_t SelectorOf(uint32_t p, uint32_t raw_bits, bool of_activations) {
  const WindowTuple tagged = TurnEntry(WindowTuple{0x04030201u}, 0, p, raw_bits);
  uint32_t selector = 0;
  for (uint32_t j = 0; j < kTupleCols; ++j) {
    const int32_t level = WeightOf(tagged, j);
    const uint32_t from = static_cast<uint32_t>(level < 0 ? -level : level) - 1;
    selector |= of_activations ? (j + (level < 0 ? 4u : 0u)) << 4 * from : from << 4 * j;
  }
  return selector;
}

inline uint32_t TableEntry(const WindowTable& table, Turning turning, uint32_t index) {
  const uint32_t n = index & 255u;
  const uint32_t high = index >> 8;
  const WindowTuple entry{EntryWord(table, n)};
  switch (turning) {
    case Turning::kExpanded:
    case Turning::kRowsExpanded:
      return TurnEntry(entry, n, high, table.raw_bits).bytes;
    case Turning::kPartial:  // bit 7 of the index is bit 0 of p
      return TurnEntry(entry, n & 127u, high << 1 | n >> 7, table.raw_bits).bytes;
    case Turning::kRowsFolded: {  // the index has bits 2 and 3 of p; the exchange of halves undone
      const WindowTuple turned = TurnEntry(entry, n, high << 2, table.raw_bits);
      return (high & 1u ? ExchangeHalves(turned) : turned).bytes;
    }
    default:
      return TurnEntry(entry, n, 0, table.raw_bits).bytes;
  }
}

inline uint32_t EntryCount(Turning turning) {
  switch (turning) {
    case Turning::kExpanded:
    case Turning::kRowsExpanded:
      return 4096;
    case Turning::kPartial:
    case Turning::kRowsFolded:
      return 1024;
    default:
      return 256;
  }
}

inline TurnTables BuildTurnTables(const WindowTable& table, Turning turning) {
  TurnTables tables;
  for (uint32_t i = 0; i < EntryCount(turning); ++i) {
    tables.entries.push_back(TableEntry(table, turning, i));
  }
  const bool of_activations = !IsColumnTuple(turning) && table.raw_bits == 0;
  for (uint32_t p = 0; p < 16; ++p) {
    tables.selectors[p] = SelectorOf(p, table.raw_bits, of_activations);
  }
  for (uint32_t p = 0; p < 8; ++p) {
    const uint32_t shift = 8 * (p % 4);
    const uint32_t plain = tables.selectors[p];
    const uint32_t flips = of_activations ? plain ^ tables.selectors[p + 8] : 0;
    SelectorBytes& b = tables.bytes;
    b.low[p / 4] |= ((plain ^ flips) & 0xffu) << shift;
    b.high[p / 4] |= ((plain ^ flips) >> 8 & 0xffu) << shift;
    b.low_flip[p / 4] |= (flips & 0xffu) << shift;
    b.high_flip[p / 4] |= (flips >> 8 & 0xffu) << shift;
  }
  return tables;
}

}  // namespace ecq::gpu

// What a kernel sees of a coded matrix: sizes, addresses and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ecq/portable/layout.h"
#include "ecq/portable/rans.h"
#include "ecq/portable/rans16.h"
#include "ecq/portable/window.h"

namespace ecq {

// A table of rANS 16x8 for instructions that look up 16 bits in 32 entries (portable/rans16.h).
//
// With s the low byte of a state: entry s mod 32 of `buckets` says whose slot it is. Its low byte
// is a threshold: where s is larger, the slot belongs to the symbol in the low 5 bits of the
// threshold, and the high byte is to be added (mod 256) to the slot's place in its bucket to make
// the rank. Otherwise it belongs to symbol s mod 32, and the place is the rank. Entries of `even`
// and `odd` describe a symbol: frequency << 8 | weight, and weight << 8 | frequency, the weight in
// offset binary (128 + level).
struct alignas(64) Rans16Lookup {
  uint16_t buckets[kRans16MaxSymbols];
  uint16_t even[kRans16MaxSymbols];
  uint16_t odd[kRans16MaxSymbols];
};

// The expanded slots of one symbol table, 2^prob_bits entries (PackSlot32 / PackSlot64).
struct SlotTable {
  uint32_t prob_bits;
  const uint32_t* fused;                 // null when prob_bits > kRansMaxFusedProbBits
  const uint64_t* wide;                  // null otherwise
  const Rans16Lookup* lookup = nullptr;  // rans16
};

// A window table as byte planes, weight j of entry i at planes[j][i], in offset binary (128 +
// level): what instructions that look up or multiply unsigned bytes want. Tables of fewer entries
// repeat to the end.
struct alignas(64) WindowPlanes {
  uint8_t planes[kTupleCols][kWindowEntries];
  uint32_t code_bits;
  uint32_t raw_bits;
  uint32_t low_step;
};

// Invariants (established by the loader, relied on here): desc, spans and index passed
// ValidatePackedTensor(); at least kPayloadReadPadding bytes are readable after the payload.
struct PackedView {
  PackedDesc desc;
  const uint8_t* payload;
  const uint32_t* index;        // num_tiles + 1 tile starts, in 4-byte units
  const ColumnSpan* spans;      // num_spans
  const SlotTable* tables;      // rans, rans16: num_spans
  const WindowPlanes* windows;  // window: num_spans
  const float* scales;          // (scale_groups, rows), group-major
  const float* biases;          // as scales, or null

  const uint8_t* TileBegin(uint32_t tile) const { return payload + uint64_t{index[tile]} * 4; }
  const uint8_t* TileEnd(uint32_t tile) const { return payload + uint64_t{index[tile + 1]} * 4; }
};

// The vector x (K) of a product, prepared once for all tiles.
struct PackedActivations {
  const float* x;         // f32 products: K values
  const int8_t* q;        // int8 products: PaddedActivations(K) values,
  const float* q_scales;  //   a scale per 32 of them,
  const int32_t* q_sums;  //   and their sum per 32
  const float*
      group_sums;  // sum of x (as the product sees it) per scale group; null without biases
  const int8_t* q_tuples = nullptr;  // int8 products, window: q as TransposeTuples() makes it
};

// Rows x (m, K) of an int8 product, prepared once for all tiles. Four rows lie side by side in a
// panel, four values of each in turn (PanelIndex(), PanelBlockIndex()); what a last panel lacks is
// never read. Values are in the order of columns, for window in that of TransposeTuples().
struct PackedBatch {
  size_t m;
  const int8_t* q;          // (panels, K / 32, 8, 4 rows, 4 values), zeros after column K
  const float* q_scales;    // (panels, K / 32, 4 rows)
  const int32_t* q_sums;    // (panels, K / 32, 4 rows)
  const float* group_sums;  // (m, scale_groups): as in PackedActivations
};

}  // namespace ecq

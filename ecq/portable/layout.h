// How a coded matrix is cut into tiles, blocks and lanes; the same for every codec and device.
//
// Rows of W (N, K) are cut into *blocks* of `lanes` consecutive rows; lane l of block b owns row
// b * lanes + l. A *tile* is `blocks_per_tile` consecutive blocks, coded one after the other into
// one codestream, and is the unit of random access. Inside a block, coding runs over the columns;
// in every column over the lanes. The last block may have fewer rows: its missing lanes do not take
// part.
#pragma once

#include "ecq/portable/port.h"

namespace ecq {

constexpr uint32_t kMaxLanes = 32;
constexpr uint32_t kMaxBlocksPerTile = 4096;

// Numbers written in the file (docs/format.md); never renumbered.
enum class CodecId : uint32_t {
  kRaw = 0,     // fixed width, 1 to 8 bits
  kRans = 1,    // interleaved rANS 32x16
  kWindow = 2,  // window code (portable/window.h)
  kRans16 = 3,  // interleaved rANS 16x8 (portable/rans16.h)
};

// Columns [begin, end) of the stored column order share one table.
struct ColumnSpan {
  uint32_t begin;
  uint32_t end;
  uint32_t table;      // index of the table (rans, rans16, window)
  uint32_t prob_bits;  // of that table (rans, rans16)
};

// Everything about a coded matrix that is not an address.
struct PackedDesc {
  uint32_t rows;   // N
  uint32_t cols;   // K
  uint32_t lanes;  // power of two, 1 to kMaxLanes
  uint32_t blocks_per_tile;
  uint32_t num_tiles;
  uint32_t num_spans;
  CodecId codec;
  uint32_t raw_bits;      // raw: bits per weight
  int32_t raw_level_min;  // raw: level of the all-zero pattern
  uint32_t has_memory;    // window: 1 if the byte above counts
  uint32_t low_bits;      // rans16: raw low bits of every weight, 0 to kRans16MaxLowBits
  uint32_t scale_groups;  // scales per row: 1, or K / group_size rounded up
  uint32_t group_size;    // columns that share a scale; K when scale_groups == 1
  uint32_t rotation;      // 0, or the block in which x is rotated (base/hadamard.h)
  uint32_t has_bias;      // 1: weight = scale * level + bias
};

ECQ_FN uint32_t TileRows(PackedDesc d) { return d.lanes * d.blocks_per_tile; }

// Rows [TileRowBegin, TileRowEnd) belong to tile t.
ECQ_FN uint32_t TileRowBegin(PackedDesc d, uint32_t t) { return t * TileRows(d); }
ECQ_FN uint32_t TileRowEnd(PackedDesc d, uint32_t t) {
  return d.rows - TileRowBegin(d, t) < TileRows(d) ? d.rows : TileRowBegin(d, t) + TileRows(d);
}

// Raw codestreams: every block holds, for each group of 32 columns, `bits` words of 32 bits per
// active lane, stored [group][word][lane]. Weight i of the group is at bit i * bits of the lane's
// little-endian bit string.
constexpr uint32_t kRawGroupCols = 32;

ECQ_FN uint32_t RawBlockWords(uint32_t cols, uint32_t bits, uint32_t active_lanes) {
  return (cols + kRawGroupCols - 1) / kRawGroupCols * bits * active_lanes;
}

}  // namespace ecq

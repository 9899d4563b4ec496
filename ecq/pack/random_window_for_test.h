// Random matrices with window codes, and a decoder of their codestreams as plain as the page that
// defines them (docs/format.md, 4.3), for tests.
#pragma once

#include <algorithm>
#include <vector>

#include "ecq/base/bytes.h"
#include "ecq/base/rng.h"
#include "ecq/codec/window_table.h"
#include "ecq/pack/packed_tensor.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

struct RandomWindowOptions {
  uint32_t rows = 64;
  uint32_t cols = 64;
  bool has_memory = true;
  std::vector<uint32_t> span_ends;         // empty: one span
  std::vector<uint32_t> tuple_bits = {8};  // of each span
  std::vector<Fix> fixes;
};

// Bits of a tuple, code and raw bits together, of every kind of code.
inline constexpr uint32_t kWindowTupleBits[] = {4, 6, 8, 10, 12, 14, 16};

// A table without entries for codes with so many bits a tuple; low_step where there are low bits.
inline WindowTable EmptyWindowTable(uint32_t tuple_bits, uint32_t low_step) {
  WindowTable table{};
  table.code_bits = std::min(tuple_bits, kWindowByteBits);
  table.raw_bits = tuple_bits - table.code_bits;
  table.low_step = HasLowBits(table.raw_bits) ? low_step : 0;
  return table;
}

inline WindowTable RandomWindowTable(Rng& rng, uint32_t tuple_bits, uint32_t max_low_step = 19) {
  WindowTable table = EmptyWindowTable(tuple_bits, 0);
  if (HasLowBits(table.raw_bits)) {
    table.low_step = static_cast<uint32_t>(rng.Below(max_low_step + 1));
  }
  for (uint32_t i = 0; i < NumWindowEntries(table.code_bits); ++i) {
    for (int8_t& weight : table.entries[i]) {
      weight = static_cast<int8_t>(static_cast<int32_t>(rng.Below(255 - table.low_step)) - 127);
    }
  }
  return table;
}

// Levels of all rows from codes, raw bits and tables alone.
inline std::vector<int8_t> LevelsOfCodes(const WindowCodes& codes, uint32_t rows, uint32_t cols,
                                         const std::vector<uint32_t>& span_ends) {
  const uint32_t per_row = WindowCodes::TuplesPerRow(cols);
  std::vector<int8_t> levels(size_t{rows} * cols);
  for (uint32_t row = 0; row < rows; ++row) {
    for (uint32_t col = 0; col < cols; ++col) {
      size_t span = 0;
      while (span < span_ends.size() && col >= span_ends[span]) ++span;
      const size_t at = size_t{row} * per_row + col / kTupleCols;
      const uint8_t above =
          codes.has_memory && row % kMaxLanes != 0 ? codes.bytes[at - per_row] : uint8_t{0};
      const WindowTuple tuple =
          DecodeWindowTuple(codes.tables[span], codes.bytes[at], above, codes.raw[at]);
      levels[size_t{row} * cols + col] = static_cast<int8_t>(WeightOf(tuple, col % kTupleCols));
    }
  }
  return levels;
}

inline QuantizedTensor RandomWindowTensor(Rng& rng, const RandomWindowOptions& options) {
  QuantizedTensor t;
  t.rows = options.rows;
  t.cols = options.cols;
  t.grid = "random";
  t.scales.assign(t.rows, 0x3c00);
  t.span_ends = options.span_ends;
  t.fixes = options.fixes;
  WindowCodes& codes = t.window.emplace();
  codes.has_memory = options.has_memory;
  for (const uint32_t bits : options.tuple_bits)
    codes.tables.push_back(RandomWindowTable(rng, bits));
  const uint32_t per_row = WindowCodes::TuplesPerRow(t.cols);
  for (uint32_t row = 0; row < t.rows; ++row) {
    size_t span = 0;
    for (uint32_t tuple = 0; tuple < per_row; ++tuple) {
      while (span < t.span_ends.size() && span + 1 < codes.tables.size() &&
             tuple * kTupleCols >= t.span_ends[span]) {
        ++span;
      }
      codes.bytes.push_back(static_cast<uint8_t>(rng.Below(1u << codes.tables[span].code_bits)));
      codes.raw.push_back(static_cast<uint8_t>(rng.Below(1u << codes.tables[span].raw_bits)));
    }
  }
  t.levels = LevelsOfCodes(codes, t.rows, t.cols, t.span_ends);
  return t;
}

// A group of the codestreams and the number of lanes that are active in it.
struct PlainWindowGroup {
  const uint8_t* bytes;
  uint32_t active;

  // Bits [bit, bit + count) of a lane's word of 2 or 4 bytes, where the words of all lanes stand
  // behind `before` bytes of each lane.
  uint32_t Bits(uint32_t lane, uint32_t before, uint32_t word_bytes, uint32_t bit,
                uint32_t count) const {
    const uint8_t* const word = bytes + before * active + lane * word_bytes;
    uint32_t value = 0;
    for (uint32_t b = 0; b < count; ++b) {
      value |= (word[(bit + b) / 8] >> (bit + b) % 8 & 1u) << b;
    }
    return value;
  }
  // Of tuple `t`.
  uint32_t Code(const WindowTable& table, uint32_t lane, uint32_t t) const {
    if (table.code_bits == 8) return Bits(lane, t / 4 * 4, 4, t % 4 * 8, 8);
    const uint32_t high = table.code_bits == 6 ? Bits(lane, 4, 2, 2 * t, 2) : 0;
    return high << 4 | Bits(lane, 0, 4, t % 4 * 8 + t / 4 * 4, 4);
  }
  uint32_t Raw(const WindowTable& table, uint32_t lane, uint32_t t) const {
    if (table.raw_bits == 2) return Bits(lane, 8, 2, 2 * t, 2);
    if (table.raw_bits == 4) return Bits(lane, 8, 4, 4 * t, 4);
    if (table.raw_bits == 6) return Bits(lane, 12, 2, 2 * t, 2) << 4 | Bits(lane, 8, 4, 4 * t, 4);
    return table.raw_bits == 8 ? Bits(lane, 8 + t / 4 * 4, 4, t % 4 * 8, 8) : 0;
  }
  WindowTuple Tuple(const WindowTable& table, bool has_memory, uint32_t lane, uint32_t t) const {
    const uint32_t above = has_memory && lane > 0 ? Code(table, lane - 1, t) : 0;
    return DecodeWindowTuple(table, static_cast<uint8_t>(Code(table, lane, t)),
                             static_cast<uint8_t>(above),
                             static_cast<uint8_t>(Raw(table, lane, t)));
  }
};

// The levels of a packed window matrix, bit by bit. Pre: ValidatePackedTensor().
inline std::vector<int8_t> DecodeWindowPayload(const PackedTensor& packed) {
  const PackedDesc& desc = packed.desc;
  std::vector<int8_t> levels(size_t{desc.rows} * desc.cols);
  for (uint32_t tile = 0; tile < desc.num_tiles; ++tile) {
    const uint8_t* at = packed.payload.data() + packed.index[tile] * kIndexUnitBytes;
    for (uint32_t row = TileRowBegin(desc, tile); row < TileRowEnd(desc, tile); row += kMaxLanes) {
      const uint32_t active = std::min(kMaxLanes, TileRowEnd(desc, tile) - row);
      for (size_t s = 0; s < packed.spans.size(); ++s) {
        const WindowTable& table = packed.windows[s];
        for (uint32_t col = packed.spans[s].begin; col < packed.spans[s].end; col += 32) {
          const PlainWindowGroup group{at, active};
          for (uint32_t i = 0; i < active * 32; ++i) {
            const uint32_t lane = i / 32, in_group = i % 32;
            if (col + in_group >= desc.cols) continue;
            levels[size_t{row + lane} * desc.cols + col + in_group] = static_cast<int8_t>(WeightOf(
                group.Tuple(table, desc.has_memory != 0, lane, in_group / 4), in_group % 4));
          }
          at += active * (table.code_bits + table.raw_bits);
        }
      }
    }
  }
  return levels;
}

}  // namespace ecq

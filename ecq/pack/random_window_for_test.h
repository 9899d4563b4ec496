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
  std::vector<uint32_t> span_ends;       // empty: one span
  std::vector<uint32_t> raw_bits = {0};  // of each span
  std::vector<Fix> fixes;
};

inline WindowTable RandomWindowTable(Rng& rng, uint32_t raw_bits) {
  WindowTable table{};
  table.raw_bits = raw_bits;
  table.low_step = raw_bits == 8 ? static_cast<uint32_t>(rng.Below(20)) : 0;
  for (auto& entry : table.entries) {
    for (int8_t& weight : entry) {
      weight = static_cast<int8_t>(static_cast<int32_t>(rng.Below(255 - table.low_step)) - 127);
    }
  }
  return table;
}

// Levels of all rows from bytes, raw bits and tables alone.
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
  for (const uint32_t bits : options.raw_bits) codes.tables.push_back(RandomWindowTable(rng, bits));
  const uint32_t per_row = WindowCodes::TuplesPerRow(t.cols);
  for (uint32_t row = 0; row < t.rows; ++row) {
    size_t span = 0;
    for (uint32_t tuple = 0; tuple < per_row; ++tuple) {
      while (span < t.span_ends.size() && span + 1 < codes.tables.size() &&
             tuple * kTupleCols >= t.span_ends[span]) {
        ++span;
      }
      codes.bytes.push_back(static_cast<uint8_t>(rng.Below(256)));
      codes.raw.push_back(static_cast<uint8_t>(rng.Below(1u << codes.tables[span].raw_bits)));
    }
  }
  t.levels = LevelsOfCodes(codes, t.rows, t.cols, t.span_ends);
  return t;
}

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
        const uint32_t bits = table.raw_bits;
        for (uint32_t col = packed.spans[s].begin; col < packed.spans[s].end; col += 32) {
          const uint8_t* const raw = at + 8 * active;
          for (uint32_t i = 0; i < active * 32; ++i) {
            const uint32_t lane = i / 32, t = i % 32 / 4, j = i % 4;
            if (col + i % 32 >= desc.cols) continue;
            const auto byte_of = [&](uint32_t l) { return at[(t / 4 * active + l) * 4 + t % 4]; };
            const uint32_t above = desc.has_memory && lane > 0 ? byte_of(lane - 1) : 0;
            uint32_t value = 0;
            for (uint32_t b = 0; b < bits; ++b) {
              // Bit t * bits + b of the lane's string, whose words have 2 or 4 bytes.
              const uint32_t bit = t * bits + b, word_bytes = bits == 2 ? 2 : 4;
              const uint32_t word = bit / (8 * word_bytes), in_word = bit % (8 * word_bytes);
              const uint8_t byte = raw[(word * active + lane) * word_bytes + in_word / 8];
              value |= (byte >> (in_word % 8) & 1u) << b;
            }
            WindowTuple tuple{LoadLe<uint32_t>(table.entries[byte_of(lane) % 128])};
            tuple = TurnEntry(tuple, byte_of(lane), above, bits);
            tuple = ApplyRawBits(tuple, value, bits, table.low_step);
            levels[size_t{row + lane} * desc.cols + col + i % 32] =
                static_cast<int8_t>(WeightOf(tuple, j));
          }
          at += (8 + bits) * active;
        }
      }
    }
  }
  return levels;
}

}  // namespace ecq

// Window codes into tiles, and the check that they mean the levels they come with.
#include "ecq/pack/window_encoder.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "ecq/base/bytes.h"
#include "ecq/codec/window_table.h"
#include "ecq/pack/packed_tensor.h"

namespace ecq {
namespace {

constexpr uint32_t kRowsPerTask = 8 * kMaxLanes;

Error Inconsistent(const std::string& what) {
  return Error{ErrorCode::kInvalidArgument, "pack: window codes: " + what};
}

// Index of the first tuple of a row.
size_t RowTuples(uint32_t row, uint32_t cols) {
  return size_t{row} * WindowCodes::TuplesPerRow(cols);
}

// Compares one row; false if a level differs or a tuple has bits its table does not know.
bool RowMatches(const QuantizedTensor& tensor, std::span<const ColumnSpan> spans, uint32_t row) {
  const WindowCodes& codes = *tensor.window;
  const size_t first = RowTuples(row, tensor.cols);
  const uint8_t* const bytes = codes.bytes.data() + first;
  const uint8_t* const raw = codes.raw.data() + first;
  const bool has_above = codes.has_memory && row % kMaxLanes != 0;
  const uint8_t* const above = bytes - (has_above ? WindowCodes::TuplesPerRow(tensor.cols) : 0);
  const int8_t* const levels = tensor.levels.data() + size_t{row} * tensor.cols;
  for (size_t s = 0; s < spans.size(); ++s) {
    const WindowTable& table = codes.tables[s];
    const uint32_t tuple_end = WindowCodes::TuplesPerRow(spans[s].end);
    for (uint32_t t = spans[s].begin / kTupleCols; t < tuple_end; ++t) {
      if (bytes[t] >> table.code_bits != 0 || raw[t] >> table.raw_bits != 0) return false;
      const WindowTuple tuple =
          DecodeWindowTuple(table, bytes[t], has_above ? above[t] : uint8_t{0}, raw[t]);
      for (uint32_t j = 0; j < kTupleCols && t * kTupleCols + j < tensor.cols; ++j) {
        if (WeightOf(tuple, j) != levels[t * kTupleCols + j]) return false;
      }
    }
  }
  return true;
}

// Writes one group of a block, a part of all lanes after the other.
class GroupWriter {
 public:
  // `first`: the first tuple of the group in the first of `lanes` rows that have row_tuples each.
  GroupWriter(const WindowCodes& codes, size_t first, size_t row_tuples, uint32_t lanes,
              uint8_t* out)
      : codes_(codes.bytes.data() + first),
        raw_(codes.raw.data() + first),
        row_tuples_(row_tuples),
        lanes_(lanes),
        out_(out) {}

  // Returns the place after.
  uint8_t* Write(const WindowTable& table) {
    if (table.code_bits == kWindowByteBits) {
      WriteWords(codes_, 0, kHalfTuples, 8, 0);
      WriteWords(codes_, kHalfTuples, kHalfTuples, 8, 0);
    } else {
      WriteNibbles();
    }
    if (table.code_bits == 6) WriteWords(codes_, 0, kWindowGroupTuples, 2, 4);
    if (table.raw_bits == 2) WriteWords(raw_, 0, kWindowGroupTuples, 2, 0);
    if (table.raw_bits == 4 || table.raw_bits == 6) WriteWords(raw_, 0, kWindowGroupTuples, 4, 0);
    if (table.raw_bits == 6) WriteWords(raw_, 0, kWindowGroupTuples, 2, 4);
    if (table.raw_bits == 8) WriteWords(raw_, 0, kHalfTuples, 8, 0);
    if (table.raw_bits == 8) WriteWords(raw_, kHalfTuples, kHalfTuples, 8, 0);
    return out_;
  }

 private:
  static constexpr uint32_t kHalfTuples = kWindowGroupTuples / 2;

  // For each lane a word of the `bits` bits from `low_bit` on of every one of `count` tuples.
  void WriteWords(const uint8_t* values, uint32_t first, uint32_t count, uint32_t bits,
                  uint32_t low_bit) {
    for (uint32_t lane = 0; lane < lanes_; ++lane) {
      const uint8_t* const tuples = values + lane * row_tuples_ + first;
      uint32_t word = 0;
      for (uint32_t t = 0; t < count; ++t) {
        word |= (tuples[t] >> low_bit & ((1u << bits) - 1)) << t * bits;
      }
      std::memcpy(out_, &word, count * bits / 8);
      out_ += count * bits / 8;
    }
  }

  // For each lane the low nibbles of all codes, those of tuples four apart side by side.
  void WriteNibbles() {
    for (uint32_t lane = 0; lane < lanes_; ++lane) {
      const uint8_t* const tuples = codes_ + lane * row_tuples_;
      for (uint32_t q = 0; q < kHalfTuples; ++q) {
        const uint32_t pair = (tuples[q] & 15u) | (tuples[q + kHalfTuples] & 15u) << 4;
        *out_++ = static_cast<uint8_t>(pair);
      }
    }
  }

  const uint8_t* codes_;
  const uint8_t* raw_;
  size_t row_tuples_;
  uint32_t lanes_;
  uint8_t* out_;
};

}  // namespace

uint64_t WindowRowBytes(std::span<const ColumnSpan> spans, std::span<const WindowTable> tables) {
  uint64_t row_bytes = 0;
  for (size_t s = 0; s < spans.size(); ++s) {
    row_bytes += DivideRoundUp(spans[s].end - spans[s].begin, kWindowGroupCols) *
                 WindowGroupLaneBytes(tables[s].code_bits, tables[s].raw_bits);
  }
  return row_bytes;
}

Status CheckWindowSpans(std::span<const ColumnSpan> spans, std::string_view where) {
  for (const ColumnSpan& span : spans) {
    if (span.begin % kWindowGroupCols == 0) continue;
    return Error{ErrorCode::kBadLayout,
                 std::string(where) +
                     ": column spans of the window codec must begin at multiples of 32, got " +
                     std::to_string(span.begin)};
  }
  return OkStatus();
}

Status CheckWindowCodes(const QuantizedTensor& tensor, std::span<const ColumnSpan> spans,
                        ThreadPool& pool) {
  const WindowCodes& codes = *tensor.window;
  const size_t num_tuples = RowTuples(tensor.rows, tensor.cols);
  if (codes.tables.size() != spans.size() || codes.bytes.size() != num_tuples ||
      codes.raw.size() != num_tuples) {
    return Inconsistent("expected " + std::to_string(spans.size()) + " tables and " +
                        std::to_string(num_tuples) + " tuples, got " +
                        std::to_string(codes.tables.size()) + ", " +
                        std::to_string(codes.bytes.size()) + " bytes and " +
                        std::to_string(codes.raw.size()) + " raw parts");
  }
  if (const Status status = CheckWindowSpans(spans, "spans"); !status.ok()) {
    return Inconsistent(status.error().message);
  }
  for (const WindowTable& table : codes.tables) {
    if (const Status status = CheckWindowTable(table); !status.ok()) {
      return Inconsistent(status.error().message);
    }
  }
  std::atomic<uint32_t> first_bad{tensor.rows};
  pool.Run(DivideRoundUp(tensor.rows, kRowsPerTask), [&](size_t task, size_t /*worker*/) {
    const uint32_t begin = static_cast<uint32_t>(task * kRowsPerTask);
    const uint32_t end = begin + std::min(kRowsPerTask, tensor.rows - begin);
    uint32_t row = begin;
    while (row < end && RowMatches(tensor, spans, row)) ++row;
    for (uint32_t bad = first_bad; row < end && row < bad;) {
      if (first_bad.compare_exchange_weak(bad, row)) break;
    }
  });
  if (first_bad < tensor.rows) {
    return Inconsistent("row " + std::to_string(first_bad) +
                        " does not decode to its levels; the quantizer that made it is at fault");
  }
  return OkStatus();
}

std::vector<uint8_t> EncodeWindowTile(const WindowCodes& codes, std::span<const ColumnSpan> spans,
                                      uint32_t row_begin, uint32_t row_end) {
  const uint32_t cols = spans.back().end;
  const size_t row_tuples = WindowCodes::TuplesPerRow(cols);
  const uint64_t tile_bytes = WindowRowBytes(spans, codes.tables) * (row_end - row_begin);
  std::vector<uint8_t> tile(AlignUp(tile_bytes, kIndexUnitBytes));
  uint8_t* out = tile.data();
  for (uint32_t row = row_begin; row < row_end; row += kMaxLanes) {
    const uint32_t active = std::min(kMaxLanes, row_end - row);
    for (size_t s = 0; s < spans.size(); ++s) {
      for (uint32_t col = spans[s].begin; col < spans[s].end; col += kWindowGroupCols) {
        const size_t first = RowTuples(row, cols) + col / kTupleCols;
        out = GroupWriter(codes, first, row_tuples, active, out).Write(codes.tables[s]);
      }
    }
  }
  return tile;
}

}  // namespace ecq

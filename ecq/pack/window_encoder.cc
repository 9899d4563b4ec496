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

// Compares one row; false if a level differs or a tuple has raw bits its table does not know.
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
      if (raw[t] >> table.raw_bits != 0) return false;
      const WindowTuple tuple =
          DecodeWindowTuple(table, bytes[t], has_above ? above[t] : uint8_t{0}, raw[t]);
      for (uint32_t j = 0; j < kTupleCols && t * kTupleCols + j < tensor.cols; ++j) {
        if (WeightOf(tuple, j) != levels[t * kTupleCols + j]) return false;
      }
    }
  }
  return true;
}

// Writes the group that begins at tuple `first` of the block's first row; returns the place after.
uint8_t* EncodeGroup(const WindowCodes& codes, size_t first, size_t row_tuples, uint32_t active,
                     uint32_t raw_bits, uint8_t* out) {
  constexpr uint32_t kHalfTuples = kWindowGroupTuples / 2;
  for (uint32_t half = 0; half < 2; ++half) {
    for (uint32_t lane = 0; lane < active; ++lane, out += kHalfTuples) {
      std::memcpy(out, codes.bytes.data() + first + lane * row_tuples + half * kHalfTuples,
                  kHalfTuples);
    }
  }
  if (raw_bits == 0) return out;
  const uint32_t word_bytes = WindowRawWordBytes(raw_bits);
  const uint32_t num_words = kWindowGroupTuples * raw_bits / 8 / word_bytes;
  for (uint32_t word = 0; word < num_words; ++word) {
    for (uint32_t lane = 0; lane < active; ++lane, out += word_bytes) {
      uint64_t bits = 0;
      for (uint32_t t = 0; t < kWindowGroupTuples; ++t) {
        bits |= uint64_t{codes.raw[first + lane * row_tuples + t]} << (t * raw_bits);
      }
      bits >>= word * word_bytes * 8;
      std::memcpy(out, &bits, word_bytes);
    }
  }
  return out;
}

}  // namespace

uint64_t WindowRowBytes(std::span<const ColumnSpan> spans, std::span<const WindowTable> tables) {
  uint64_t row_bytes = 0;
  for (size_t s = 0; s < spans.size(); ++s) {
    row_bytes += DivideRoundUp(spans[s].end - spans[s].begin, kWindowGroupCols) *
                 WindowGroupLaneBytes(tables[s].raw_bits);
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
        out = EncodeGroup(codes, RowTuples(row, cols) + col / kTupleCols, row_tuples, active,
                          codes.tables[s].raw_bits, out);
      }
    }
  }
  return tile;
}

}  // namespace ecq

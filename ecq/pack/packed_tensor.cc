#include "ecq/pack/packed_tensor.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "ecq/base/bytes.h"
#include "ecq/base/hadamard.h"
#include "ecq/codec/rans16_table.h"
#include "ecq/codec/window_table.h"
#include "ecq/pack/stored_form.h"
#include "ecq/pack/window_encoder.h"

namespace ecq {
namespace {

std::string Number(uint64_t n) { return std::to_string(n); }

Status CheckGeometry(const PackedDesc& d, const std::string& where) {
  if (d.rows == 0 || d.cols == 0) {
    return Error{ErrorCode::kBadLayout, where + ": expected a non-empty matrix, got " +
                                            Number(d.rows) + " x " + Number(d.cols)};
  }
  if (d.lanes == 0 || d.lanes > kMaxLanes || !std::has_single_bit(d.lanes)) {
    return Error{ErrorCode::kBadLayout,
                 where + ": lanes must be a power of two up to 32, got " + Number(d.lanes)};
  }
  if (d.blocks_per_tile == 0 || d.blocks_per_tile > kMaxBlocksPerTile) {
    return Error{ErrorCode::kBadLayout, where + ": blocks_per_tile must be in [1, 4096], got " +
                                            Number(d.blocks_per_tile)};
  }
  if (d.num_tiles != DivideRoundUp(d.rows, TileRows(d))) {
    return Error{ErrorCode::kBadLayout, where + ": expected " +
                                            Number(DivideRoundUp(d.rows, TileRows(d))) +
                                            " tiles, got " + Number(d.num_tiles)};
  }
  return OkStatus();
}

Status CheckWindow(const PackedTensor& t, const std::string& where) {
  if (t.desc.lanes != kMaxLanes || t.desc.has_memory > 1) {
    return Error{ErrorCode::kBadLayout, where + ": the window codec needs 32 lanes, got " +
                                            Number(t.desc.lanes) + ", and 0 or 1 for memory"};
  }
  if (t.windows.size() != t.spans.size()) {
    return Error{ErrorCode::kBadTable, where + ": expected " + Number(t.spans.size()) +
                                           " window tables, got " + Number(t.windows.size())};
  }
  for (size_t i = 0; i < t.windows.size(); ++i) {
    if (const Status status = CheckWindowTable(t.windows[i]); !status.ok()) {
      return Error{status.error().code,
                   where + ": span " + Number(i) + ": " + status.error().message};
    }
  }
  return OkStatus();
}

Status CheckCodec(const PackedTensor& t, const std::string& where) {
  switch (t.desc.codec) {
    case CodecId::kRaw:
      if (t.desc.raw_bits == 0 || t.desc.raw_bits > 8) {
        return Error{ErrorCode::kBadLayout,
                     where + ": raw width must be 1 to 8 bits, got " + Number(t.desc.raw_bits)};
      }
      if (t.desc.raw_level_min < FrequencyTable::kMinLevel ||
          t.desc.raw_level_min > FrequencyTable::kMaxLevel - ((1 << t.desc.raw_bits) - 1)) {
        return Error{
            ErrorCode::kBadLayout,
            where + ": raw level_min " + std::to_string(t.desc.raw_level_min) + " is out of range"};
      }
      return OkStatus();
    case CodecId::kRans:
    case CodecId::kRans16:
      if (t.tables.size() != t.spans.size()) {
        return Error{ErrorCode::kBadTable, where + ": expected " + Number(t.spans.size()) +
                                               " tables, got " + Number(t.tables.size())};
      }
      if (t.desc.codec == CodecId::kRans16) {
        if (t.desc.low_bits > kRans16MaxLowBits) {
          return Error{ErrorCode::kBadLayout,
                       where + ": low_bits must be at most 2, got " + Number(t.desc.low_bits)};
        }
        for (const FrequencyTable& table : t.tables) {
          ECQ_RETURN_IF_ERROR(CheckRans16Table(table, t.desc.low_bits, where));
        }
      }
      return OkStatus();
    case CodecId::kWindow:
      return CheckWindow(t, where);
  }
  return Error{ErrorCode::kUnsupportedCodec,
               where + ": codec number " + Number(static_cast<uint32_t>(t.desc.codec))};
}

Status CheckSpans(const PackedTensor& t, const std::string& where) {
  uint32_t at = 0;
  for (size_t i = 0; i < t.spans.size(); ++i) {
    const ColumnSpan& span = t.spans[i];
    if (span.begin != at || span.end <= at || span.table != i) {
      return Error{ErrorCode::kBadLayout, where + ": column spans must cover the columns in order"};
    }
    if (!t.tables.empty() && span.prob_bits != t.tables[i].prob_bits()) {
      return Error{ErrorCode::kBadTable, where + ": a span disagrees with its table"};
    }
    at = span.end;
  }
  if (at != t.desc.cols || t.spans.size() != t.desc.num_spans) {
    return Error{ErrorCode::kBadLayout,
                 where + ": column spans end at " + Number(at) + " of " + Number(t.desc.cols)};
  }
  return t.desc.codec == CodecId::kWindow ? CheckWindowSpans(t.spans, where) : OkStatus();
}

// Bytes a tile needs at the very least, so that kernels may read its fixed part unchecked.
// row_bytes: of a row where every row takes the same.
uint64_t MinTileBytes(const PackedDesc& d, uint64_t row_bytes, uint32_t tile) {
  const uint64_t rows = TileRowEnd(d, tile) - TileRowBegin(d, tile);
  const uint64_t states = std::min<uint64_t>(rows, d.lanes);
  if (d.codec == CodecId::kRans) return states * sizeof(uint32_t);
  if (d.codec == CodecId::kRans16) return states * sizeof(uint16_t);
  return AlignUp(row_bytes * rows, kIndexUnitBytes);
}

Status CheckIndex(const PackedTensor& t, const std::string& where) {
  if (t.index.size() != uint64_t{t.desc.num_tiles} + 1 || t.index[0] != 0) {
    return Error{ErrorCode::kBadLayout, where + ": the tile index must hold " +
                                            Number(uint64_t{t.desc.num_tiles} + 1) +
                                            " offsets from 0, got " + Number(t.index.size())};
  }
  if (t.index.back() * kIndexUnitBytes > t.payload.size()) {
    return Error{ErrorCode::kBadLayout,
                 where + ": the last tile ends at " + Number(t.index.back() * kIndexUnitBytes) +
                     ", the payload has " + Number(t.payload.size()) + " bytes"};
  }
  const bool is_window = t.desc.codec == CodecId::kWindow;
  const uint64_t row_bytes =
      is_window ? WindowRowBytes(t.spans, t.windows)
                : DivideRoundUp(t.desc.cols, kRawGroupCols) * t.desc.raw_bits * sizeof(uint32_t);
  for (uint32_t tile = 0; tile < t.desc.num_tiles; ++tile) {
    const uint64_t begin = t.index[tile] * kIndexUnitBytes;
    const uint64_t end = t.index[tile + 1] * kIndexUnitBytes;
    const uint64_t least = MinTileBytes(t.desc, row_bytes, tile);
    if (end < begin || end - begin < least || (is_window && end - begin > least)) {
      return Error{ErrorCode::kBadLayout, where + ": tile " + Number(tile) + ": expected " +
                                              (is_window ? "" : "at least ") + Number(least) +
                                              " bytes, the index says " + Number(begin) + " to " +
                                              Number(end)};
    }
  }
  return OkStatus();
}

Status CheckScales(const PackedTensor& t, const std::string& where) {
  const PackedDesc& d = t.desc;
  const bool group_ok = t.scale_kind == ScaleKind::kGroup
                            ? d.group_size > 0 && d.group_size % 4 == 0 &&
                                  d.scale_groups == DivideRoundUp(d.cols, d.group_size)
                            : d.group_size == d.cols && d.scale_groups == 1;
  if (!group_ok) {
    return Error{ErrorCode::kBadLayout, where + ": scale groups of " + Number(d.group_size) +
                                            " columns do not fit " + Number(d.cols) + " columns"};
  }
  const uint64_t expected =
      t.scale_kind == ScaleKind::kTensor ? 1 : uint64_t{d.rows} * d.scale_groups;
  if (t.scales.size() != expected || t.biases.size() != (d.has_bias ? expected : 0)) {
    return Error{ErrorCode::kBadLayout, where + ": expected " + Number(expected) + " scales, got " +
                                            Number(t.scales.size()) + " and " +
                                            Number(t.biases.size()) + " biases"};
  }
  if (t.scale_exponent < -64 || t.scale_exponent > 64) {
    return Error{ErrorCode::kBadLayout, where + ": scale_exponent must be in [-64, 64]"};
  }
  return OkStatus();
}

Status CheckColumns(const PackedTensor& t, const std::string& where) {
  if (t.desc.rotation != 0 && !IsHadamardBlock(t.desc.cols, t.desc.rotation)) {
    return Error{ErrorCode::kBadLayout, where + ": rotation in blocks of " +
                                            Number(t.desc.rotation) + " does not fit " +
                                            Number(t.desc.cols) + " columns"};
  }
  if (!t.col_scales.empty() && t.col_scales.size() != t.desc.cols) {
    return Error{ErrorCode::kBadLayout, where + ": expected " + Number(t.desc.cols) +
                                            " column scales, got " + Number(t.col_scales.size())};
  }
  if (t.col_order.empty()) return OkStatus();
  std::vector<bool> seen(t.desc.cols, false);
  for (const uint32_t col : t.col_order) {
    if (col >= t.desc.cols || seen[col]) {
      return Error{ErrorCode::kBadLayout,
                   where + ": the column order is no permutation of the columns"};
    }
    seen[col] = true;
  }
  if (t.col_order.size() != t.desc.cols) {
    return Error{ErrorCode::kBadLayout, where + ": the column order has " +
                                            Number(t.col_order.size()) + " of " +
                                            Number(t.desc.cols) + " columns"};
  }
  return OkStatus();
}

Status CheckFixes(const PackedTensor& t, const std::string& where) {
  for (size_t i = 0; i < t.fixes.size(); ++i) {
    const Fix& fix = t.fixes[i];
    const bool inside = fix.row < t.desc.rows && fix.col < t.desc.cols;
    const bool ordered = i == 0 || t.fixes[i - 1].row < fix.row ||
                         (t.fixes[i - 1].row == fix.row && t.fixes[i - 1].col < fix.col);
    if (!inside || !ordered) {
      return Error{ErrorCode::kBadLayout, where + ": fix " + Number(i) + " at (" + Number(fix.row) +
                                              ", " + Number(fix.col) +
                                              ") is outside or out of order"};
    }
    if (fix.delta < -Fix::kMaxDelta || fix.delta > Fix::kMaxDelta) {
      return Error{ErrorCode::kBadLayout, where + ": fix " + Number(i) +
                                              ": expected a delta in [-2^24, 2^24], got " +
                                              std::to_string(fix.delta)};
    }
  }
  return OkStatus();
}

}  // namespace

uint64_t PackedTensor::total_bytes() const {
  uint64_t bytes = payload.size() + index.size_bytes() + scales.size_bytes() + biases.size_bytes() +
                   StoredFixBytes(fixes, desc.cols) + col_scales.size_bytes() +
                   StoredOrderBytes(col_order);
  for (const FrequencyTable& table : tables) bytes += table.SerializedBytes();
  for (const WindowTable& table : windows) bytes += WindowTableBytes(table);
  return bytes;
}

uint64_t FileCost::Add(const PackedTensor& tensor) {
  uint64_t bytes = tensor.total_bytes();
  for (const WindowTable& table : tensor.windows) {
    if (std::find(windows_.begin(), windows_.end(), table) != windows_.end()) {
      bytes -= WindowTableBytes(table);
    } else {
      windows_.push_back(table);
    }
  }
  return bytes;
}

Status ValidatePackedTensor(const PackedTensor& tensor, std::string_view where) {
  const std::string place(where);
  ECQ_RETURN_IF_ERROR(CheckGeometry(tensor.desc, place));
  ECQ_RETURN_IF_ERROR(CheckCodec(tensor, place));
  ECQ_RETURN_IF_ERROR(CheckSpans(tensor, place));
  ECQ_RETURN_IF_ERROR(CheckIndex(tensor, place));
  ECQ_RETURN_IF_ERROR(CheckScales(tensor, place));
  ECQ_RETURN_IF_ERROR(CheckColumns(tensor, place));
  return CheckFixes(tensor, place);
}

}  // namespace ecq

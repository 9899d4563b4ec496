// Reads the levels of one tile, one after the other, for every codec.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "ecq/base/bytes.h"
#include "ecq/kernels/packed_view.h"
#include "ecq/kernels/rans_coder.h"

namespace ecq::reference {

// Walks a tile in coding order: block, column, lane. The caller iterates
//   for each block, for each span: BeginSpan(); for each column of the span, for each active lane:
//   Next(); EndColumn() after each column
// and asks EndedWell() at the end. Stays inside the payload and its padding whatever it holds.
template <typename Coder>
class RansTileReader {
 public:
  RansTileReader(const PackedView& w, uint32_t tile) : w_(w) {
    using State = typename Coder::State;
    const uint32_t rows = TileRowEnd(w.desc, tile) - TileRowBegin(w.desc, tile);
    num_states_ = std::min(rows, w.desc.lanes);
    next_ = w.TileBegin(tile) + num_states_ * sizeof(State);
    end_ = w.TileEnd(tile);
    for (uint32_t lane = 0; lane < num_states_; ++lane) {
      states_[lane] = LoadLe<State>(w.TileBegin(tile) + lane * sizeof(State));
    }
  }

  void BeginBlock(uint32_t active) { active_ = active; }
  void BeginSpan(uint32_t span) { table_ = &w_.tables[span]; }
  void BeginColumn(uint32_t /*col*/) {
    low_.fill(0);
    const uint32_t plane_bytes = Rans16PlaneBytes(active_);
    for (uint32_t plane = 0; plane < w_.desc.low_bits; ++plane) {
      for (uint32_t lane = 0; lane < active_; ++lane) {
        low_[lane] |= (next_[lane / 8] >> lane % 8 & 1u) << plane;
      }
      next_ += plane_bytes;
    }
  }

  int32_t Next(uint32_t lane) {
    const uint32_t slot_index = states_[lane] & ((1u << table_->prob_bits) - 1);
    const RansSlot slot = table_->fused != nullptr ? UnpackSlot32(table_->fused[slot_index])
                                                   : UnpackSlot64(table_->wide[slot_index]);
    states_[lane] = RansPop(states_[lane], slot, table_->prob_bits);
    return slot.level + static_cast<int32_t>(low_[lane]);
  }

  // Refills the lanes that need it, in order. A position past the tile's end goes back to the end,
  // so at most one step's worth beyond it is ever read: kMaxLanes units and the planes.
  void EndColumn(uint32_t active) {
    using Unit = typename Coder::Unit;
    for (uint32_t lane = 0; lane < active; ++lane) {
      if (states_[lane] >= Coder::kLowerBound) continue;
      states_[lane] = states_[lane] << 8 * sizeof(Unit) | LoadLe<Unit>(next_);
      next_ += sizeof(Unit);
    }
    if (next_ > end_) {
      overran_ = true;
      next_ = end_;
    }
  }

  bool EndedWell() const {
    return !overran_ && OnlyPaddingLeft(next_, end_) &&
           std::all_of(states_.begin(), states_.begin() + num_states_,
                       [](uint32_t state) { return state == Coder::kLowerBound; });
  }

 private:
  const PackedView& w_;
  const SlotTable* table_ = nullptr;
  const uint8_t* next_;
  const uint8_t* end_;
  uint32_t num_states_;
  uint32_t active_ = 0;
  bool overran_ = false;
  std::array<uint32_t, kMaxLanes> states_{};
  std::array<uint32_t, kMaxLanes> low_{};  // raw low bits of the column
};

class RawTileReader {
 public:
  RawTileReader(const PackedView& w, uint32_t tile)
      : w_(w), next_block_(w.TileBegin(tile)), end_(w.TileEnd(tile)) {}

  void BeginBlock(uint32_t active) {
    block_ = next_block_;
    active_ = active;
    next_block_ += sizeof(uint32_t) * RawBlockWords(w_.desc.cols, w_.desc.raw_bits, active);
  }
  void BeginSpan(uint32_t /*span*/) {}
  void BeginColumn(uint32_t col) { col_ = col; }

  int32_t Next(uint32_t lane) {
    const uint32_t bits = w_.desc.raw_bits;
    const uint32_t bit = col_ % kRawGroupCols * bits;
    const uint32_t word = col_ / kRawGroupCols * bits + bit / 32;
    uint64_t value = Word(word, lane);
    if (bit % 32 + bits > 32) value |= uint64_t{Word(word + 1, lane)} << 32;
    const uint32_t symbol = static_cast<uint32_t>(value >> (bit % 32)) & ((1u << bits) - 1);
    return w_.desc.raw_level_min + static_cast<int32_t>(symbol);
  }

  void EndColumn(uint32_t /*active*/) {}
  bool EndedWell() const { return next_block_ == end_; }

 private:
  uint32_t Word(uint32_t word, uint32_t lane) const {
    return LoadLe<uint32_t>(block_ + sizeof(uint32_t) * (size_t{word} * active_ + lane));
  }

  const PackedView& w_;
  const uint8_t* next_block_;
  const uint8_t* end_;
  const uint8_t* block_ = nullptr;
  uint32_t active_ = 0;
  uint32_t col_ = 0;
};

class WindowTileReader {
 public:
  WindowTileReader(const PackedView& w, uint32_t tile)
      : w_(w), begin_(w.TileBegin(tile)), end_(w.TileEnd(tile)), next_group_(begin_) {}

  void BeginBlock(uint32_t active) { active_ = active; }
  void BeginSpan(uint32_t span) { table_ = &w_.windows[span]; }
  void BeginColumn(uint32_t col) {
    if (col % kWindowGroupCols == 0) {  // spans begin with a group
      group_ = next_group_;
      next_group_ += size_t{active_} * WindowGroupLaneBytes(table_->code_bits, table_->raw_bits);
    }
    weight_ = col % kTupleCols;
    if (weight_ == 0) DecodeTuples(col % kWindowGroupCols / kTupleCols);
  }

  int32_t Next(uint32_t lane) { return WeightOf(tuples_[lane], weight_); }

  void EndColumn(uint32_t /*active*/) {}
  // Tiles are multiples of 4 bytes.
  bool EndedWell() const {
    return end_ - begin_ == static_cast<ptrdiff_t>(AlignUp(
                                static_cast<uint64_t>(next_group_ - begin_), sizeof(uint32_t)));
  }

 private:
  // Tuple `index` of the group, of all lanes.
  void DecodeTuples(uint32_t index) {
    const uint32_t num_entries = NumWindowEntries(table_->code_bits);
    uint32_t above = 0;
    for (uint32_t lane = 0; lane < active_; ++lane) {
      const uint32_t n = Code(index, lane);
      WindowTuple entry{0};
      for (uint32_t j = 0; j < kTupleCols; ++j) {
        // From offset binary to two's complement.
        entry.bytes |= (table_->planes[j][n % num_entries] ^ 0x80u) << 8 * j;
      }
      tuples_[lane] = DecodeEntry(entry, n, above, RawBits(index, lane), table_->code_bits,
                                  table_->raw_bits, table_->low_step);
      if (w_.desc.has_memory) above = n;
    }
  }

  uint32_t Code(uint32_t index, uint32_t lane) const {
    if (table_->code_bits == kWindowByteBits) {
      return group_[size_t{index / 4 * active_ + lane} * 4 + index % 4];
    }
    const uint32_t nibble = Bits(0, 4, lane, index % 4 * 8 + index / 4 * 4, 4);
    return table_->code_bits == 4 ? nibble : nibble | Bits(4, 2, lane, index * 2, 2) << 4;
  }

  uint32_t RawBits(uint32_t index, uint32_t lane) const {
    const uint32_t bytes = kWindowGroupTuples;  // before the raw words
    switch (table_->raw_bits) {
      case 2:
        return Bits(bytes, 2, lane, index * 2, 2);
      case 4:
        return Bits(bytes, 4, lane, index * 4, 4);
      case 6:
        return Bits(bytes, 4, lane, index * 4, 4) | Bits(bytes + 4, 2, lane, index * 2, 2) << 4;
      case 8:
        return Bits(bytes + index / 4 * 4, 4, lane, index % 4 * 8, 8);
      default:
        return 0;
    }
  }

  // `count` bits from `bit` on of the lane's word of word_bytes. The words of all lanes begin after
  // `before` bytes of each.
  uint32_t Bits(uint32_t before, uint32_t word_bytes, uint32_t lane, uint32_t bit,
                uint32_t count) const {
    const uint8_t* const word = group_ + size_t{before} * active_ + size_t{word_bytes} * lane;
    const uint32_t value = word_bytes == 2 ? LoadLe<uint16_t>(word) : LoadLe<uint32_t>(word);
    return value >> bit & ((1u << count) - 1);
  }

  const PackedView& w_;
  const WindowPlanes* table_ = nullptr;
  const uint8_t* begin_;
  const uint8_t* end_;
  const uint8_t* next_group_;
  const uint8_t* group_ = nullptr;
  uint32_t active_ = 0;
  uint32_t weight_ = 0;  // of the current column in its tuples
  std::array<WindowTuple, kMaxLanes> tuples_{};
};

// Calls fn(row, col, level) for every weight of the tile, in coding order.
template <typename Reader, typename Fn>
bool ReadTileWith(const PackedView& w, uint32_t tile, Fn&& fn) {
  Reader reader(w, tile);
  const uint32_t row_end = TileRowEnd(w.desc, tile);
  for (uint32_t row = TileRowBegin(w.desc, tile); row < row_end; row += w.desc.lanes) {
    const uint32_t active = std::min(w.desc.lanes, row_end - row);
    reader.BeginBlock(active);
    for (uint32_t s = 0; s < w.desc.num_spans; ++s) {
      reader.BeginSpan(s);
      for (uint32_t col = w.spans[s].begin; col < w.spans[s].end; ++col) {
        reader.BeginColumn(col);
        for (uint32_t lane = 0; lane < active; ++lane) fn(row + lane, col, reader.Next(lane));
        reader.EndColumn(active);
      }
    }
  }
  return reader.EndedWell();
}

template <typename Fn>
bool ReadTile(const PackedView& w, uint32_t tile, Fn&& fn) {
  switch (w.desc.codec) {
    case CodecId::kRaw:
      return ReadTileWith<RawTileReader>(w, tile, fn);
    case CodecId::kRans:
      return ReadTileWith<RansTileReader<Rans32Coder>>(w, tile, fn);
    case CodecId::kRans16:
      return ReadTileWith<RansTileReader<Rans16Coder>>(w, tile, fn);
    case CodecId::kWindow:
      return ReadTileWith<WindowTileReader>(w, tile, fn);
  }
  return false;
}

}  // namespace ecq::reference

// What yields the levels of a coded matrix, column by column: one source for each codec.
// Included by packed_kernels-inl.h.

namespace ecq::ECQ_TARGET {

inline constexpr size_t kVecs = kMaxLanes / kLanes;  // vectors that make up the 32 lanes
inline constexpr size_t kTilesInFlight = 2;          // tiles that are decoded side by side

// One column of a block: a level in the low byte of each lane, other bytes undefined.
struct LevelColumn {
  U32 v[kVecs];
};

class RansSource {
 public:
  void BeginTile(const PackedView& w, uint32_t tile) {
    const uint8_t* const begin = w.TileBegin(tile);
    for (size_t v = 0; v < kVecs; ++v) state_[v] = LoadU32(begin + v * sizeof(U32));
    next_ = begin + kMaxLanes * sizeof(uint32_t);
    end_ = w.TileEnd(tile);
    overran_ = false;
  }
  void BeginBlock() {}
  void BeginSpan(const PackedView& w, uint32_t span) {
    table_ = w.tables[span].fused;
    prob_bits_ = w.tables[span].prob_bits;
  }
  void BeginChunk() {}

  LevelColumn Next(uint32_t /*column_in_chunk*/) {
    LevelColumn column;
    const U32 slot_mask = SetU32((1u << prob_bits_) - 1);
    for (size_t v = 0; v < kVecs; ++v) {
      column.v[v] = Gather(table_, AndU32(state_[v], slot_mask));
    }
    for (size_t v = 0; v < kVecs; ++v) {
      const U32 freq = AddU32(ShiftRight<20>(column.v[v]), SetU32(1));
      const U32 bias = AndU32(ShiftRight<8>(column.v[v]), SetU32(0xfff));
      state_[v] = Refill(AddU32(MulU32(freq, ShiftRightBy(state_[v], prob_bits_)), bias), next_);
    }
    // As the reference does: from the tile's end one step reads at most 32 words, then goes back.
    overran_ |= next_ > end_;
    next_ = next_ > end_ ? end_ : next_;
    return column;
  }

  bool EndTile() const {
    bool ok = !overran_ && (next_ == end_ || (end_ - next_ == 2 && LoadLe<uint16_t>(next_) == 0));
    for (size_t v = 0; v < kVecs; ++v) ok &= AllEqual(state_[v], SetU32(kRansLowerBound));
    return ok;
  }

 private:
  U32 state_[kVecs];
  const uint8_t* next_;
  const uint8_t* end_;
  const uint32_t* table_;
  uint32_t prob_bits_;
  bool overran_;
};

class RawSource {
 public:
  void BeginTile(const PackedView& w, uint32_t tile) {
    next_ = w.TileBegin(tile);
    end_ = w.TileEnd(tile);
    bits_ = w.desc.raw_bits;
    level_min_ = SetU32(static_cast<uint32_t>(w.desc.raw_level_min));
  }
  void BeginBlock() {}
  void BeginSpan(const PackedView&, uint32_t /*span*/) {}
  void BeginChunk() {
    words_ = next_;
    next_ += bits_ * kWordBytes;
  }

  LevelColumn Next(uint32_t column_in_chunk) {
    const uint32_t bit = column_in_chunk * bits_;
    const uint8_t* const word = words_ + bit / 32 * kWordBytes;
    const bool straddles = bit % 32 + bits_ > 32;
    const U32 mask = SetU32((1u << bits_) - 1);
    LevelColumn column;
    for (size_t v = 0; v < kVecs; ++v) {
      U32 symbol = ShiftRightBy(LoadU32(word + v * sizeof(U32)), bit % 32);
      if (straddles) {
        const U32 high = LoadU32(word + kWordBytes + v * sizeof(U32));
        symbol = OrU32(symbol, ShiftLeftBy(high, 32 - bit % 32));
      }
      column.v[v] = AddU32(AndU32(symbol, mask), level_min_);
    }
    return column;
  }

  bool EndTile() const { return next_ == end_; }

 private:
  static constexpr size_t kWordBytes = kMaxLanes * sizeof(uint32_t);  // one word of every lane

  const uint8_t* next_;
  const uint8_t* end_;
  const uint8_t* words_;
  uint32_t bits_;
  U32 level_min_;
};

}  // namespace ecq::ECQ_TARGET

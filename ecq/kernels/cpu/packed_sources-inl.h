// What yields the levels of a coded matrix, column by column: one source for each codec.
// Included by packed_kernels-inl.h.

namespace ecq::ECQ_TARGET {

inline constexpr size_t kVecs = kMaxLanes / kLanes;  // vectors that make up the 32 lanes

// One column of a block: a level in the low byte of each lane, other bytes undefined.
struct LevelColumn {
  U32 v[kVecs];
};

// Copies `words` words of the lanes of a block that lacks rows to where a whole block has them.
inline void WidenWords(const uint8_t* in, size_t words, size_t word_bytes, uint32_t active,
                       uint8_t* out) {
  for (size_t i = 0; i < words; ++i) {
    std::memcpy(out + i * kMaxLanes * word_bytes, in + i * active * word_bytes,
                active * word_bytes);
  }
}

// A source is told the rows of a block, `active`; columns of a block that lacks rows are taken by
// Next<false>(), whose lanes without a row are undefined.
template <typename Coder>
class RansSource {
 public:
  static constexpr size_t kTilesAtOnce = kTilesInFlight;

  void BeginTile(const PackedView& w, uint32_t tile) {
    using State = typename Coder::State;
    const uint8_t* const begin = w.TileBegin(tile);
    num_states_ = std::min(kMaxLanes, TileRowEnd(w.desc, tile) - TileRowBegin(w.desc, tile));
    uint8_t padded[kMaxLanes * sizeof(State)];
    const uint8_t* states = begin;
    if (num_states_ < kMaxLanes) {
      std::memset(padded, 0, sizeof(padded));
      std::memcpy(padded, begin, num_states_ * sizeof(State));
      states = padded;
    }
    for (size_t v = 0; v < kVecs; ++v) {
      state_[v] = LoadStates<State>(states + v * kLanes * sizeof(State));
    }
    next_ = begin + num_states_ * sizeof(State);
    end_ = w.TileEnd(tile);
    low_bits_ = w.desc.low_bits;
    plane_bytes_ = Rans16PlaneBytes(kMaxLanes);
    overran_ = false;
    idle_lanes_ended_ = true;
  }
  // Lanes that have no row any more must have ended; from here on they stand at the lower bound,
  // where a lane takes no word.
  void BeginBlock(uint32_t active) {
    if (active == kMaxLanes) return;
    plane_bytes_ = Rans16PlaneBytes(active);
    for (size_t v = 0; v < kVecs; ++v) {
      has_row_[v] = FirstLanesMask(active, v);
      const U32 state = StateOrLowerBound(v, state_[v]);
      if (num_states_ == kMaxLanes) idle_lanes_ended_ &= AllEqual(state, state_[v]);
      state_[v] = state;
    }
  }
  void BeginSpan(const PackedView& w, uint32_t span) {
    table_ = w.tables[span].fused;
    prob_bits_ = w.tables[span].prob_bits;
  }
  void BeginChunk() {}

  template <bool kWhole>
  LevelColumn Next(uint32_t /*column_in_chunk*/) {
    LevelColumn column;
    const uint8_t* const planes = next_;
    if constexpr (Coder::kHasLowBits) next_ += low_bits_ * plane_bytes_;
    const U32 slot_mask = SetU32((1u << prob_bits_) - 1);
    for (size_t v = 0; v < kVecs; ++v) {
      column.v[v] = Gather(table_, AndU32(state_[v], slot_mask));
    }
    for (size_t v = 0; v < kVecs; ++v) {
      const U32 freq = AddU32(ShiftRight<20>(column.v[v]), SetU32(1));
      const U32 bias = AndU32(ShiftRight<8>(column.v[v]), SetU32(0xfff));
      U32 state = AddU32(MulU32(freq, ShiftRightBy(state_[v], prob_bits_)), bias);
      if constexpr (!kWhole) state = StateOrLowerBound(v, state);
      state_[v] = Refill<typename Coder::Unit>(state, next_);
    }
    if constexpr (Coder::kHasLowBits) AddLowBits(planes, column);
    // As the reference does: from the tile's end one step reads at most the planes and 32 units,
    // then goes back.
    overran_ |= next_ > end_;
    next_ = next_ > end_ ? end_ : next_;
    return column;
  }

  bool EndTile() const {
    bool ok = !overran_ && idle_lanes_ended_ && OnlyPaddingLeft(next_, end_);
    for (size_t v = 0; v < kVecs; ++v) ok &= AllEqual(state_[v], SetU32(Coder::kLowerBound));
    return ok;
  }

 private:
  void AddLowBits(const uint8_t* planes, LevelColumn& column) const {
    for (uint32_t plane = 0; plane < low_bits_; ++plane) {
      const uint32_t bits = LoadLe<uint32_t>(planes + plane * plane_bytes_);
      for (size_t v = 0; v < kVecs; ++v) {
        column.v[v] = OrU32(column.v[v], ShiftLeftBy(BitsOfLanes(bits >> v * kLanes), plane));
      }
    }
  }

  // All bits set in the lanes of vector v that are among the first `active` of the block.
  static U32 FirstLanesMask(uint32_t active, size_t v) {
    uint32_t lanes[kMaxLanes] = {};
    std::fill_n(lanes, active, UINT32_MAX);
    return LoadU32(reinterpret_cast<const uint8_t*>(lanes + v * kLanes));
  }
  U32 StateOrLowerBound(size_t v, U32 state) const {
    const U32 lower_bound = SetU32(Coder::kLowerBound);
    return XorU32(lower_bound, AndU32(has_row_[v], XorU32(state, lower_bound)));
  }

  U32 state_[kVecs];
  U32 has_row_[kVecs];
  uint32_t num_states_;
  uint32_t low_bits_;
  uint32_t plane_bytes_;
  bool idle_lanes_ended_;
  const uint8_t* next_;
  const uint8_t* end_;
  const uint32_t* table_;
  uint32_t prob_bits_;
  bool overran_;
};

class RawSource {
 public:
  static constexpr size_t kTilesAtOnce = kTilesInFlight;

  void BeginTile(const PackedView& w, uint32_t tile) {
    next_ = w.TileBegin(tile);
    end_ = w.TileEnd(tile);
    bits_ = w.desc.raw_bits;
    level_min_ = SetU32(static_cast<uint32_t>(w.desc.raw_level_min));
  }
  void BeginBlock(uint32_t active) { active_ = active; }
  void BeginSpan(const PackedView&, uint32_t /*span*/) {}
  void BeginChunk() {
    words_ = next_;
    if (active_ < kMaxLanes) {
      WidenWords(next_, bits_, sizeof(uint32_t), active_, widened_);
      words_ = widened_;
    }
    next_ += bits_ * active_ * sizeof(uint32_t);
  }

  template <bool kWhole>
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
  uint32_t active_;
  uint32_t bits_;
  U32 level_min_;
  uint8_t widened_[8 * kWordBytes];
};

}  // namespace ecq::ECQ_TARGET

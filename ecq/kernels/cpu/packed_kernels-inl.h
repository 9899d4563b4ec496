// Bodies of the kernels over coded matrices, over the vector vocabulary of *_simd_<isa>.h.
// Included once per target file, inside its target region, with ECQ_TARGET naming the namespace.
//
// A kernel is a Source (which codec) times a Sink (what becomes of the levels). Work split: the 32
// lanes of a block are 32 rows; kTilesInFlight tiles are decoded side by side, to hide the latency
// of the state chain behind that of another tile. Data movement: the payload is read once, front to
// back; x is broadcast value by value. Decode: the Source yields one column of 32 levels in
// registers, in the low byte of each lane. Reduction: none across lanes, each lane owns its row.

namespace ecq::ECQ_TARGET {

inline constexpr size_t kVecs = kMaxLanes / kLanes;  // vectors that make up the 32 lanes
inline constexpr size_t kTilesInFlight = 2;

// One column of a block: a level in the low byte of each lane, other bytes undefined.
struct LevelColumn {
  U32 v[kVecs];
};

// ---- Sources ----------------------------------------------------------------------------------

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

// ---- Sinks ------------------------------------------------------------------------------------

// Sums of 32 rows that survive the scale groups: y = sum over groups of scale * sum + bias * (sum
// of x).
class RowSums {
 public:
  void Begin() {
    for (size_t v = 0; v < kVecs; ++v) y_[v] = Set(0);
  }
  void AddGroup(const PackedView& w, const PackedActivations& x, uint32_t row, uint32_t group,
                const F32 (&sums)[kVecs]) {
    const size_t at = size_t{group} * w.desc.rows + row;
    for (size_t v = 0; v < kVecs; ++v) {
      y_[v] = MulAdd(Load(w.scales + at + v * kLanes), sums[v], y_[v]);
      if (w.biases != nullptr) {
        y_[v] = MulAdd(Load(w.biases + at + v * kLanes), Set(x.group_sums[group]), y_[v]);
      }
    }
  }
  void StoreTo(float* y) const {
    for (size_t v = 0; v < kVecs; ++v) Store(y + v * kLanes, y_[v]);
  }

 private:
  F32 y_[kVecs];
};

// y = W x in f32. Even and odd columns have sums of their own, which halves the chain of additions.
class GemvF32Sink {
 public:
  GemvF32Sink(const PackedView& w, const PackedActivations& x, float* y) : w_(w), x_(x), y_(y) {}

  void BeginBlock(uint32_t row) {
    row_ = row;
    rows_.Begin();
    BeginGroup();
  }
  void BeginChunk(uint32_t /*col*/) {}
  void Column(uint32_t col, const LevelColumn& column) {
    const F32 x = Set(x_.x[col]);
    for (size_t v = 0; v < kVecs; ++v) {
      sums_[col % 2][v] = MulAdd(LowByteToF32(column.v[v]), x, sums_[col % 2][v]);
    }
  }
  void EndChunk(uint32_t /*col*/, uint32_t /*cols*/) {}
  void EndGroup(uint32_t group) {
    F32 sums[kVecs];
    for (size_t v = 0; v < kVecs; ++v) sums[v] = Add(sums_[0][v], sums_[1][v]);
    rows_.AddGroup(w_, x_, row_, group, sums);
    BeginGroup();
  }
  void EndBlock() { rows_.StoreTo(y_ + row_); }

 private:
  void BeginGroup() {
    for (size_t v = 0; v < kVecs; ++v) sums_[0][v] = sums_[1][v] = Set(0);
  }

  const PackedView& w_;
  const PackedActivations& x_;
  float* y_;
  uint32_t row_;
  RowSums rows_;
  F32 sums_[2][kVecs];
};

// y = W x over int8 activations: four columns are gathered into one dword per lane and multiplied
// at once; the integer sum of 32 columns is exact.
class GemvI8Sink {
 public:
  GemvI8Sink(const PackedView& w, const PackedActivations& x, float* y) : w_(w), x_(x), y_(y) {}

  void BeginBlock(uint32_t row) {
    row_ = row;
    rows_.Begin();
    BeginGroup();
  }
  void BeginChunk(uint32_t col) {
    const int32_t offset = -kDotOffset * x_.q_sums[col / kActivationBlock];
    for (size_t v = 0; v < kVecs; ++v) dot_[v] = SetU32(static_cast<uint32_t>(offset));
  }
  void Column(uint32_t col, const LevelColumn& column) {
    for (size_t v = 0; v < kVecs; ++v) {
      quad_[v] = OrU32(ShiftRight<8>(quad_[v]), ShiftLeft<24>(column.v[v]));
    }
    if (col % 4 == 3) DotQuad(col - 3);
  }
  void EndChunk(uint32_t col, uint32_t cols) {
    // The activations after the last column are zeros, so what the missing levels are is no matter.
    if (const uint32_t rest = cols % 4; rest != 0) {
      for (uint32_t i = rest; i < 4; ++i) {
        for (size_t v = 0; v < kVecs; ++v) quad_[v] = ShiftRight<8>(quad_[v]);
      }
      DotQuad(col + cols - rest);
    }
    const F32 scale = Set(x_.q_scales[col / kActivationBlock]);
    for (size_t v = 0; v < kVecs; ++v) sums_[v] = MulAdd(I32ToF32(dot_[v]), scale, sums_[v]);
  }
  void EndGroup(uint32_t group) {
    rows_.AddGroup(w_, x_, row_, group, sums_);
    BeginGroup();
  }
  void EndBlock() { rows_.StoreTo(y_ + row_); }

 private:
  void BeginGroup() {
    for (size_t v = 0; v < kVecs; ++v) sums_[v] = Set(0);
  }
  void DotQuad(uint32_t col) {
    const U32 x = SetU32(LoadLe<uint32_t>(x_.q + col));
    for (size_t v = 0; v < kVecs; ++v) dot_[v] = Dot4(dot_[v], quad_[v], x);
  }

  const PackedView& w_;
  const PackedActivations& x_;
  float* y_;
  uint32_t row_;
  RowSums rows_;
  F32 sums_[kVecs];
  U32 dot_[kVecs];
  U32 quad_[kVecs]{};
};

// Weights as columns of f32.
class DequantizeSink {
 public:
  DequantizeSink(const PackedView& w, uint32_t first_row, float* out, size_t stride)
      : w_(w), first_row_(first_row), out_(out), stride_(stride) {}

  void BeginBlock(uint32_t row) {
    row_ = row;
    LoadGroup(0);
  }
  void BeginChunk(uint32_t /*col*/) {}
  void Column(uint32_t col, const LevelColumn& column) {
    float* const out = out_ + col * stride_ + row_ - first_row_;
    for (size_t v = 0; v < kVecs; ++v) {
      Store(out + v * kLanes, Add(Mul(LowByteToF32(column.v[v]), scale_[v]), bias_[v]));
    }
  }
  void EndChunk(uint32_t /*col*/, uint32_t /*cols*/) {}
  void EndGroup(uint32_t group) {
    if (group + 1 < w_.desc.scale_groups) LoadGroup(group + 1);
  }
  void EndBlock() {}

 private:
  void LoadGroup(uint32_t group) {
    const size_t at = size_t{group} * w_.desc.rows + row_;
    for (size_t v = 0; v < kVecs; ++v) {
      scale_[v] = Load(w_.scales + at + v * kLanes);
      bias_[v] = w_.biases != nullptr ? Load(w_.biases + at + v * kLanes) : Set(0);
    }
  }

  const PackedView& w_;
  uint32_t first_row_;
  float* out_;
  size_t stride_;
  uint32_t row_;
  F32 scale_[kVecs];
  F32 bias_[kVecs];
};

// Levels as columns of bytes.
class DecodeSink {
 public:
  DecodeSink(uint32_t first_row, int8_t* out, size_t stride)
      : first_row_(first_row), out_(out), stride_(stride) {}

  void BeginBlock(uint32_t row) { row_ = row; }
  void BeginChunk(uint32_t /*col*/) {}
  void Column(uint32_t col, const LevelColumn& column) {
    int8_t* const out = out_ + col * stride_ + row_ - first_row_;
    for (size_t v = 0; v < kVecs; ++v) StoreLowBytes(out + v * kLanes, column.v[v]);
  }
  void EndChunk(uint32_t /*col*/, uint32_t /*cols*/) {}
  void EndGroup(uint32_t /*group*/) {}
  void EndBlock() {}

 private:
  uint32_t first_row_;
  int8_t* out_;
  size_t stride_;
  uint32_t row_;
};

// ---- The loop ---------------------------------------------------------------------------------

// One block of kTiles tiles side by side, 32 columns at a time.
template <size_t kTiles, typename Source, typename Sink>
inline void RunBlock(const PackedView& w, Source (&sources)[kTiles], Sink (&sinks)[kTiles]) {
  uint32_t group = 0;
  for (Source& source : sources) source.BeginBlock();
  for (uint32_t s = 0; s < w.desc.num_spans; ++s) {
    for (Source& source : sources) source.BeginSpan(w, s);
    for (uint32_t col = w.spans[s].begin; col < w.spans[s].end; col += kActivationBlock) {
      const uint32_t cols = std::min<uint32_t>(kActivationBlock, w.spans[s].end - col);
      for (size_t t = 0; t < kTiles; ++t) {
        sources[t].BeginChunk();
        sinks[t].BeginChunk(col);
      }
      for (uint32_t i = 0; i < cols; ++i) {
        for (size_t t = 0; t < kTiles; ++t) sinks[t].Column(col + i, sources[t].Next(i));
      }
      const bool group_ends = (col + cols) % w.desc.group_size == 0 || col + cols == w.desc.cols;
      for (size_t t = 0; t < kTiles; ++t) {
        sinks[t].EndChunk(col, cols);
        if (group_ends) sinks[t].EndGroup(group);
      }
      group += group_ends;
    }
  }
}

// Tiles tile .. tile + kTiles - 1, all of them of `blocks` whole blocks.
template <size_t kTiles, typename Source, typename Sink>
inline bool RunTiles(const PackedView& w, uint32_t tile, uint32_t blocks, Source (&sources)[kTiles],
                     Sink (&sinks)[kTiles]) {
  for (size_t t = 0; t < kTiles; ++t) sources[t].BeginTile(w, tile + static_cast<uint32_t>(t));
  for (uint32_t block = 0; block < blocks; ++block) {
    for (size_t t = 0; t < kTiles; ++t) {
      sinks[t].BeginBlock(TileRowBegin(w.desc, tile + static_cast<uint32_t>(t)) +
                          block * kMaxLanes);
    }
    RunBlock(w, sources, sinks);
    for (Sink& sink : sinks) sink.EndBlock();
  }
  bool ok = true;
  for (const Source& source : sources) ok &= source.EndTile();
  return ok;
}

// Runs the tiles [begin, end) through copies of `sink`; returns how far it came: a last tile whose
// last block lacks rows is left to the caller.
template <typename Source, typename Sink>
static uint32_t RunWholeBlocks(const PackedView& w, uint32_t begin, uint32_t end, const Sink& sink,
                               bool* ok) {
  const bool last_is_short = end == w.desc.num_tiles && w.desc.rows % TileRows(w.desc) != 0;
  const uint32_t full_end = last_is_short ? end - 1 : end;
  const uint32_t blocks = w.desc.blocks_per_tile;
  uint32_t tile = begin;
  for (; tile + kTilesInFlight <= full_end; tile += kTilesInFlight) {
    Source sources[kTilesInFlight];
    Sink sinks[kTilesInFlight] = {sink, sink};
    *ok &= RunTiles(w, tile, blocks, sources, sinks);
  }
  for (; tile < end; ++tile) {
    const uint32_t rows = TileRowEnd(w.desc, tile) - TileRowBegin(w.desc, tile);
    if (rows % kMaxLanes != 0) break;
    Source sources[1];
    Sink sinks[1] = {sink};
    *ok &= RunTiles(w, tile, rows / kMaxLanes, sources, sinks);
  }
  return tile;
}

template <typename Sink>
static uint32_t RunWholeBlocks(const PackedView& w, uint32_t begin, uint32_t end, const Sink& sink,
                               bool* ok) {
  if (WhyNotVectorized(w) != nullptr) return begin;
  return w.desc.codec == CodecId::kRans ? RunWholeBlocks<RansSource>(w, begin, end, sink, ok)
                                        : RunWholeBlocks<RawSource>(w, begin, end, sink, ok);
}

static bool GemvPackedF32(const PackedView& w, uint32_t begin, uint32_t end,
                          const PackedActivations& x, float* y) {
  bool ok = true;
  begin = RunWholeBlocks(w, begin, end, GemvF32Sink(w, x, y), &ok);
  return reference::GemvPackedF32(w, begin, end, x, y) && ok;
}

static bool GemvPackedI8(const PackedView& w, uint32_t begin, uint32_t end,
                         const PackedActivations& x, float* y) {
  bool ok = true;
  begin = RunWholeBlocks(w, begin, end, GemvI8Sink(w, x, y), &ok);
  return reference::GemvPackedI8(w, begin, end, x, y) && ok;
}

static bool DequantizePacked(const PackedView& w, uint32_t begin, uint32_t end, float* out,
                             size_t stride) {
  bool ok = true;
  const uint32_t first_row = TileRowBegin(w.desc, begin);
  const uint32_t done =
      RunWholeBlocks(w, begin, end, DequantizeSink(w, first_row, out, stride), &ok);
  if (done == end) return ok;
  float* const rest = out + TileRowBegin(w.desc, done) - first_row;
  return reference::DequantizePacked(w, done, end, rest, stride) && ok;
}

static bool DecodePacked(const PackedView& w, uint32_t begin, uint32_t end, int8_t* out,
                         size_t stride) {
  bool ok = true;
  const uint32_t first_row = TileRowBegin(w.desc, begin);
  const uint32_t done = RunWholeBlocks(w, begin, end, DecodeSink(first_row, out, stride), &ok);
  if (done == end) return ok;
  int8_t* const rest = out + TileRowBegin(w.desc, done) - first_row;
  return reference::DecodePacked(w, done, end, rest, stride) && ok;
}

const PackedKernels kPackedKernels{GemvPackedF32, GemvPackedI8, DequantizePacked, DecodePacked};

}  // namespace ecq::ECQ_TARGET

// The window code (portable/window.h) in vectors. Included by packed_kernels-inl.h.
//
// Work split: a vector holds one byte for each of four tuples (half a group of 32 columns) of
// kLanes rows, so the decoded bytes of weight j lie as DotWeights() wants them, four columns of one
// row in a dword, without any transposition; the activations are transposed instead, once for a
// product. Data movement: the payload is read once, front to back; the byte above is a load one row
// earlier. Decode: look-up, turns by masked exchanges, raw bits; no state, so nothing is carried
// from group to group. Reduction: none across lanes, each lane owns its row.

namespace ecq::ECQ_TARGET {

// Columns that one vector of bytes covers.
inline constexpr uint32_t kHalfCols = kWindowGroupCols / 2;

// Bytes of a whole block in one group of 32 columns, and in one u32 of every lane of it.
constexpr size_t WindowGroupBytes(uint32_t code_bits, uint32_t raw_bits) {
  return kMaxLanes * WindowGroupLaneBytes(code_bits, raw_bits);
}
inline constexpr size_t kHalfBytes = kMaxLanes * sizeof(uint32_t);

// TurnEntry() for bytes n under bytes p. `w` are the entries' weights, one vector for each.
template <uint32_t kRawBits, bool kHasMemory>
inline void TurnEntries(Bytes n, Bytes p, Bytes (&w)[kTupleCols]) {
  const ByteMask top = BitOf<7>(n);
  if constexpr (kRawBits >= 4) {
    ExchangeBytes(top, w[0], w[2]);
    ExchangeBytes(top, w[1], w[3]);
  } else {
    for (Bytes& weight : w) NegateBytes(top, weight);
  }
  if constexpr (kHasMemory) {
    ExchangeBytes(BitOf<0>(p), w[0], w[1]);
    ExchangeBytes(BitOf<1>(p), w[2], w[3]);
    const ByteMask bit2 = BitOf<2>(p);
    const ByteMask bit3 = BitOf<3>(p);
    if constexpr (kRawBits >= 4) {
      ExchangeBytes(bit2, w[1], w[2]);
      ExchangeBytes(bit3, w[0], w[2]);
    } else {
      ExchangeBytes(bit2, w[0], w[2]);
      ExchangeBytes(bit2, w[1], w[3]);
      if constexpr (kRawBits == 0) {
        NegateBytes(bit3, w[0]);
        NegateBytes(bit3, w[1]);
      } else {
        ExchangeBytes(bit3, w[1], w[2]);
      }
    }
  }
}

// TurnShortEntry() for codes n under codes p.
template <uint32_t kCodeBits, bool kHasMemory>
inline void TurnShortEntries(Bytes n, Bytes p, Bytes (&w)[kTupleCols]) {
  if constexpr (kCodeBits == 6) {
    for (Bytes& weight : w) NegateBytes(BitOf<5>(n), weight);
  }
  if constexpr (kHasMemory) {
    const ByteMask bit0 = BitOf<0>(p);
    ExchangeBytes(bit0, w[0], w[1]);
    ExchangeBytes(bit0, w[2], w[3]);
    NegateBytes(bit0, w[0]);
    NegateBytes(bit0, w[2]);
    const ByteMask bit1 = BitOf<1>(p);
    ExchangeBytes(bit1, w[0], w[2]);
    ExchangeBytes(bit1, w[1], w[3]);
    NegateBytes(bit1, w[0]);
    NegateBytes(bit1, w[3]);
    const ByteMask bit2 = BitOf<2>(p);
    for (size_t j = 0; j < (kCodeBits == 4 ? kTupleCols : 2); ++j) NegateBytes(bit2, w[j]);
    ExchangeBytes(BitOf<3>(p), w[1], w[2]);
  }
}

// The raw bits of the tuples of one vector: tuple q's at the bottom of byte q, those of 6 without
// the low bits.
template <uint32_t kRawBits>
inline Bytes LoadRawBits(const uint8_t* words, uint32_t half, size_t vec) {
  const size_t row = vec * kLanes;
  if constexpr (kRawBits == 8) return LoadBytes(words + half * kHalfBytes + row * sizeof(uint32_t));
  if constexpr (kRawBits == 4 || kRawBits == 6) {
    return SpreadRawBits<4>(LoadU32(words + row * sizeof(uint32_t)), half);
  }
  return SpreadRawBits<2>(LoadU16(words + row * sizeof(uint16_t)), half);
}

// AddLowPair() for vectors of weights.
inline void AddLowPairs(const uint8_t* words, uint32_t half, size_t vec, Bytes low_step,
                        Bytes (&w)[kTupleCols]) {
  const Bytes low = LoadRawBits<2>(words + kHalfBytes, half, vec);
  AddToBytes(BitOf<0>(low), w[0], low_step);
  AddToBytes(BitOf<1>(low), w[2], low_step);
}

// ApplyRawBits() for vectors of weights.
template <uint32_t kRawBits>
inline void ApplyRawBitsTo(Bytes raw, Bytes low_step, Bytes (&w)[kTupleCols]) {
  if constexpr (kRawBits == 2) {
    const ByteMask first = BitOf<0>(raw);
    const ByteMask second = BitOf<1>(raw);
    NegateBytes(first, w[1]);
    NegateBytes(second, w[2]);
    NegateBytes(first, w[0]);
    NegateBytes(second, w[0]);
    return;
  }
  if constexpr (kRawBits == 8) {
    AddToBytes(BitOf<4>(raw), w[0], low_step);
    AddToBytes(BitOf<5>(raw), w[1], low_step);
    AddToBytes(BitOf<6>(raw), w[2], low_step);
    AddToBytes(BitOf<7>(raw), w[3], low_step);
  }
  NegateBytes(BitOf<0>(raw), w[0]);
  NegateBytes(BitOf<1>(raw), w[1]);
  NegateBytes(BitOf<2>(raw), w[2]);
  NegateBytes(BitOf<3>(raw), w[3]);
}

// The dwords at `p` of the rows of vector `vec`, and those one row above.
inline Bytes LoadAbove(const uint8_t* p, size_t vec) {
  return vec == 0 ? LoadBytesAboveFirst(p) : LoadBytes(p - sizeof(uint32_t));
}

// Weights of one half of the group at `group`, of the rows of vector `vec`: w[j] holds weight j of
// each tuple.
template <uint32_t kCodeBits, uint32_t kRawBits, bool kHasMemory>
inline void DecodeHalf(const WindowEntries& entries, Bytes low_step, const uint8_t* group,
                       uint32_t half, size_t vec, Bytes (&w)[kTupleCols]) {
  Bytes p{};
  if constexpr (kCodeBits < kWindowByteBits) {
    const uint8_t* const nibbles = group + vec * sizeof(Bytes);
    Bytes n = NibbleOf(LoadBytes(nibbles), half);
    if constexpr (kHasMemory) p = NibbleOf(LoadAbove(nibbles, vec), half);
    if constexpr (kCodeBits == 6) {
      n = JoinBits(n, LoadRawBits<2>(group + kHalfBytes, half, vec));
    }
    LookUpFew<NumWindowEntries(kCodeBits)>(entries, n, w);
    TurnShortEntries<kCodeBits, kHasMemory>(n, p, w);
  } else {
    const uint8_t* const bytes = group + half * kHalfBytes + vec * sizeof(Bytes);
    const uint8_t* const raw_words = group + 2 * kHalfBytes;
    const Bytes n = LoadBytes(bytes);
    if constexpr (kHasMemory) p = LoadAbove(bytes, vec);
    LookUp(entries, n, w);
    if constexpr (kRawBits == 6) AddLowPairs(raw_words, half, vec, low_step, w);
    TurnEntries<kRawBits, kHasMemory>(n, p, w);
    if constexpr (kRawBits != 0) {
      ApplyRawBitsTo<kRawBits>(LoadRawBits<kRawBits>(raw_words, half, vec), low_step, w);
    }
  }
}

// Address of Fn<code bits, raw bits, has memory>::Run for a table.
template <template <uint32_t, uint32_t, bool> typename Fn>
inline auto WindowFunction(const WindowPlanes& table, bool has_memory) {
  if (table.code_bits == 4) return has_memory ? Fn<4, 0, true>::Run : Fn<4, 0, false>::Run;
  if (table.code_bits == 6) return has_memory ? Fn<6, 0, true>::Run : Fn<6, 0, false>::Run;
  switch (table.raw_bits) {
    case 0:
      return has_memory ? Fn<8, 0, true>::Run : Fn<8, 0, false>::Run;
    case 2:
      return has_memory ? Fn<8, 2, true>::Run : Fn<8, 2, false>::Run;
    case 4:
      return has_memory ? Fn<8, 4, true>::Run : Fn<8, 4, false>::Run;
    case 6:
      return has_memory ? Fn<8, 6, true>::Run : Fn<8, 6, false>::Run;
    default:
      return has_memory ? Fn<8, 8, true>::Run : Fn<8, 8, false>::Run;
  }
}

// ---- The source -------------------------------------------------------------------------------

// The levels of a group: byte q of dword r of levels[half][j] is column 16 half + 4 q + j of row r.
struct WindowGroupLevels {
  alignas(64) uint8_t levels[2][kTupleCols][kHalfBytes];
};

template <uint32_t kCodeBits, uint32_t kRawBits, bool kHasMemory>
struct DecodeWindowGroup {
  static void Run(const WindowPlanes& table, const uint8_t* group, WindowGroupLevels& out) {
    const WindowEntries entries = LoadWindowEntries(table);
    const Bytes low_step = SetBytes(table.low_step);
    for (uint32_t half = 0; half < 2; ++half) {
      for (size_t vec = 0; vec < kVecs; ++vec) {
        Bytes w[kTupleCols];
        DecodeHalf<kCodeBits, kRawBits, kHasMemory>(entries, low_step, group, half, vec, w);
        for (size_t j = 0; j < kTupleCols; ++j) {
          StoreU32(out.levels[half][j] + vec * sizeof(U32), ToLevels(w[j]));
        }
      }
    }
  }
};

class WindowSource {
 public:
  static constexpr size_t kTilesAtOnce = kTilesInFlight;

  void BeginTile(const PackedView& w, uint32_t tile) {
    begin_ = next_ = w.TileBegin(tile);
    end_ = w.TileEnd(tile);
  }
  void BeginBlock(uint32_t active) { active_ = active; }
  void BeginSpan(const PackedView& w, uint32_t span) {
    table_ = &w.windows[span];
    decode_ = WindowFunction<DecodeWindowGroup>(*table_, w.desc.has_memory != 0);
  }
  void BeginChunk() {
    const uint32_t lane_bytes = WindowGroupLaneBytes(table_->code_bits, table_->raw_bits);
    if (active_ == kMaxLanes) {
      decode_(*table_, next_, group_);
    } else {
      const size_t words = lane_bytes / sizeof(uint32_t);
      uint8_t group[WindowGroupBytes(kWindowByteBits, kWindowMaxRawBits)];
      WidenWords(next_, words, sizeof(uint32_t), active_, group);
      WidenWords(next_ + words * active_ * sizeof(uint32_t), lane_bytes % 4 / sizeof(uint16_t),
                 sizeof(uint16_t), active_, group + words * kMaxLanes * sizeof(uint32_t));
      decode_(*table_, group, group_);
    }
    next_ += active_ * lane_bytes;
  }

  template <bool kWhole>
  LevelColumn Next(uint32_t column_in_chunk) {
    const uint8_t* const levels =
        group_.levels[column_in_chunk / kHalfCols][column_in_chunk % kTupleCols];
    const uint32_t tuple = column_in_chunk % kHalfCols / kTupleCols;
    LevelColumn column;
    for (size_t v = 0; v < kVecs; ++v) {
      column.v[v] = ShiftRightBy(LoadU32(levels + v * sizeof(U32)), 8 * tuple);
    }
    return column;
  }

  // Tiles are multiples of 4 bytes.
  bool EndTile() const {
    const uint64_t bytes = static_cast<uint64_t>(next_ - begin_);
    return end_ - begin_ == static_cast<ptrdiff_t>(AlignUp(bytes, sizeof(uint32_t)));
  }

 private:
  const uint8_t* begin_;
  const uint8_t* next_;
  const uint8_t* end_;
  uint32_t active_;
  const WindowPlanes* table_;
  void (*decode_)(const WindowPlanes& table, const uint8_t* group, WindowGroupLevels& out);
  WindowGroupLevels group_;
};

// ---- y = W x over int8 activations ------------------------------------------------------------

// A run of whole groups of one block with one table and one scale a row.
struct WindowRun {
  const WindowPlanes* table;
  const uint8_t* payload;
  size_t first_block;  // of activations
  size_t num_blocks;
};

// Adds dot(block) * scale of activations to sums, block by block.
template <uint32_t kCodeBits, uint32_t kRawBits, bool kHasMemory>
struct MultiplyWindowRun {
  static void Run(const WindowRun& run, const PackedActivations& x, F32 (&all_sums)[kVecs]) {
    F32 sums[kVecs];
    for (size_t vec = 0; vec < kVecs; ++vec) sums[vec] = all_sums[vec];
    const WindowEntries entries = LoadWindowEntries(*run.table);
    const Bytes low_step = SetBytes(run.table->low_step);
    const uint8_t* group = run.payload;
    for (size_t block = run.first_block; block < run.first_block + run.num_blocks; ++block) {
      const F32 scale = Set(x.q_scales[block]);
      const U32 offset = SetU32(static_cast<uint32_t>(-kDotOffset * x.q_sums[block]));
      const int8_t* const q = x.q_tuples + block * kActivationBlock;
      for (size_t vec = 0; vec < kVecs; ++vec) {
        U32 dot = offset;
        for (uint32_t half = 0; half < 2; ++half) {
          Bytes w[kTupleCols];
          DecodeHalf<kCodeBits, kRawBits, kHasMemory>(entries, low_step, group, half, vec, w);
          for (size_t j = 0; j < kTupleCols; ++j) {
            const U32 x_j = SetU32(LoadLe<uint32_t>(q + half * kHalfCols + j * sizeof(uint32_t)));
            dot = DotWeights(dot, w[j], x_j);
          }
        }
        sums[vec] = MulAdd(I32ToF32(dot), scale, sums[vec]);
      }
      group += WindowGroupBytes(kCodeBits, kRawBits);
    }
    for (size_t vec = 0; vec < kVecs; ++vec) all_sums[vec] = sums[vec];
  }
};

// One block of 32 rows from `row` on; returns where its payload ends.
inline const uint8_t* MultiplyWindowBlock(const PackedView& w, const PackedActivations& x,
                                          uint32_t row, const uint8_t* payload, float* y) {
  RowSums rows;
  rows.Begin();
  F32 sums[kVecs];
  for (F32& sum : sums) sum = Set(0);
  for (uint32_t s = 0; s < w.desc.num_spans; ++s) {
    const WindowPlanes& table = w.windows[s];
    const auto multiply = WindowFunction<MultiplyWindowRun>(table, w.desc.has_memory != 0);
    for (uint32_t col = w.spans[s].begin; col < w.spans[s].end;) {
      const uint32_t group = col / w.desc.group_size;
      const uint32_t group_end = static_cast<uint32_t>(
          std::min<uint64_t>(w.desc.cols, (uint64_t{group} + 1) * w.desc.group_size));
      const uint32_t end = std::min(w.spans[s].end, group_end);
      const size_t blocks = NumActivationBlocks(end - col);
      const WindowRun run{&table, payload, col / kActivationBlock, blocks};
      multiply(run, x, sums);
      payload += blocks * WindowGroupBytes(table.code_bits, table.raw_bits);
      if (end == group_end) {
        rows.AddGroup(w, x, row, group, sums);
        for (F32& sum : sums) sum = Set(0);
      }
      col = end;
    }
  }
  rows.StoreTo(y + row);
  return payload;
}

// The tiles [begin, end); returns how far it came, as RunWholeBlocks() does.
static uint32_t GemvWindowI8(const PackedView& w, uint32_t begin, uint32_t end,
                             const PackedActivations& x, float* y, bool* ok) {
  uint32_t tile = begin;
  for (; tile < end; ++tile) {
    const uint32_t row_end = TileRowEnd(w.desc, tile);
    if ((row_end - TileRowBegin(w.desc, tile)) % kMaxLanes != 0) break;
    const uint8_t* payload = w.TileBegin(tile);
    for (uint32_t row = TileRowBegin(w.desc, tile); row < row_end; row += kMaxLanes) {
      payload = MultiplyWindowBlock(w, x, row, payload, y);
    }
    *ok &= payload == w.TileEnd(tile);
  }
  return tile;
}

}  // namespace ecq::ECQ_TARGET

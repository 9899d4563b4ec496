// y = x W^T over int8 activations for several rows of x. Included by packed_kernels-inl.h.
//
// Work split: 32 rows of W are decoded into an *operand*, which then meets all rows of x, a panel
// of four at a time, with all sums in registers. Data movement: the payload is read once; the
// operand (32 bytes a column) stays in the first or second-level cache and is read once for a
// panel, whose values are broadcast. Reduction: none across lanes, each lane owns
// its row; every sum is that of the GEMV, in its order.

namespace ecq::ECQ_TARGET {

// The operand: for every block of 32 columns 8 quads of them, each a dword of four weights for
// every one of 32 rows. Window codes keep the order of TransposeTuples().
inline constexpr size_t kQuadsPerBlock = kActivationBlock / kPanelValues;
inline constexpr size_t kQuadBytes = kMaxLanes * sizeof(uint32_t);
inline constexpr size_t kOperandBlockBytes = kQuadsPerBlock * kQuadBytes;

// 32 rows of W, from `row` on.
struct OperandBlock {
  const PackedView& w;
  uint32_t row;
  const uint8_t* operand;
};

// The first kRows rows of one panel of x times kBatchVecs vectors of rows of W, from vector `vec`
// of the operand on.
template <size_t kRows>
class PanelSums {
 public:
  PanelSums(const OperandBlock& b, const PackedBatch& x, size_t panel, size_t vec)
      : b_(b), x_(x), panel_(panel), vec_(vec) {
    for (size_t t = 0; t < kRows; ++t) {
      for (size_t v = 0; v < kBatchVecs; ++v) y_[t][v] = sums_[t][v] = Set(0);
    }
  }

  // Adds dot(block) * scale of activations.
  void AddBlock(size_t block) {
    const size_t at = panel_ * NumActivationBlocks(b_.w.desc.cols) + block;
    const int32_t* const q_sums = x_.q_sums + at * kPanelRows;
    const float* const q_scales = x_.q_scales + at * kPanelRows;
    const int8_t* const q = x_.q + at * kPanelRows * kActivationBlock;
    const uint8_t* const operand = b_.operand + block * kOperandBlockBytes + vec_ * sizeof(Bytes);
    U32 dots[kRows][kBatchVecs];
    for (size_t t = 0; t < kRows; ++t) {
      const U32 offset = SetU32(static_cast<uint32_t>(-kDotOffset * q_sums[t]));
      for (size_t v = 0; v < kBatchVecs; ++v) dots[t][v] = offset;
    }
// Unrolled, GCC would add the sums of all quads up in a tree, and spill.
#pragma GCC unroll 1
    for (size_t quad = 0; quad < kQuadsPerBlock; ++quad) {
      Bytes weights[kBatchVecs];
      for (size_t v = 0; v < kBatchVecs; ++v) {
        weights[v] = LoadBytes(operand + quad * kQuadBytes + v * sizeof(Bytes));
      }
      for (size_t t = 0; t < kRows; ++t) {
        const U32 x = SetU32(LoadLe<uint32_t>(q + (quad * kPanelRows + t) * kPanelValues));
        for (size_t v = 0; v < kBatchVecs; ++v) {
          dots[t][v] = DotWeights(dots[t][v], weights[v], x);
        }
      }
    }
    for (size_t t = 0; t < kRows; ++t) {
      const F32 scale = Set(q_scales[t]);
      for (size_t v = 0; v < kBatchVecs; ++v) {
        sums_[t][v] = MulAdd(I32ToF32(dots[t][v]), scale, sums_[t][v]);
      }
    }
  }

  void AddGroup(size_t group) {
    const PackedView& w = b_.w;
    const size_t at = group * w.desc.rows + b_.row + vec_ * kLanes;
    for (size_t t = 0; t < kRows; ++t) {
      for (size_t v = 0; v < kBatchVecs; ++v) {
        y_[t][v] = MulAdd(Load(w.scales + at + v * kLanes), sums_[t][v], y_[t][v]);
        sums_[t][v] = Set(0);
      }
      if (w.biases == nullptr) continue;
      const size_t row = panel_ * kPanelRows + t;
      const F32 x = Set(x_.group_sums[row * w.desc.scale_groups + group]);
      for (size_t v = 0; v < kBatchVecs; ++v) {
        y_[t][v] = MulAdd(Load(w.biases + at + v * kLanes), x, y_[t][v]);
      }
    }
  }

  void StoreTo(float* y) const {
    for (size_t t = 0; t < kRows; ++t) {
      const size_t row = panel_ * kPanelRows + t;
      float* const out = y + row * b_.w.desc.rows + b_.row + vec_ * kLanes;
      for (size_t v = 0; v < kBatchVecs; ++v) Store(out + v * kLanes, y_[t][v]);
    }
  }

 private:
  const OperandBlock& b_;
  const PackedBatch& x_;
  size_t panel_;
  size_t vec_;
  F32 sums_[kRows][kBatchVecs];  // of the current scale group
  F32 y_[kRows][kBatchVecs];
};

template <size_t kRows>
static void MultiplyPanel(const OperandBlock& b, const PackedBatch& x, size_t panel, float* y) {
  const PackedDesc& d = b.w.desc;
  const size_t num_blocks = NumActivationBlocks(d.cols);
  const size_t group_blocks = NumActivationBlocks(d.group_size);
  for (size_t vec = 0; vec < kVecs; vec += kBatchVecs) {
    PanelSums<kRows> sums(b, x, panel, vec);
    for (size_t group = 0; group < d.scale_groups; ++group) {
      const size_t end = std::min(num_blocks, (group + 1) * group_blocks);
      for (size_t block = group * group_blocks; block < end; ++block) sums.AddBlock(block);
      sums.AddGroup(group);
    }
    sums.StoreTo(y);
  }
}

// All rows of x.
static void MultiplyOperand(const OperandBlock& b, const PackedBatch& x, float* y) {
  const size_t whole = x.m / kPanelRows;
  for (size_t panel = 0; panel < whole; ++panel) MultiplyPanel<kPanelRows>(b, x, panel, y);
  switch (x.m % kPanelRows) {
    case 1:
      return MultiplyPanel<1>(b, x, whole, y);
    case 2:
      return MultiplyPanel<2>(b, x, whole, y);
    case 3:
      return MultiplyPanel<3>(b, x, whole, y);
    default:
      return;
  }
}

// ---- Codes that a source decodes column by column ---------------------------------------------

// Fills the operand, then multiplies. Tiles that are decoded side by side have operands of their
// own.
class GemmI8Sink {
 public:
  GemmI8Sink(const PackedView& w, const PackedBatch& x, uint8_t* operands, float* y)
      : w_(w), x_(x), operands_(operands), y_(y) {}

  void BeginBlock(uint32_t row) {
    row_ = row;
    operand_ = operands_ + row / TileRows(w_.desc) % kMaxTilesInFlight *
                               NumActivationBlocks(w_.desc.cols) * kOperandBlockBytes;
  }
  void BeginChunk(uint32_t /*col*/) {}
  void Column(uint32_t col, const LevelColumn& column) {
    for (size_t v = 0; v < kVecs; ++v) {
      quad_[v] = OrU32(ShiftRight<8>(quad_[v]), ShiftLeft<24>(column.v[v]));
    }
    if (col % kPanelValues == kPanelValues - 1) StoreQuad(col / kPanelValues);
  }
  void EndChunk(uint32_t col, uint32_t cols) {
    // The activations after the last column are zeros, so what the missing levels are is no matter.
    const uint32_t rest = cols % kPanelValues;
    if (rest == 0) return;
    for (uint32_t i = rest; i < kPanelValues; ++i) {
      for (size_t v = 0; v < kVecs; ++v) quad_[v] = ShiftRight<8>(quad_[v]);
    }
    StoreQuad((col + cols) / kPanelValues);
  }
  void EndGroup(uint32_t /*group*/) {}
  void EndBlock() { MultiplyOperand({w_, row_, operand_}, x_, y_); }

 private:
  void StoreQuad(size_t quad) {
    for (size_t v = 0; v < kVecs; ++v) {
      StoreBytes(operand_ + quad * kQuadBytes + v * sizeof(Bytes), FromLevels(quad_[v]));
    }
  }

  const PackedView& w_;
  const PackedBatch& x_;
  uint8_t* operands_;
  float* y_;
  uint32_t row_;
  uint8_t* operand_;
  U32 quad_[kVecs]{};
};

// ---- Window codes -----------------------------------------------------------------------------

template <uint32_t kCodeBits, uint32_t kRawBits, bool kHasMemory>
struct DecodeWindowRun {
  static void Run(const WindowPlanes& table, const uint8_t* group, size_t num_blocks,
                  uint8_t* operand) {
    const WindowEntries entries = LoadWindowEntries(table);
    const Bytes low_step = SetBytes(table.low_step);
    for (size_t block = 0; block < num_blocks; ++block) {
      for (size_t vec = 0; vec < kVecs; ++vec) {
        for (uint32_t half = 0; half < 2; ++half) {
          Bytes w[kTupleCols];
          DecodeHalf<kCodeBits, kRawBits, kHasMemory>(entries, low_step, group, half, vec, w);
          uint8_t* const quads = operand + half * kTupleCols * kQuadBytes + vec * sizeof(Bytes);
          for (size_t j = 0; j < kTupleCols; ++j) StoreBytes(quads + j * kQuadBytes, w[j]);
        }
      }
      group += WindowGroupBytes(kCodeBits, kRawBits);
      operand += kOperandBlockBytes;
    }
  }
};

// Decodes one block of 32 rows; returns where its payload ends.
inline const uint8_t* DecodeWindowBlock(const PackedView& w, const uint8_t* payload,
                                        uint8_t* operand) {
  for (uint32_t s = 0; s < w.desc.num_spans; ++s) {
    const ColumnSpan& span = w.spans[s];
    const WindowPlanes& table = w.windows[s];
    const size_t blocks = NumActivationBlocks(span.end - span.begin);
    WindowFunction<DecodeWindowRun>(table, w.desc.has_memory != 0)(
        table, payload, blocks, operand + span.begin / kActivationBlock * kOperandBlockBytes);
    payload += blocks * WindowGroupBytes(table.code_bits, table.raw_bits);
  }
  return payload;
}

// The tiles [begin, end); returns how far it came, as RunWholeBlocks() does.
static uint32_t GemmWindowI8(const PackedView& w, uint32_t begin, uint32_t end,
                             const PackedBatch& x, uint8_t* operand, float* y, bool* ok) {
  uint32_t tile = begin;
  for (; tile < end; ++tile) {
    const uint32_t row_end = TileRowEnd(w.desc, tile);
    if ((row_end - TileRowBegin(w.desc, tile)) % kMaxLanes != 0) break;
    const uint8_t* payload = w.TileBegin(tile);
    for (uint32_t row = TileRowBegin(w.desc, tile); row < row_end; row += kMaxLanes) {
      payload = DecodeWindowBlock(w, payload, operand);
      MultiplyOperand({w, row, operand}, x, y);
    }
    *ok &= payload == w.TileEnd(tile);
  }
  return tile;
}

}  // namespace ecq::ECQ_TARGET

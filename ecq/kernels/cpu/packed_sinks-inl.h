// What becomes of the levels of a coded matrix: one sink for each operation.
// Included by packed_kernels-inl.h.

namespace ecq::ECQ_TARGET {

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

}  // namespace ecq::ECQ_TARGET

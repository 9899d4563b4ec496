// rANS 16x8 (portable/rans16.h) in AVX-512: 32 states of 16 bits in one register, all tables in
// three more. Included by packed_kernels-inl.h.
//
// Work split: a vector is one block of 32 rows; up to eight tiles are decoded side by side, since a
// step of one is a chain of about 35 cycles and takes 10 of issue. Data movement: the payload is
// read once, front to back. Decode: VPERMW finds the bucket, a byte comparison whose slot it is, a
// second VPERMW the symbol; lanes that need a byte get it by VPEXPANDB. Reduction: none across
// lanes. Weights of an even and of an odd column lie in the low and high bytes of words; two such
// words of a row are joined to the dword that VPDPBUSD wants, which leaves rows in the order of
// VPUNPCKLWD; sums are put in order once per scale group.

namespace ecq::avx512 {

struct Rans16Registers {
  __m512i buckets;
  __m512i even;
  __m512i odd;
};

inline Rans16Registers LoadLookup(const Rans16Lookup& lookup) {
  return {_mm512_load_si512(lookup.buckets), _mm512_load_si512(lookup.even),
          _mm512_load_si512(lookup.odd)};
}

// The reader of one tile.
struct Rans16Stream {
  __m512i states;
  const uint8_t* next;  // where to read
  const uint8_t* end;
  const uint8_t* reached;  // where to read if the tile had no end

  void Begin(const PackedView& w, uint32_t tile) {
    states = _mm512_loadu_si512(w.TileBegin(tile));
    reached = next = w.TileBegin(tile) + kMaxLanes * sizeof(uint16_t);
    end = w.TileEnd(tile);
  }
  bool EndsWell() const {
    return reached == next && OnlyPaddingLeft(next, end) &&
           _mm512_cmpneq_epi16_mask(states, _mm512_set1_epi16(kRans16LowerBound)) == 0;
  }

  // One column: the weights in offset binary, in the low bytes of words if it is even, in the high
  // bytes if it is odd; the other bytes hold frequencies.
  template <bool kOdd, uint32_t kLowBits>
  __m512i Step(const Rans16Registers& tables) {
    const uint8_t* const planes = next;
    next += kLowBits * sizeof(uint32_t);
    constexpr __mmask64 kLowBytes = 0x5555555555555555u;
    const __m512i high_bytes = _mm512_set1_epi16(static_cast<int16_t>(0xff00));
    const __m512i bucket = _mm512_permutexvar_epi16(states, tables.buckets);
    const __mmask64 is_other = _mm512_mask_cmpgt_epu8_mask(kLowBytes, states, bucket);
    const __m512i symbol = _mm512_mask_blend_epi8(is_other, states, bucket);
    const __m512i place =
        _mm512_and_si512(_mm512_srli_epi16(states, 5), _mm512_set1_epi16(kRans16BucketSlots - 1));
    const __m512i rank = _mm512_mask_add_epi8(place, is_other, place, _mm512_srli_epi16(bucket, 8));
    __m512i entry = _mm512_permutexvar_epi16(symbol, kOdd ? tables.odd : tables.even);
    __m512i product;  // frequency times (state div 256)
    if constexpr (kOdd) {
      product =
          _mm512_mullo_epi16(_mm512_srli_epi16(states, 8), _mm512_andnot_si512(high_bytes, entry));
    } else {
      product = _mm512_mulhi_epu16(_mm512_and_si512(states, high_bytes),
                                   _mm512_and_si512(entry, high_bytes));
    }
    Refill(_mm512_add_epi16(product, rank), kLowBits * sizeof(uint32_t));
    for (uint32_t plane = 0; plane < kLowBits; ++plane) {
      const __mmask32 bits = LoadLe<uint32_t>(planes + plane * sizeof(uint32_t));
      const int16_t bit = static_cast<int16_t>(kOdd ? 0x100 << plane : 1 << plane);
      entry = _mm512_mask_add_epi16(entry, bits, entry, _mm512_set1_epi16(bit));
    }
    return entry;
  }

 private:
  // The new byte is expanded into the high byte of its lane's word, from where VPSHLDW shifts it
  // in.
  // plane_bytes: what the step took before.
  void Refill(__m512i popped, size_t plane_bytes) {
    constexpr __mmask64 kHighBytes = 0xaaaaaaaaaaaaaaaau;
    const __m512i high_bytes = _mm512_set1_epi16(static_cast<int16_t>(0xff00));
    const __mmask64 needy_bytes = _mm512_mask_testn_epi8_mask(kHighBytes, popped, popped);
    const __mmask32 needy = _mm512_testn_epi16_mask(popped, high_bytes);
    const __m512i bytes = _mm512_maskz_expand_epi8(
        needy_bytes,
        _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(next))));
    states = _mm512_mask_shldi_epi16(popped, needy, popped, bytes, 8);
    // As the reference does: from the tile's end one step reads at most the planes and 32
    // bytes, then goes back.
    reached += plane_bytes + static_cast<uint32_t>(__builtin_popcountll(needy_bytes));
    next = reached < end ? reached : end;
  }
};

template <uint32_t kLowBits>
class Rans16Source {
 public:
  static constexpr size_t kTilesAtOnce = 4;

  void BeginTile(const PackedView& w, uint32_t tile) { stream_.Begin(w, tile); }
  void BeginBlock(uint32_t /*active*/) {}
  void BeginSpan(const PackedView& w, uint32_t span) {
    tables_ = LoadLookup(*w.tables[span].lookup);
  }
  void BeginChunk() {}

  template <bool kWhole>
  LevelColumn Next(uint32_t /*column_in_chunk*/) {
    static_assert(kWhole, "a tile that lacks rows is read by RansSource");
    const __m512i weights = stream_.template Step<false, kLowBits>(tables_);
    const __m512i levels = _mm512_xor_si512(weights, _mm512_set1_epi16(0x80));
    return {{_mm512_cvtepu16_epi32(_mm512_castsi512_si256(levels)),
             _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(levels, 1))}};
  }

  bool EndTile() const { return stream_.EndsWell(); }

 private:
  Rans16Stream stream_;
  Rans16Registers tables_;
};

// ---- y = W x over int8 activations ------------------------------------------------------------

// Two vectors of rows in the order in which VPUNPCKLWD and VPUNPCKHWD leave them.
struct UnpackedRows {
  F32 v[kVecs];

  void ToRowOrder(F32 (&out)[kVecs]) const {
    const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i second =
        _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    out[0] = _mm512_permutex2var_ps(v[0], first, v[1]);
    out[1] = _mm512_permutex2var_ps(v[0], second, v[1]);
  }
};

// Columns col to col + 3 of kTiles tiles, of which the first `cols` exist.
template <uint32_t kLowBits, size_t kTiles>
inline void MultiplyRans16Quad(const Rans16Registers& tables, Rans16Stream (&streams)[kTiles],
                               uint32_t cols, U32 x, U32 (&dots)[kTiles][kVecs]) {
  const __m512i low_bytes = _mm512_set1_epi16(0xff);
  constexpr int kSelect = 0xca;  // the bits of b where a is set, else those of c
  __m512i front[kTiles];
  __m512i back[kTiles];
#pragma GCC unroll 8
  for (size_t t = 0; t < kTiles; ++t) front[t] = streams[t].template Step<false, kLowBits>(tables);
  if (cols > 1) {
#pragma GCC unroll 8
    for (size_t t = 0; t < kTiles; ++t) {
      front[t] = _mm512_ternarylogic_epi32(
          low_bytes, front[t], streams[t].template Step<true, kLowBits>(tables), kSelect);
    }
  }
#pragma GCC unroll 8
  for (size_t t = 0; t < kTiles; ++t) {
    back[t] = cols > 2 ? streams[t].template Step<false, kLowBits>(tables) : _mm512_setzero_si512();
  }
#pragma GCC unroll 8
  for (size_t t = 0; t < kTiles; ++t) {
    if (cols > 3) {
      back[t] = _mm512_ternarylogic_epi32(
          low_bytes, back[t], streams[t].template Step<true, kLowBits>(tables), kSelect);
    }
    dots[t][0] = _mm512_dpbusd_epi32(dots[t][0], _mm512_unpacklo_epi16(front[t], back[t]), x);
    dots[t][1] = _mm512_dpbusd_epi32(dots[t][1], _mm512_unpackhi_epi16(front[t], back[t]), x);
  }
}

// Columns [begin, end) of kTiles tiles, which have one table and one scale a row.
template <uint32_t kLowBits, size_t kTiles>
inline void MultiplyRans16Run(const Rans16Registers& tables, Rans16Stream (&streams)[kTiles],
                              uint32_t begin, uint32_t end, const PackedActivations& x,
                              UnpackedRows (&sums)[kTiles]) {
  for (uint32_t col = begin; col < end; col += kActivationBlock) {
    const size_t block = col / kActivationBlock;
    const U32 offset = SetU32(static_cast<uint32_t>(-kDotOffset * x.q_sums[block]));
    U32 dots[kTiles][kVecs];
    for (auto& dot : dots) dot[0] = dot[1] = offset;
    const uint32_t cols = std::min<uint32_t>(kActivationBlock, end - col);
    uint32_t i = 0;
    for (; i + 4 <= cols; i += 4) {
      MultiplyRans16Quad<kLowBits>(tables, streams, 4, SetU32(LoadLe<uint32_t>(x.q + col + i)),
                                   dots);
    }
    // The activations after the last column are zeros, so what the missing weights are is no
    // matter.
    if (i < cols) {
      MultiplyRans16Quad<kLowBits>(tables, streams, cols - i,
                                   SetU32(LoadLe<uint32_t>(x.q + col + i)), dots);
    }
    const F32 scale = Set(x.q_scales[block]);
    for (size_t t = 0; t < kTiles; ++t) {
      for (size_t v = 0; v < kVecs; ++v) {
        sums[t].v[v] = MulAdd(I32ToF32(dots[t][v]), scale, sums[t].v[v]);
      }
    }
  }
}

// The block at `rows_before` rows from the start of each of kTiles tiles from `tile` on.
template <uint32_t kLowBits, size_t kTiles>
inline void MultiplyRans16Block(const PackedView& w, const PackedActivations& x, uint32_t tile,
                                uint32_t rows_before, Rans16Stream (&streams)[kTiles], float* y) {
  RowSums rows[kTiles];
  UnpackedRows sums[kTiles];
  for (size_t t = 0; t < kTiles; ++t) {
    rows[t].Begin();
    sums[t] = {{Set(0), Set(0)}};
  }
  for (uint32_t s = 0; s < w.desc.num_spans; ++s) {
    const Rans16Registers tables = LoadLookup(*w.tables[s].lookup);
    for (uint32_t col = w.spans[s].begin; col < w.spans[s].end;) {
      const uint32_t group = col / w.desc.group_size;
      const uint32_t group_end = static_cast<uint32_t>(
          std::min<uint64_t>(w.desc.cols, (uint64_t{group} + 1) * w.desc.group_size));
      const uint32_t end = std::min(w.spans[s].end, group_end);
      MultiplyRans16Run<kLowBits>(tables, streams, col, end, x, sums);
      col = end;
      if (end != group_end) continue;
      for (size_t t = 0; t < kTiles; ++t) {
        F32 ordered[kVecs];
        sums[t].ToRowOrder(ordered);
        const uint32_t row = TileRowBegin(w.desc, tile + static_cast<uint32_t>(t)) + rows_before;
        rows[t].AddGroup(w, x, row, group, ordered);
        sums[t] = {{Set(0), Set(0)}};
      }
    }
  }
  for (size_t t = 0; t < kTiles; ++t) {
    rows[t].StoreTo(y + TileRowBegin(w.desc, tile + static_cast<uint32_t>(t)) + rows_before);
  }
}

template <uint32_t kLowBits, size_t kTiles>
static bool MultiplyRans16Tiles(const PackedView& w, const PackedActivations& x, uint32_t tile,
                                uint32_t blocks, float* y) {
  Rans16Stream streams[kTiles];
  for (size_t t = 0; t < kTiles; ++t) streams[t].Begin(w, tile + static_cast<uint32_t>(t));
  for (uint32_t block = 0; block < blocks; ++block) {
    MultiplyRans16Block<kLowBits>(w, x, tile, block * kMaxLanes, streams, y);
  }
  bool ok = true;
  for (const Rans16Stream& stream : streams) ok &= stream.EndsWell();
  return ok;
}

template <uint32_t kLowBits>
static uint32_t GemvRans16I8(const PackedView& w, uint32_t begin, uint32_t end,
                             const PackedActivations& x, float* y, bool* ok) {
  const uint32_t full_end = FullTilesEnd(w, end);
  const uint32_t blocks = w.desc.blocks_per_tile;
  uint32_t tile = begin;
  for (; tile + 8 <= full_end; tile += 8)
    *ok &= MultiplyRans16Tiles<kLowBits, 8>(w, x, tile, blocks, y);
  for (; tile + 4 <= full_end; tile += 4)
    *ok &= MultiplyRans16Tiles<kLowBits, 4>(w, x, tile, blocks, y);
  for (; tile + 2 <= full_end; tile += 2)
    *ok &= MultiplyRans16Tiles<kLowBits, 2>(w, x, tile, blocks, y);
  for (; tile < end; ++tile) {
    const uint32_t rows = TileRowEnd(w.desc, tile) - TileRowBegin(w.desc, tile);
    if (rows % kMaxLanes != 0) break;
    *ok &= MultiplyRans16Tiles<kLowBits, 1>(w, x, tile, rows / kMaxLanes, y);
  }
  return tile;
}

// The tiles [begin, end); returns how far it came, as RunWholeBlocks() does.
static uint32_t GemvRans16I8(const PackedView& w, uint32_t begin, uint32_t end,
                             const PackedActivations& x, float* y, bool* ok) {
  switch (w.desc.low_bits) {
    case 0:
      return GemvRans16I8<0>(w, begin, end, x, y, ok);
    case 1:
      return GemvRans16I8<1>(w, begin, end, x, y, ok);
    default:
      return GemvRans16I8<2>(w, begin, end, x, y, ok);
  }
}

}  // namespace ecq::avx512

// Bodies of the kernels over coded matrices, over the vector vocabulary of *_simd_<isa>.h.
// Included once per target file, inside its target region, with ECQ_TARGET naming the namespace.
//
// A kernel is a Source (which codec) times a Sink (what becomes of the levels). Work split: the 32
// lanes of a block are 32 rows; a few tiles are decoded side by side, to hide the latency
// of the state chain behind that of another tile. Data movement: the payload is read once, front to
// back; x is broadcast value by value. Decode: the Source yields one column of 32 levels in
// registers, in the low byte of each lane. Reduction: none across lanes, each lane owns its row.
// Two pairs have a kernel of their own: the window code times int8 activations
// (window_kernels-inl.h) and, in AVX-512, rANS 16x8 times int8 activations (rans16_avx512-inl.h).

// In this order; none stands alone.
// clang-format off
#include "ecq/kernels/cpu/packed_sources-inl.h"
#include "ecq/kernels/cpu/packed_sinks-inl.h"
#include "ecq/kernels/cpu/window_kernels-inl.h"
#include "ecq/kernels/cpu/packed_gemm-inl.h"
// clang-format on

namespace ecq::ECQ_TARGET {

// One past the last tile of [.., end) that has all its rows.
inline uint32_t FullTilesEnd(const PackedView& w, uint32_t end) {
  const bool last_is_short = end == w.desc.num_tiles && w.desc.rows % TileRows(w.desc) != 0;
  return last_is_short ? end - 1 : end;
}

}  // namespace ecq::ECQ_TARGET

#ifdef ECQ_TARGET_RANS16
#include ECQ_TARGET_RANS16
#endif

namespace ecq::ECQ_TARGET {

#ifndef ECQ_TARGET_RANS16
template <uint32_t /*low_bits*/>
using Rans16Source = RansSource<Rans16Coder>;
#endif

template <typename Sink, size_t... kIndexes>
inline std::array<Sink, sizeof...(kIndexes)> CopiesOf(const Sink& sink,
                                                      std::index_sequence<kIndexes...>) {
  return {((void)kIndexes, sink)...};
}

// One block of kTiles tiles side by side, 32 columns at a time; of `active` rows, all if kWhole.
template <bool kWhole, size_t kTiles, typename Source, typename Sink>
inline void RunBlock(const PackedView& w, uint32_t active, Source (&sources)[kTiles],
                     std::array<Sink, kTiles>& sinks) {
  uint32_t group = 0;
  for (Source& source : sources) source.BeginBlock(active);
  for (uint32_t s = 0; s < w.desc.num_spans; ++s) {
    for (Source& source : sources) source.BeginSpan(w, s);
    for (uint32_t col = w.spans[s].begin; col < w.spans[s].end; col += kActivationBlock) {
      const uint32_t cols = std::min<uint32_t>(kActivationBlock, w.spans[s].end - col);
      for (size_t t = 0; t < kTiles; ++t) {
        sources[t].BeginChunk();
        sinks[t].BeginChunk(col);
      }
      for (uint32_t i = 0; i < cols; ++i) {
        for (size_t t = 0; t < kTiles; ++t)
          sinks[t].Column(col + i, sources[t].template Next<kWhole>(i));
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

// Begins the tiles tile .. tile + kTiles - 1 and runs the first `blocks` blocks, whole ones.
template <size_t kTiles, typename Source, typename Sink>
inline void RunBlocks(const PackedView& w, uint32_t tile, uint32_t blocks,
                      Source (&sources)[kTiles], std::array<Sink, kTiles>& sinks) {
  for (size_t t = 0; t < kTiles; ++t) sources[t].BeginTile(w, tile + static_cast<uint32_t>(t));
  for (uint32_t block = 0; block < blocks; ++block) {
    for (size_t t = 0; t < kTiles; ++t) {
      sinks[t].BeginBlock(TileRowBegin(w.desc, tile + static_cast<uint32_t>(t)) +
                          block * kMaxLanes);
    }
    RunBlock<true>(w, kMaxLanes, sources, sinks);
    for (Sink& sink : sinks) sink.EndBlock();
  }
}

// Tiles tile .. tile + kTiles - 1, all of them of `blocks` whole blocks.
template <size_t kTiles, typename Source, typename Sink>
inline bool RunTiles(const PackedView& w, uint32_t tile, uint32_t blocks, Source (&sources)[kTiles],
                     std::array<Sink, kTiles>& sinks) {
  RunBlocks(w, tile, blocks, sources, sinks);
  bool ok = true;
  for (const Source& source : sources) ok &= source.EndTile();
  return ok;
}

// Runs the tiles [begin, end) through copies of `sink`; returns how far it came: a last tile whose
// last block lacks rows is left to the caller.
template <typename Source, typename Sink>
static uint32_t RunWholeBlocks(const PackedView& w, uint32_t begin, uint32_t end, const Sink& sink,
                               bool* ok) {
  constexpr uint32_t kTiles = Source::kTilesAtOnce;
  static_assert(kTiles <= kMaxTilesInFlight);
  const uint32_t full_end = FullTilesEnd(w, end);
  const uint32_t blocks = w.desc.blocks_per_tile;
  uint32_t tile = begin;
  for (; tile + kTiles <= full_end; tile += kTiles) {
    Source sources[kTiles];
    auto sinks = CopiesOf(sink, std::make_index_sequence<kTiles>());
    *ok &= RunTiles(w, tile, blocks, sources, sinks);
  }
  for (; tile < end; ++tile) {
    const uint32_t rows = TileRowEnd(w.desc, tile) - TileRowBegin(w.desc, tile);
    if (rows % kMaxLanes != 0) break;
    Source sources[1];
    std::array<Sink, 1> sinks{sink};
    *ok &= RunTiles(w, tile, rows / kMaxLanes, sources, sinks);
  }
  return tile;
}

template <typename Sink>
static uint32_t RunWholeBlocks(const PackedView& w, uint32_t begin, uint32_t end, const Sink& sink,
                               bool* ok) {
  if (WhyNotVectorized(w) != nullptr) return begin;
  switch (w.desc.codec) {
    case CodecId::kRaw:
      return RunWholeBlocks<RawSource>(w, begin, end, sink, ok);
    case CodecId::kRans:
      return RunWholeBlocks<RansSource<Rans32Coder>>(w, begin, end, sink, ok);
    case CodecId::kRans16:
      if (w.desc.low_bits == 0) return RunWholeBlocks<Rans16Source<0>>(w, begin, end, sink, ok);
      if (w.desc.low_bits == 1) return RunWholeBlocks<Rans16Source<1>>(w, begin, end, sink, ok);
      return RunWholeBlocks<Rans16Source<2>>(w, begin, end, sink, ok);
    case CodecId::kWindow:
      return RunWholeBlocks<WindowSource>(w, begin, end, sink, ok);
  }
  return begin;
}

// The last tile, whose last block lacks rows: whole blocks through a copy of `sink`, the levels of
// the last one to `rest`. Pre: WhyNotVectorized(w) == nullptr.
template <typename Source, typename Sink>
static bool RunShortTile(const PackedView& w, uint32_t tile, const Sink& sink, PaddedBlock& rest) {
  const uint32_t rows = w.desc.rows - TileRowBegin(w.desc, tile);
  Source sources[1];
  std::array<Sink, 1> sinks{sink};
  RunBlocks(w, tile, rows / kMaxLanes, sources, sinks);
  std::array<DecodeSink, 1> levels{DecodeSink(0, rest.levels(), kMaxLanes)};
  levels[0].BeginBlock(0);
  RunBlock<false>(w, rest.num_rows(), sources, levels);
  return sources[0].EndTile();
}

template <typename Sink>
static bool RunShortTile(const PackedView& w, uint32_t tile, const Sink& sink, PaddedBlock& rest) {
  switch (w.desc.codec) {
    case CodecId::kRaw:
      return RunShortTile<RawSource>(w, tile, sink, rest);
    case CodecId::kRans:
      return RunShortTile<RansSource<Rans32Coder>>(w, tile, sink, rest);
    case CodecId::kRans16:
      return RunShortTile<RansSource<Rans16Coder>>(w, tile, sink, rest);
    case CodecId::kWindow:
      return RunShortTile<WindowSource>(w, tile, sink, rest);
  }
  return false;
}

// The first row of the last block.
inline uint32_t LastBlockRow(const PackedView& w) {
  return (w.desc.rows - 1) / kMaxLanes * kMaxLanes;
}

static bool GemvPackedF32(const PackedView& w, uint32_t begin, uint32_t end,
                          const PackedActivations& x, float* y) {
  bool ok = true;
  const GemvF32Sink sink(w, x, y);
  begin = RunWholeBlocks(w, begin, end, sink, &ok);
  if (begin == end) return ok;
  if (WhyNotVectorized(w) != nullptr) return reference::GemvPackedF32(w, begin, end, x, y) && ok;
  PaddedBlock rest(w, LastBlockRow(w));
  ok &= RunShortTile(w, begin, sink, rest);
  float rows[kMaxLanes];
  ok &= GemvPackedF32(rest.View(), 0, 1, x, rows);
  std::copy_n(rows, rest.num_rows(), y + LastBlockRow(w));
  return ok;
}

static bool GemvPackedI8(const PackedView& w, uint32_t begin, uint32_t end,
                         const PackedActivations& x, float* y) {
  bool ok = true;
  if (w.desc.codec == CodecId::kWindow && WhyNotVectorized(w) == nullptr) {
    begin = GemvWindowI8(w, begin, end, x, y, &ok);
#ifdef ECQ_TARGET_RANS16
  } else if (w.desc.codec == CodecId::kRans16 && WhyNotVectorized(w) == nullptr) {
    begin = GemvRans16I8(w, begin, end, x, y, &ok);
#endif
  } else {
    begin = RunWholeBlocks(w, begin, end, GemvI8Sink(w, x, y), &ok);
  }
  if (begin == end) return ok;
  if (WhyNotVectorized(w) != nullptr) return reference::GemvPackedI8(w, begin, end, x, y) && ok;
  PaddedBlock rest(w, LastBlockRow(w));
  ok &= RunShortTile(w, begin, GemvI8Sink(w, x, y), rest);
  float rows[kMaxLanes];
  ok &= GemvPackedI8(rest.View(), 0, 1, x, rows);
  std::copy_n(rows, rest.num_rows(), y + LastBlockRow(w));
  return ok;
}

static bool GemmPackedI8(const PackedView& w, uint32_t begin, uint32_t end, const PackedBatch& x,
                         uint8_t* operand, float* y) {
  bool ok = true;
  if (w.desc.codec == CodecId::kWindow && WhyNotVectorized(w) == nullptr) {
    begin = GemmWindowI8(w, begin, end, x, operand, y, &ok);
  } else {
    begin = RunWholeBlocks(w, begin, end, GemmI8Sink(w, x, operand, y), &ok);
  }
  if (begin == end) return ok;
  if (WhyNotVectorized(w) != nullptr) {
    return reference::GemmPackedI8(w, begin, end, x, operand, y) && ok;
  }
  // A last tile that lacks rows: row by row of x, as the GEMV does it.
  BatchRow row(w.desc);
  for (size_t i = 0; i < x.m; ++i) {
    ok &= GemvPackedI8(w, begin, end, row.Take(x, i), y + i * w.desc.rows);
  }
  return ok;
}

static bool DequantizePacked(const PackedView& w, uint32_t begin, uint32_t end, float* out,
                             size_t stride) {
  bool ok = true;
  const uint32_t first_row = TileRowBegin(w.desc, begin);
  const DequantizeSink sink(w, first_row, out, stride);
  const uint32_t done = RunWholeBlocks(w, begin, end, sink, &ok);
  if (done == end) return ok;
  if (WhyNotVectorized(w) != nullptr) {
    float* const rest = out + TileRowBegin(w.desc, done) - first_row;
    return reference::DequantizePacked(w, done, end, rest, stride) && ok;
  }
  PaddedBlock rest(w, LastBlockRow(w));
  ok &= RunShortTile(w, done, sink, rest);
  AlignedBuffer<float> columns(size_t{w.desc.cols} * kMaxLanes);
  ok &= DequantizePacked(rest.View(), 0, 1, columns.data(), kMaxLanes);
  float* const to = out + LastBlockRow(w) - first_row;
  for (size_t col = 0; col < w.desc.cols; ++col) {
    std::copy_n(columns.data() + col * kMaxLanes, rest.num_rows(), to + col * stride);
  }
  return ok;
}

static bool DecodePacked(const PackedView& w, uint32_t begin, uint32_t end, int8_t* out,
                         size_t stride) {
  bool ok = true;
  const uint32_t first_row = TileRowBegin(w.desc, begin);
  const DecodeSink sink(first_row, out, stride);
  const uint32_t done = RunWholeBlocks(w, begin, end, sink, &ok);
  if (done == end) return ok;
  if (WhyNotVectorized(w) != nullptr) {
    int8_t* const rest = out + TileRowBegin(w.desc, done) - first_row;
    return reference::DecodePacked(w, done, end, rest, stride) && ok;
  }
  PaddedBlock rest(w, LastBlockRow(w));
  ok &= RunShortTile(w, done, sink, rest);
  int8_t* const to = out + LastBlockRow(w) - first_row;
  for (size_t col = 0; col < w.desc.cols; ++col) {
    std::copy_n(rest.levels() + col * kMaxLanes, rest.num_rows(), to + col * stride);
  }
  return ok;
}

const PackedKernels kPackedKernels{GemvPackedF32, GemvPackedI8, GemmPackedI8, DequantizePacked,
                                   DecodePacked};

}  // namespace ecq::ECQ_TARGET

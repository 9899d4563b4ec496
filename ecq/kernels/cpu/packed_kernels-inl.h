// Bodies of the kernels over coded matrices, over the vector vocabulary of *_simd_<isa>.h.
// Included once per target file, inside its target region, with ECQ_TARGET naming the namespace.
//
// A kernel is a Source (which codec) times a Sink (what becomes of the levels). Work split: the 32
// lanes of a block are 32 rows; kTilesInFlight tiles are decoded side by side, to hide the latency
// of the state chain behind that of another tile. Data movement: the payload is read once, front to
// back; x is broadcast value by value. Decode: the Source yields one column of 32 levels in
// registers, in the low byte of each lane. Reduction: none across lanes, each lane owns its row.
// One pair has a kernel of its own: the window code times int8 activations (window_kernels-inl.h).

// In this order; none stands alone.
// clang-format off
#include "ecq/kernels/cpu/packed_sources-inl.h"
#include "ecq/kernels/cpu/packed_sinks-inl.h"
#include "ecq/kernels/cpu/window_kernels-inl.h"
// clang-format on

namespace ecq::ECQ_TARGET {

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
  if constexpr (kTilesInFlight == 2) {
    for (; tile + 2 <= full_end; tile += 2) {
      Source sources[2];
      Sink sinks[2] = {sink, sink};
      *ok &= RunTiles(w, tile, blocks, sources, sinks);
    }
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
  switch (w.desc.codec) {
    case CodecId::kRaw:
      return RunWholeBlocks<RawSource>(w, begin, end, sink, ok);
    case CodecId::kRans:
      return RunWholeBlocks<RansSource>(w, begin, end, sink, ok);
    case CodecId::kWindow:
      return RunWholeBlocks<WindowSource>(w, begin, end, sink, ok);
  }
  return begin;
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
  if (w.desc.codec == CodecId::kWindow && WhyNotVectorized(w) == nullptr) {
    begin = GemvWindowI8(w, begin, end, x, y, &ok);
  } else {
    begin = RunWholeBlocks(w, begin, end, GemvI8Sink(w, x, y), &ok);
  }
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

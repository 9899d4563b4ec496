// Products with a coded matrix: preparation of activations, work split, fixes.
#include "ecq/backend/packed_matrix.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <utility>

#include "ecq/base/hadamard.h"
#include "ecq/base/half.h"
#include "ecq/blas/gemm.h"
#include "ecq/codec/rans16_table.h"
#include "ecq/kernels/activations.h"
#include "ecq/kernels/cpu/dense_kernels.h"
#include "ecq/kernels/packed_kernels.h"

namespace ecq {
namespace {

// Tiles of one GEMV task, which are decoded side by side.
constexpr uint32_t kGemvTaskTiles = 2;
constexpr uint32_t kRans16TaskTiles = 8;
// Tasks of an int8 GEMM for each thread, for balance, and rows of x below which decoding a tile
// once more costs too much.
constexpr size_t kGemmTasksPerThread = 4;
constexpr size_t kGemmMinPartRows = 64;
// Dequantized weights of one f32 GEMM task: a part of the last-level cache. Fewer rows would make
// BLAS pack x too often, more would not add anything.
constexpr uint64_t kGemmTaskBytes = 2 << 20;
constexpr uint32_t kGemmTaskRows = 256;

AlignedBuffer<float> ExpandHalves(std::span<const uint16_t> halves, int32_t exponent, size_t size) {
  AlignedBuffer<float> out(size);
  for (size_t i = 0; i < size; ++i) {
    out[i] = std::ldexp(HalfToFloat(halves[halves.size() == 1 ? 0 : i]), exponent);
  }
  return out;
}

WindowPlanes PlanesOf(const WindowTable& table) {
  constexpr int32_t kOffset = 128;
  WindowPlanes planes{{}, table.code_bits, table.raw_bits, table.low_step};
  const uint32_t num_entries = NumWindowEntries(table.code_bits);
  for (uint32_t i = 0; i < kWindowEntries; ++i) {
    for (uint32_t j = 0; j < kTupleCols; ++j) {
      planes.planes[j][i] = static_cast<uint8_t>(kOffset + table.entries[i % num_entries][j]);
    }
  }
  return planes;
}

// The threshold of a bucket leaves the choice to the numbers of its two symbols where a slot's
// place equals its upper 3 bits (Rans16Lookup): the slot s = place << 5 | b is larger if b > other.
// A bucket without own slots has b > other, since symbols are numbered from 0; so the threshold is
// never negative.
Rans16Lookup LookupOf(const Rans16Table& table) {
  constexpr uint32_t kOffset = 128;
  constexpr uint32_t kNever = 0xff;
  Rans16Lookup lookup;
  for (uint32_t b = 0; b < kRans16MaxSymbols; ++b) {
    const Rans16Bucket& bucket = table.buckets[b];
    const uint32_t place = bucket.own - (b > bucket.other ? 0u : 1u);
    const uint32_t threshold =
        bucket.own == kRans16BucketSlots ? kNever : place << 5 | bucket.other;
    const uint32_t weight = (kOffset + static_cast<uint32_t>(table.levels[b])) & 0xff;
    lookup.buckets[b] = static_cast<uint16_t>(bucket.other_bias << 8 | threshold);
    lookup.even[b] = static_cast<uint16_t>(table.freqs[b] << 8 | weight);
    lookup.odd[b] = static_cast<uint16_t>(weight << 8 | table.freqs[b]);
  }
  return lookup;
}

// The activation of row `row` of a batch that meets column `col`, as the levels see it.
float ActivationAt(const PackedDesc& desc, const PackedBatch& x, size_t row, uint32_t col) {
  const size_t i = desc.codec == CodecId::kWindow ? TupleIndex(col) : col;
  return static_cast<float>(x.q[PanelIndex(desc.cols, row, i)]) *
         x.q_scales[PanelBlockIndex(desc.cols, row, col / kActivationBlock)];
}

// How the work of an int8 GEMM is shared out: `task_tiles` tiles times `part_rows` rows of x each.
struct GemmSplit {
  uint32_t task_tiles;
  size_t tile_tasks;
  size_t part_rows;  // a multiple of kPanelRows
  size_t parts;
};

// Every part of x decodes the tiles again, so x is cut only where there are few tiles.
GemmSplit SplitGemm(const PackedDesc& desc, size_t m, size_t num_threads) {
  const size_t wanted_tasks = num_threads == 1 ? 1 : kGemmTasksPerThread * num_threads;
  GemmSplit split{};
  split.task_tiles = desc.num_tiles < kGemvTaskTiles * wanted_tasks ? 1 : kGemvTaskTiles;
  split.tile_tasks = DivideRoundUp(desc.num_tiles, split.task_tiles);
  const size_t wanted_parts = DivideRoundUp(wanted_tasks, split.tile_tasks);
  const size_t parts = std::clamp<size_t>(m / kGemmMinPartRows, 1, wanted_parts);
  split.part_rows = AlignUp(DivideRoundUp(m, parts), kPanelRows);
  split.parts = DivideRoundUp(m, split.part_rows);
  return split;
}

// Rows [first, first + rows) of x, as far as there are so many.
PackedBatch Part(const PackedDesc& desc, const PackedBatch& x, size_t first, size_t rows) {
  return {std::min(rows, x.m - first), x.q + PanelIndex(desc.cols, first, 0),
          x.q_scales + PanelBlockIndex(desc.cols, first, 0),
          x.q_sums + PanelBlockIndex(desc.cols, first, 0),
          x.group_sums == nullptr ? nullptr : x.group_sums + first * desc.scale_groups};
}

}  // namespace

PackedMatrix::PackedMatrix(PackedTensor tensor) : tensor_(std::move(tensor)) {
  const PackedDesc& desc = tensor_.desc;
  const bool is_rans16 = desc.codec == CodecId::kRans16;
  lookups_.reserve(tensor_.tables.size());
  for (const FrequencyTable& table : tensor_.tables) {
    std::vector<uint32_t>& fused = fused_slots_.emplace_back();
    std::vector<uint64_t>& wide = wide_slots_.emplace_back();
    const bool fits = table.prob_bits() <= kRansMaxFusedProbBits;
    for (const RansSlot& slot :
         is_rans16 ? ArrangeRans16(table, desc.low_bits).Slots() : table.Slots()) {
      if (fits) {
        fused.push_back(PackSlot32(slot));
      } else {
        wide.push_back(PackSlot64(slot));
      }
    }
    if (is_rans16) lookups_.push_back(LookupOf(ArrangeRans16(table, desc.low_bits)));
    slot_tables_.push_back({table.prob_bits(), fits ? fused.data() : nullptr,
                            fits ? nullptr : wide.data(), is_rans16 ? &lookups_.back() : nullptr});
  }
  for (const WindowTable& table : tensor_.windows) window_planes_.push_back(PlanesOf(table));
  const size_t num_scales = size_t{desc.rows} * desc.scale_groups;
  scales_ = ExpandHalves(tensor_.scales, tensor_.scale_exponent, num_scales);
  if (desc.has_bias) biases_ = ExpandHalves(tensor_.biases, tensor_.scale_exponent, num_scales);
  for (const uint16_t half : tensor_.col_scales) col_scales_.push_back(HalfToFloat(half));

  view_ = {desc,
           tensor_.payload.data(),
           tensor_.index.data(),
           tensor_.spans.data(),
           slot_tables_.data(),
           window_planes_.data(),
           scales_.data(),
           desc.has_bias ? biases_.data() : nullptr};
}

Status PackedMatrix::Multiply(ThreadPool& pool, ActivationMode mode, Activations& x,
                              float* y) const {
  if (x.m() == 0) return OkStatus();
  if (x.m() == 1) return Verdict(Gemv(pool, mode, x, y));
  const bool vectorized =
      ActiveCpuTarget() != CpuTarget::kScalar && WhyNotVectorized(view_) == nullptr;
  if (mode == ActivationMode::kI8 && vectorized) return Verdict(GemmI8(pool, x, y));
  const float* const stored =
      mode == ActivationMode::kI8 ? x.Rounded(pool, Layout()) : x.Stored(pool, Layout());
  return Verdict(GemmF32(pool, x.m(), stored, y));
}

ColumnLayout PackedMatrix::Layout() const {
  return {tensor_.desc.rotation, tensor_.col_order, col_scales_};
}

float PackedMatrix::FixWeight(const Fix& fix) const {
  const size_t group = fix.col / tensor_.desc.group_size;
  return scales_[group * tensor_.desc.rows + fix.row] * static_cast<float>(fix.delta);
}

bool PackedMatrix::Gemv(ThreadPool& pool, ActivationMode mode, Activations& x, float* y) const {
  const bool int8 = mode == ActivationMode::kI8;
  const PackedActivations prepared =
      int8 ? x.VectorI8(Layout(), tensor_.desc) : x.VectorF32(pool, Layout(), tensor_.desc);
  const PackedKernels& kernels = PackedKernelsFor(ActiveCpuTarget());
  const auto gemv = int8 ? kernels.gemv_i8 : kernels.gemv_f32;
  // Fixes meet the same activations as the levels do.
  const auto activation = [&](uint32_t col) {
    return int8 ? static_cast<float>(prepared.q[col]) * prepared.q_scales[col / kActivationBlock]
                : prepared.x[col];
  };
  const uint32_t num_tiles = tensor_.desc.num_tiles;
  // All threads get some, though eight side by side would be decoded at less cost.
  const uint32_t share = static_cast<uint32_t>(DivideRoundUp(num_tiles, pool.num_threads()));
  const uint32_t task_tiles = tensor_.desc.codec == CodecId::kRans16
                                  ? std::clamp(share, kGemvTaskTiles, kRans16TaskTiles)
                                  : kGemvTaskTiles;
  std::atomic<bool> all_well{true};
  pool.Run(DivideRoundUp(num_tiles, task_tiles), [&](size_t task, size_t /*worker*/) {
    const uint32_t begin = static_cast<uint32_t>(task) * task_tiles;
    const uint32_t end = std::min(num_tiles, begin + task_tiles);
    if (!gemv(view_, begin, end, prepared, y)) all_well.store(false, std::memory_order_relaxed);
    for (const Fix& fix :
         FixesOfRows(TileRowBegin(tensor_.desc, begin), TileRowEnd(tensor_.desc, end - 1))) {
      y[fix.row] += FixWeight(fix) * activation(fix.col);
    }
  });
  return all_well.load();
}

bool PackedMatrix::GemmI8(ThreadPool& pool, Activations& x, float* y) const {
  const PackedBatch batch = x.BatchI8(pool, Layout(), tensor_.desc);
  const GemmSplit split = SplitGemm(tensor_.desc, batch.m, pool.num_threads());
  std::atomic<bool> all_well{true};
  pool.Run(split.tile_tasks * split.parts, [&](size_t task, size_t /*worker*/) {
    // The last tile may take longest, because it may need scalar code: it goes first.
    const size_t tiles = split.tile_tasks - 1 - task / split.parts;
    const uint32_t begin = static_cast<uint32_t>(tiles) * split.task_tiles;
    const uint32_t end = std::min(tensor_.desc.num_tiles, begin + split.task_tiles);
    const size_t first = task % split.parts * split.part_rows;
    const PackedBatch part = Part(tensor_.desc, batch, first, split.part_rows);
    if (!GemmTiles(begin, end, part, y + first * rows())) {
      all_well.store(false, std::memory_order_relaxed);
    }
  });
  return all_well.load();
}

bool PackedMatrix::GemmTiles(uint32_t begin, uint32_t end, const PackedBatch& x, float* y) const {
  const PackedDesc& desc = tensor_.desc;
  thread_local AlignedBuffer<uint8_t> operand;
  const size_t operand_bytes = GemmOperandBytes(desc);
  if (operand.size() < operand_bytes) operand = AlignedBuffer<uint8_t>(operand_bytes);
  const PackedKernels& kernels = PackedKernelsFor(ActiveCpuTarget());
  const bool ok = kernels.gemm_i8(view_, begin, end, x, operand.data(), y);
  for (const Fix& fix : FixesOfRows(TileRowBegin(desc, begin), TileRowEnd(desc, end - 1))) {
    const float weight = FixWeight(fix);
    for (size_t i = 0; i < x.m; ++i) {
      y[i * desc.rows + fix.row] += weight * ActivationAt(desc, x, i, fix.col);
    }
  }
  return ok;
}

bool PackedMatrix::GemmF32(ThreadPool& pool, size_t m, const float* x, float* y) const {
  const PackedDesc& desc = tensor_.desc;
  const uint32_t tile_rows = TileRows(desc);
  const uint64_t fitting_rows =
      std::min<uint64_t>(kGemmTaskRows, kGemmTaskBytes / (sizeof(float) * desc.cols));
  const uint32_t tiles_per_task =
      std::max<uint32_t>(1, static_cast<uint32_t>(fitting_rows / tile_rows));
  const PackedKernels& kernels = PackedKernelsFor(ActiveCpuTarget());
  std::atomic<bool> all_well{true};
  pool.Run(DivideRoundUp(desc.num_tiles, tiles_per_task), [&](size_t task, size_t /*worker*/) {
    const uint32_t begin = static_cast<uint32_t>(task) * tiles_per_task;
    const uint32_t end = std::min(desc.num_tiles, begin + tiles_per_task);
    const uint32_t row = TileRowBegin(desc, begin);
    const size_t rows_here = TileRowEnd(desc, end - 1) - row;
    thread_local AlignedBuffer<float> columns;
    if (columns.size() < rows_here * desc.cols) {
      columns = AlignedBuffer<float>(rows_here * desc.cols);
    }
    if (!kernels.dequantize(view_, begin, end, columns.data(), rows_here)) {
      all_well.store(false, std::memory_order_relaxed);
    }
    FixColumns(row, row + static_cast<uint32_t>(rows_here), columns.data(), rows_here);
    ecq::Gemm(m, rows_here, desc.cols, {x, desc.cols}, {columns.data(), rows_here},
              {y + row, desc.rows});
  });
  return all_well.load();
}

std::span<const Fix> PackedMatrix::FixesOfRows(uint32_t begin, uint32_t end) const {
  const auto by_row = [](const Fix& fix, uint32_t row) { return fix.row < row; };
  const std::span<const Fix> fixes = tensor_.fixes;
  const auto first = std::lower_bound(fixes.begin(), fixes.end(), begin, by_row);
  return {first, std::lower_bound(first, fixes.end(), end, by_row)};
}

void PackedMatrix::FixColumns(uint32_t row_begin, uint32_t row_end, float* columns,
                              size_t stride) const {
  for (const Fix& fix : FixesOfRows(row_begin, row_end)) {
    columns[fix.col * stride + fix.row - row_begin] += FixWeight(fix);
  }
}

Status PackedMatrix::GatherRows(ThreadPool& pool, std::span<const uint32_t> ids, float* out) const {
  const PackedDesc& desc = tensor_.desc;
  const PackedKernels& kernels = PackedKernelsFor(ActiveCpuTarget());
  // Every tile that is needed is decoded once.
  std::vector<uint32_t> order(ids.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint32_t>(i);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return ids[a] / TileRows(desc) < ids[b] / TileRows(desc);
  });
  std::vector<size_t> runs;  // starts of runs of ids in one tile
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || ids[order[i]] / TileRows(desc) != ids[order[i - 1]] / TileRows(desc)) {
      runs.push_back(i);
    }
  }
  std::atomic<bool> all_well{true};
  pool.Run(runs.size(), [&](size_t run, size_t /*worker*/) {
    const size_t end = run + 1 < runs.size() ? runs[run + 1] : order.size();
    const uint32_t tile = ids[order[runs[run]]] / TileRows(desc);
    const uint32_t row = TileRowBegin(desc, tile);
    const uint32_t tile_rows = TileRowEnd(desc, tile) - row;
    AlignedBuffer<float> columns(size_t{tile_rows} * desc.cols);
    if (!kernels.dequantize(view_, tile, tile + 1, columns.data(), tile_rows)) {
      all_well.store(false, std::memory_order_relaxed);
    }
    FixColumns(row, row + tile_rows, columns.data(), tile_rows);
    for (size_t i = runs[run]; i < end; ++i) {
      float* const out_row = out + size_t{order[i]} * desc.cols;
      for (size_t c = 0; c < desc.cols; ++c) {
        float weight = columns[c * tile_rows + ids[order[i]] - row];
        if (!col_scales_.empty()) weight *= col_scales_[c];
        out_row[tensor_.col_order.empty() ? c : tensor_.col_order[c]] = weight;
      }
      if (desc.rotation != 0) UnrotateHadamard(out_row, desc.cols, desc.rotation);
    }
  });
  return Verdict(all_well.load());
}

Status PackedMatrix::DecodeIntegers(uint32_t row_begin, uint32_t row_end, int32_t* out) const {
  const PackedDesc& desc = tensor_.desc;
  const uint32_t begin = row_begin / TileRows(desc);
  const uint32_t end = static_cast<uint32_t>(DivideRoundUp(row_end, TileRows(desc)));
  const uint32_t num_rows = row_end - row_begin;
  std::vector<int8_t> columns(size_t{num_rows} * desc.cols);
  const bool ok =
      PackedKernelsFor(ActiveCpuTarget()).decode(view_, begin, end, columns.data(), num_rows);
  for (size_t r = 0; r < num_rows; ++r) {
    for (size_t c = 0; c < desc.cols; ++c) out[r * desc.cols + c] = columns[c * num_rows + r];
  }
  for (const Fix& fix : tensor_.fixes) {
    if (fix.row < row_begin || fix.row >= row_end) continue;
    out[size_t{fix.row - row_begin} * desc.cols + fix.col] += fix.delta;
  }
  return Verdict(ok);
}

Status PackedMatrix::Verdict(bool ok) const {
  if (ok) return OkStatus();
  return Error{ErrorCode::kCorrupt,
               "coded matrix [" + std::to_string(rows()) + ", " + std::to_string(cols()) +
                   "]: a tile does not end as its codestream must; the file is damaged (run "
                   "'ecq verify')"};
}

}  // namespace ecq

// Products with a coded matrix: preparation of activations, work split, fixes.
#include "ecq/backend/packed_matrix.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "ecq/base/hadamard.h"
#include "ecq/base/half.h"
#include "ecq/codec/rans16_table.h"
#include "ecq/kernels/activations.h"
#include "ecq/kernels/cpu/dense_gemm.h"
#include "ecq/kernels/cpu/dense_kernels.h"
#include "ecq/kernels/packed_kernels.h"

namespace ecq {
namespace {

// Tiles of one GEMV task, which are decoded side by side.
constexpr uint32_t kGemvTaskTiles = 2;
constexpr uint32_t kRans16TaskTiles = 8;
// Dequantized weights of one GEMM task: a part of the last-level cache. Fewer rows would make BLAS
// pack x too often, more would not add anything.
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

// Scratch of one thread, reused from product to product.
struct GemvScratch {
  std::vector<int8_t> q;
  std::vector<float> q_scales;
  std::vector<int32_t> q_sums;
  std::vector<int8_t> q_tuples;
  std::vector<float> group_sums;
};

PackedActivations Prepare(const PackedView& w, ActivationMode mode, const float* x,
                          GemvScratch& scratch) {
  const uint32_t cols = w.desc.cols;
  PackedActivations prepared{x, nullptr, nullptr, nullptr, nullptr};
  if (mode == ActivationMode::kI8) {
    const size_t blocks = NumActivationBlocks(cols);
    scratch.q.resize(PaddedActivations(cols));
    scratch.q_scales.resize(blocks);
    scratch.q_sums.resize(blocks);
    QuantizeActivations(x, cols, scratch.q.data(), scratch.q_scales.data());
    for (size_t block = 0; block < blocks; ++block) {
      const int8_t* const q = scratch.q.data() + block * kActivationBlock;
      scratch.q_sums[block] = std::accumulate(q, q + kActivationBlock, 0);
    }
    prepared.q = scratch.q.data();
    prepared.q_scales = scratch.q_scales.data();
    prepared.q_sums = scratch.q_sums.data();
    if (w.desc.codec == CodecId::kWindow) {
      scratch.q_tuples.resize(scratch.q.size());
      TransposeTuples(prepared.q, cols, scratch.q_tuples.data());
      prepared.q_tuples = scratch.q_tuples.data();
    }
  }
  if (w.biases != nullptr) {
    scratch.group_sums.assign(w.desc.scale_groups, 0.0f);
    for (uint32_t g = 0; g < w.desc.scale_groups; ++g) {
      const uint32_t end = std::min(cols, (g + 1) * w.desc.group_size);
      double sum = 0;
      for (uint32_t c = g * w.desc.group_size; c < end; ++c) {
        sum += mode == ActivationMode::kI8
                   ? double{prepared.q_scales[c / kActivationBlock]} * prepared.q[c]
                   : double{x[c]};
      }
      scratch.group_sums[g] = static_cast<float>(sum);
    }
    prepared.group_sums = scratch.group_sums.data();
  }
  return prepared;
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
    for (const RansSlot& slot : is_rans16 ? ArrangeRans16(table, desc.low_bits).Slots() : table.Slots()) {
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

Status PackedMatrix::Multiply(ThreadPool& pool, ActivationMode mode, size_t m, const float* x,
                              float* y) const {
  x = StoredOrder(m, x);
  bool ok = true;
  if (m == 1) {
    Gemv(pool, mode, x, y, &ok);
    return Verdict(ok);
  }
  if (mode == ActivationMode::kI8) {
    thread_local std::vector<float> rounded;
    rounded.resize(std::max<size_t>(rounded.size(), m * cols()));
    for (size_t i = 0; i < m; ++i) {
      RoundActivations(x + i * cols(), cols(), rounded.data() + i * cols());
    }
    x = rounded.data();
  }
  Gemm(pool, m, x, y, &ok);
  return Verdict(ok);
}

// x rotated, its columns in stored order, the column scales applied: as W is stored. Valid until
// the next call on this thread.
const float* PackedMatrix::StoredOrder(size_t m, const float* x) const {
  const uint32_t rotation = tensor_.desc.rotation;
  if (rotation != 0) {
    thread_local std::vector<float> rotated;
    rotated.resize(std::max<size_t>(rotated.size(), m * cols()));
    const DenseKernels& kernels = ActiveDenseKernels();
    for (size_t i = 0; i < m; ++i) {
      kernels.rotate(x + i * cols(), cols(), rotation, rotated.data() + i * cols());
    }
    x = rotated.data();
  }
  if (tensor_.col_order.empty() && col_scales_.empty()) return x;
  thread_local std::vector<float> stored;
  stored.resize(std::max<size_t>(stored.size(), m * cols()));
  for (size_t i = 0; i < m; ++i) {
    for (size_t c = 0; c < cols(); ++c) {
      const float value = x[i * cols() + (tensor_.col_order.empty() ? c : tensor_.col_order[c])];
      stored[i * cols() + c] = col_scales_.empty() ? value : value * col_scales_[c];
    }
  }
  return stored.data();
}

float PackedMatrix::FixWeight(const Fix& fix) const {
  const size_t group = fix.col / tensor_.desc.group_size;
  return scales_[group * tensor_.desc.rows + fix.row] * static_cast<float>(fix.delta);
}

void PackedMatrix::Gemv(ThreadPool& pool, ActivationMode mode, const float* x, float* y,
                        bool* ok) const {
  thread_local GemvScratch scratch;
  const PackedActivations prepared = Prepare(view_, mode, x, scratch);
  const PackedKernels& kernels = PackedKernelsFor(ActiveCpuTarget());
  const auto gemv = mode == ActivationMode::kI8 ? kernels.gemv_i8 : kernels.gemv_f32;
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
  });
  // Fixes meet the same activations as the levels do.
  const auto activation = [&](uint32_t col) {
    return mode == ActivationMode::kI8
               ? static_cast<float>(prepared.q[col]) * prepared.q_scales[col / kActivationBlock]
               : x[col];
  };
  for (const Fix& fix : tensor_.fixes) y[fix.row] += FixWeight(fix) * activation(fix.col);
  *ok = all_well.load();
}

void PackedMatrix::Gemm(ThreadPool& pool, size_t m, const float* x, float* y, bool* ok) const {
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
  *ok = all_well.load();
}

void PackedMatrix::FixColumns(uint32_t row_begin, uint32_t row_end, float* columns,
                              size_t stride) const {
  const auto by_row = [](const Fix& fix, uint32_t row) { return fix.row < row; };
  auto fix = std::lower_bound(tensor_.fixes.begin(), tensor_.fixes.end(), row_begin, by_row);
  for (; fix != tensor_.fixes.end() && fix->row < row_end; ++fix) {
    columns[fix->col * stride + fix->row - row_begin] += FixWeight(*fix);
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

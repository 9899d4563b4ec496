// Coded matrices with forced parameters, guarded memory and exact products, for the tests that
// compare kernels.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ecq/backend/packed_matrix.h"
#include "ecq/base/bytes.h"
#include "ecq/base/half.h"
#include "ecq/base/rng.h"
#include "ecq/codec/codec.h"
#include "ecq/codec/rans16_table.h"
#include "ecq/kernels/activations.h"
#include "ecq/pack/random_tensor_for_test.h"
#include "ecq/pack/random_window_for_test.h"

namespace ecq {

// A payload with exactly kPayloadReadPadding readable bytes after it, then a page that faults.
class GuardedPayload {
 public:
  GuardedPayload(std::span<const uint8_t> payload, uint8_t padding) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t readable = AlignUp(payload.size() + kPayloadReadPadding, page);
    mapped_bytes_ = readable + page;
    base_ = static_cast<uint8_t*>(
        mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + readable, page, PROT_NONE);
    std::memset(base_, padding, readable);
    data_ = base_ + readable - kPayloadReadPadding - payload.size();
    std::copy(payload.begin(), payload.end(), data_);
  }
  GuardedPayload(const GuardedPayload&) = delete;
  GuardedPayload& operator=(const GuardedPayload&) = delete;
  ~GuardedPayload() { munmap(base_, mapped_bytes_); }

  uint8_t* data() { return data_; }

 private:
  uint8_t* base_;
  uint8_t* data_;
  size_t mapped_bytes_;
};

// What Pack() would decide by itself.
struct ForcedCoding {
  CodecId codec = CodecId::kRans;
  std::vector<uint32_t> prob_bits;  // rans: for each span; rans16: kRans16ProbBits
  bool gaussian = false;            // rans: Gaussian tables where 0 is among the levels
  uint32_t raw_bits = 8;
  int32_t raw_level_min = -128;
  uint32_t low_bits = 0;  // rans16
  uint32_t lanes = kMaxLanes;
  uint32_t blocks_per_tile = 1;
  std::vector<WindowTable> windows{};  // window: for each span
  bool has_memory = false;             // window
  std::vector<uint8_t> payload{};      // window: the codestreams themselves, any bytes
};

inline FrequencyTable ForcedTable(Histogram histogram, const ForcedCoding& coding,
                                  uint32_t prob_bits) {
  int32_t low = -128;
  int32_t high = 127;
  while (histogram[low] == 0) ++low;
  while (histogram[high] == 0) --high;
  const bool is_rans16 = coding.codec == CodecId::kRans16;
  if (coding.gaussian) {
    const int32_t first = std::min(low, 0);
    const uint32_t levels = static_cast<uint32_t>(std::max(high, 0) - first + 1);
    auto table = FrequencyTable::Gaussian(0xf0000000u, first, levels, prob_bits);
    if (table.ok() && (!is_rans16 || CheckRans16Table(*table, coding.low_bits, "").ok())) {
      return std::move(table).value();
    }
  }
  // No level of rans16 may have all slots.
  if (is_rans16 && low == high) histogram[low > 0 ? low - 1 : low + 1] = 1;
  return FrequencyTable::FromCounts(histogram.counts, Histogram::kMinLevel, prob_bits).value();
}

// Geometry and scales of `packed` from `t`.
inline void Describe(const QuantizedTensor& t, const ForcedCoding& coding, PackedTensor& packed) {
  PackedDesc& d = packed.desc;
  d.rows = t.rows;
  d.cols = t.cols;
  d.lanes = coding.lanes;
  d.blocks_per_tile = coding.blocks_per_tile;
  d.num_tiles = static_cast<uint32_t>(DivideRoundUp(d.rows, TileRows(d)));
  d.num_spans = static_cast<uint32_t>(packed.spans.size());
  d.codec = coding.codec;
  d.raw_bits = coding.codec == CodecId::kRaw ? coding.raw_bits : 0;
  d.raw_level_min = coding.codec == CodecId::kRaw ? coding.raw_level_min : 0;
  d.scale_groups = t.ScaleGroups();
  d.group_size = t.scale_kind == ScaleKind::kGroup ? t.group_size : t.cols;
  d.has_memory = coding.has_memory ? 1 : 0;
  d.low_bits = coding.low_bits;
  d.has_bias = t.biases.empty() ? 0 : 1;
  d.rotation = t.rotation;
  packed.grid = t.grid;
  packed.scale_kind = t.scale_kind;
  packed.scale_exponent = t.scale_exponent;
}

// Makes `packed` own what it points to.
inline void Adopt(std::shared_ptr<PackedTensor::Storage> storage, const QuantizedTensor& t,
                  PackedTensor& packed) {
  const size_t payload_bytes = AlignUp(storage->payload.size(), kPayloadAlignment);
  storage->payload.resize(payload_bytes + kPayloadReadPadding);
  storage->scales = t.scales;
  storage->biases = t.biases;
  storage->fixes = t.fixes;
  storage->col_scales = t.col_scales;
  storage->col_order = t.col_order;
  packed.payload = std::span(storage->payload).first(payload_bytes);
  packed.index = storage->index;
  packed.scales = storage->scales;
  packed.biases = storage->biases;
  packed.fixes = storage->fixes;
  packed.col_scales = storage->col_scales;
  packed.col_order = storage->col_order;
  packed.storage = std::move(storage);
}

// Column spans of `t`; without prob_bits.
inline std::vector<ColumnSpan> SpansOf(const QuantizedTensor& t) {
  std::vector<ColumnSpan> spans;
  uint32_t begin = 0;
  for (const uint32_t end : t.span_ends.empty() ? std::vector{t.cols} : t.span_ends) {
    spans.push_back({begin, end, static_cast<uint32_t>(spans.size()), 0});
    begin = end;
  }
  return spans;
}

// Bytes that one row takes in the columns [0, cols) of `spans`, the last of which may be cut short.
inline size_t WindowRowBytes(const ForcedCoding& coding, const std::vector<ColumnSpan>& spans,
                             uint32_t cols) {
  size_t bytes = 0;
  for (const ColumnSpan& span : spans) {
    if (span.begin >= cols) break;
    bytes += DivideRoundUp(std::min(cols, span.end) - span.begin, kWindowGroupCols) *
             (coding.windows[span.table].code_bits + coding.windows[span.table].raw_bits);
  }
  return bytes;
}

// Bytes of a tile of `rows` rows.
inline size_t WindowTileBytes(const ForcedCoding& coding, const std::vector<ColumnSpan>& spans,
                              uint32_t rows) {
  return AlignUp(rows * WindowRowBytes(coding, spans, UINT32_MAX), kIndexUnitBytes);
}

// Level (row, col) of the window codestreams in `coding`, found by its place and not by walking.
inline int8_t WindowLevelAt(const QuantizedTensor& t, const ForcedCoding& coding, uint32_t row,
                            uint32_t col) {
  const std::vector<ColumnSpan> spans = SpansOf(t);
  size_t s = 0;
  while (col >= spans[s].end) ++s;
  const WindowTable& table = coding.windows[s];
  const uint32_t tile_rows = coding.lanes * coding.blocks_per_tile;
  const uint32_t block_row = row / coding.lanes * coding.lanes;
  const uint32_t active = std::min(coding.lanes, t.rows - block_row);
  const uint32_t lane = row - block_row;
  const uint32_t in_group = col % kWindowGroupCols;
  const uint8_t* const group = coding.payload.data() +
                               row / tile_rows * WindowTileBytes(coding, spans, tile_rows) +
                               block_row % tile_rows * WindowRowBytes(coding, spans, UINT32_MAX) +
                               active * WindowRowBytes(coding, spans, col - in_group);
  const WindowTuple tuple =
      PlainWindowGroup{group, active}.Tuple(table, coding.has_memory, lane, in_group / kTupleCols);
  return static_cast<int8_t>(WeightOf(tuple, in_group % kTupleCols));
}

// Random window codestreams for a matrix like `t`, whose levels become what they mean. The spans
// take turns through all kinds of codes, from that of `tuple_bits` on.
inline void RandomWindowCoding(Rng& rng, uint32_t tuple_bits, QuantizedTensor& t,
                               ForcedCoding& coding) {
  constexpr uint32_t kMaxLowStep = 127;
  constexpr size_t kKinds = std::size(kWindowTupleBits);
  size_t kind = 0;
  while (kWindowTupleBits[kind] != tuple_bits) ++kind;
  const std::vector<ColumnSpan> spans = SpansOf(t);
  coding.windows.clear();
  for (size_t s = 0; s < spans.size(); ++s) {
    const uint32_t bits = kWindowTupleBits[(kind + s) % kKinds];
    coding.windows.push_back(RandomWindowTable(rng, bits, kMaxLowStep));
  }
  const uint32_t tile_rows = coding.lanes * coding.blocks_per_tile;
  size_t bytes = 0;
  for (uint32_t row = 0; row < t.rows; row += tile_rows) {
    bytes += WindowTileBytes(coding, spans, std::min(tile_rows, t.rows - row));
  }
  coding.payload.resize(bytes);
  for (uint8_t& byte : coding.payload) byte = static_cast<uint8_t>(rng.Next());
  for (uint32_t r = 0; r < t.rows; ++r) {
    for (uint32_t c = 0; c < t.cols; ++c) {
      t.levels[size_t{r} * t.cols + c] = WindowLevelAt(t, coding, r, c);
    }
  }
}

// The codestreams of `coding` as a matrix.
inline PackedTensor ForceWindow(const QuantizedTensor& t, const ForcedCoding& coding) {
  PackedTensor packed;
  packed.spans = SpansOf(t);
  packed.windows = coding.windows;
  Describe(t, coding, packed);
  auto storage = std::make_shared<PackedTensor::Storage>();
  storage->payload = coding.payload;
  size_t end = 0;
  storage->index.push_back(0);
  for (uint32_t tile = 0; tile < packed.desc.num_tiles; ++tile) {
    const uint32_t rows = TileRowEnd(packed.desc, tile) - TileRowBegin(packed.desc, tile);
    end += WindowTileBytes(coding, packed.spans, rows);
    storage->index.push_back(static_cast<uint32_t>(end / kIndexUnitBytes));
  }
  Adopt(std::move(storage), t, packed);
  return packed;
}

// Codes `t` as told, also in ways that Pack() never chooses. Fixes and the rest are taken over.
inline PackedTensor ForcePack(const QuantizedTensor& t, const ForcedCoding& coding) {
  if (coding.codec == CodecId::kWindow) return ForceWindow(t, coding);
  PackedTensor packed;
  CodecPlan plan;
  plan.codec = coding.codec;
  plan.raw_bits = coding.raw_bits;
  plan.raw_level_min = coding.raw_level_min;
  plan.low_bits = coding.low_bits;
  packed.spans = SpansOf(t);
  for (ColumnSpan& span : packed.spans) {
    if (coding.codec == CodecId::kRaw) continue;
    span.prob_bits = coding.prob_bits[span.table % coding.prob_bits.size()];
    Histogram histogram;
    for (uint32_t r = 0; r < t.rows; ++r) {
      for (uint32_t c = span.begin; c < span.end; ++c) {
        ++histogram[t.levels[size_t{r} * t.cols + c] >> coding.low_bits];
      }
    }
    plan.tables.push_back(ForcedTable(histogram, coding, span.prob_bits));
  }
  packed.tables = plan.tables;
  Describe(t, coding, packed);

  auto storage = std::make_shared<PackedTensor::Storage>();
  const PackedDesc& d = packed.desc;
  const auto encoder = GetCodec(coding.codec).make_encoder(plan, packed.spans, d.lanes);
  storage->index.push_back(0);
  for (uint32_t tile = 0; tile < d.num_tiles; ++tile) {
    const uint32_t row = TileRowBegin(d, tile);
    const TileLevels levels{t.levels.data() + size_t{row} * d.cols, d.cols,
                            TileRowEnd(d, tile) - row, d.cols};
    encoder->Encode(levels, storage->payload);
    storage->index.push_back(static_cast<uint32_t>(storage->payload.size() / kIndexUnitBytes));
  }
  Adopt(std::move(storage), t, packed);
  return packed;
}

// x with everything a product may ask for.
struct PreparedVector {
  std::vector<float> x;
  std::vector<int8_t> q;
  std::vector<float> q_scales;
  std::vector<int32_t> q_sums;
  std::vector<int8_t> q_tuples;
  std::vector<float> sums_f32;  // per scale group
  std::vector<float> sums_i8;

  PreparedVector(const PackedView& w, std::vector<float> values) : x(std::move(values)) {
    q.resize(PaddedActivations(x.size()));
    q_scales.resize(NumActivationBlocks(x.size()));
    QuantizeActivations(x.data(), x.size(), q.data(), q_scales.data());
    q_sums.resize(q_scales.size());
    for (size_t i = 0; i < q.size(); ++i) q_sums[i / kActivationBlock] += q[i];
    q_tuples.resize(q.size());
    TransposeTuples(q.data(), x.size(), q_tuples.data());
    for (uint32_t g = 0; g < w.desc.scale_groups; ++g) {
      double f32 = 0;
      double i8 = 0;
      for (size_t c = size_t{g} * w.desc.group_size;
           c < std::min<size_t>(x.size(), (size_t{g} + 1) * w.desc.group_size); ++c) {
        f32 += x[c];
        i8 += Rounded(c);
      }
      sums_f32.push_back(static_cast<float>(f32));
      sums_i8.push_back(static_cast<float>(i8));
    }
  }

  // Activation c as an int8 product sees it.
  double Rounded(size_t c) const { return double{q_scales[c / kActivationBlock]} * q[c]; }
  PackedActivations ForF32() const {
    return {x.data(), nullptr, nullptr, nullptr, sums_f32.data()};
  }
  PackedActivations ForI8() const {
    return {nullptr, q.data(), q_scales.data(), q_sums.data(), sums_i8.data(), q_tuples.data()};
  }
};

// Rows of x as a PackedBatch, in memory that is poisoned where nothing may be read.
struct PreparedBatch {
  size_t m;
  std::vector<int8_t> q;
  std::vector<float> q_scales;
  std::vector<int32_t> q_sums;
  std::vector<float> group_sums;

  PreparedBatch(const PackedView& w, const std::vector<PreparedVector>& rows) : m(rows.size()) {
    const size_t k = w.desc.cols;
    const size_t padded_rows = AlignUp(m, kPanelRows);
    q.resize(padded_rows * PaddedActivations(k), 0x5a);
    q_scales.resize(padded_rows * NumActivationBlocks(k), std::nanf(""));
    q_sums.resize(q_scales.size(), 0x5a5a5a);
    for (size_t i = 0; i < m; ++i) {
      const bool is_window = w.desc.codec == CodecId::kWindow;
      StoreInPanel((is_window ? rows[i].q_tuples : rows[i].q).data(), k, i, q.data());
      for (size_t b = 0; b < NumActivationBlocks(k); ++b) {
        q_scales[PanelBlockIndex(k, i, b)] = rows[i].q_scales[b];
        q_sums[PanelBlockIndex(k, i, b)] = rows[i].q_sums[b];
      }
      group_sums.insert(group_sums.end(), rows[i].sums_i8.begin(), rows[i].sums_i8.end());
    }
  }

  PackedBatch Get() const {
    return {m, q.data(), q_scales.data(), q_sums.data(), group_sums.data()};
  }
};

// A value and the sum of the magnitudes that went into it.
struct ExactSum {
  double value = 0;
  double magnitude = 0;
};

// Row `row` of W times the activations fn(column), without the fixes.
template <typename Fn>
ExactSum ExactProduct(const QuantizedTensor& t, uint32_t row, Fn&& activation) {
  ExactSum sum;
  const uint32_t group_size = t.scale_kind == ScaleKind::kGroup ? t.group_size : t.cols;
  double scale = 0;
  double bias = 0;
  for (uint32_t c = 0; c < t.cols; ++c) {
    if (c % group_size == 0) {
      scale = t.ScaleAt(row, c);
      bias = t.BiasAt(row, c);
    }
    const double level = t.levels[size_t{row} * t.cols + c];
    const double x = activation(c);
    sum.value += (scale * level + bias) * x;
    sum.magnitude += (std::abs(scale * level) + std::abs(bias)) * std::abs(x);
  }
  return sum;
}

}  // namespace ecq

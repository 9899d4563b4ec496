#include "ecq/pack/pack.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/base/hadamard.h"
#include "ecq/pack/window_encoder.h"
#include "ecq/portable/rans16.h"

namespace ecq {
namespace {

constexpr double kFixBits = kStoredFixBits;

// Levels that are cheaper to list one by one than to keep in the table. Keeping a level takes one
// of 2^prob_bits slots away from all others, total * log2(M / (M - 1)) bits, and prob_bits for each
// occurrence; listing it takes a fix and the code of the stand-in. Where prob_bits are the same, so
// are the levels listed: raw and rans then give the same products of the same integers, bit for
// bit.
struct Outliers {
  std::array<bool, Histogram::kNumLevels> listed{};
  int8_t stand_in = 0;  // the most frequent level
  uint64_t count = 0;
};

// The histogram of levels without their `bits` lowest bits.
Histogram WithoutLowBits(const Histogram& histogram, uint32_t bits) {
  Histogram upper;
  for (int32_t level = Histogram::kMinLevel; level <= FrequencyTable::kMaxLevel; ++level) {
    upper[level >> bits] += histogram[level];
  }
  return upper;
}

// Of levels that are coded without their low bits, whole runs that share a symbol are listed.
// max_symbols: how many may stay; of more, the rarest are listed.
Outliers FindOutliers(const Histogram& histogram, uint32_t low_bits, double prob_bits,
                      uint32_t max_symbols) {
  Outliers out;
  const auto mode = std::max_element(histogram.counts.begin(), histogram.counts.end());
  out.stand_in = static_cast<int8_t>(mode - histogram.counts.begin() + Histogram::kMinLevel);
  const Histogram symbols = WithoutLowBits(histogram, low_bits);
  const double slot_bits =
      static_cast<double>(histogram.Total()) * -std::log2(1.0 - std::exp2(-prob_bits));
  std::vector<int32_t> kept;
  const auto list = [&](int32_t symbol) {
    for (int32_t i = 0; i < 1 << low_bits; ++i) {
      const size_t level = static_cast<size_t>(symbol * (1 << low_bits) + i - Histogram::kMinLevel);
      out.listed[level] = histogram.counts[level] > 0;
      out.count += histogram.counts[level];
    }
  };
  for (int32_t symbol = Histogram::kMinLevel; symbol <= FrequencyTable::kMaxLevel; ++symbol) {
    const double count = static_cast<double>(symbols[symbol]);
    if (count == 0) continue;
    const bool is_mode = symbol == out.stand_in >> low_bits;
    if (!is_mode && count * kFixBits < slot_bits + count * prob_bits) {
      list(symbol);
    } else {
      kept.push_back(symbol);
    }
  }
  std::stable_sort(kept.begin(), kept.end(),
                   [&](int32_t a, int32_t b) { return symbols[a] > symbols[b]; });
  for (size_t i = max_symbols; i < kept.size(); ++i) list(kept[i]);
  return out;
}

Histogram WithoutOutliers(Histogram histogram, const Outliers& outliers) {
  for (size_t i = 0; i < Histogram::kNumLevels; ++i) {
    if (outliers.listed[i]) histogram.counts[i] = 0;
  }
  histogram[outliers.stand_in] += outliers.count;
  return histogram;
}

struct Choice {
  const Codec* codec = nullptr;
  CodecPlan plan;
  Tiling tiling{};
  std::vector<Outliers> outliers;  // of each span
  uint64_t num_outliers = 0;
  uint64_t bytes = 0;  // payload, index, tables and the outliers, estimated
};

// Bytes of payload, index and tables for a plan.
uint64_t EstimateBytes(const Codec& codec, const CodecPlan& plan, uint32_t rows, uint32_t cols,
                       Tiling tiling) {
  const uint64_t num_tiles = DivideRoundUp(rows, uint64_t{tiling.lanes} * tiling.blocks_per_tile);
  const uint64_t symbols = static_cast<uint64_t>(std::ceil(plan.payload_bits / 8.0));
  const uint64_t plane_bytes = rows / tiling.lanes * Rans16PlaneBytes(tiling.lanes) +
                               Rans16PlaneBytes(rows % tiling.lanes);  // of a column
  uint64_t bytes = symbols + plan.low_bits * cols * plane_bytes +
                   num_tiles * codec.tile_overhead_bytes(tiling.lanes) +
                   (num_tiles + 1) * sizeof(uint32_t);
  for (const FrequencyTable& table : plan.tables) bytes += table.SerializedBytes();
  return bytes;
}

std::optional<Choice> PlanWith(const Codec& codec, uint32_t low_bits,
                               std::span<const Histogram> histograms, uint32_t rows, uint32_t cols,
                               uint32_t max_prob_bits) {
  Choice choice;
  choice.codec = &codec;
  choice.tiling = ChooseTiling(rows, cols, codec.id);
  const uint32_t prob_bits = std::min(max_prob_bits, codec.max_prob_bits);
  std::vector<Histogram> kept;
  for (const Histogram& histogram : histograms) {
    const Outliers& outliers = choice.outliers.emplace_back(
        FindOutliers(histogram, low_bits, prob_bits, codec.max_levels));
    choice.num_outliers += outliers.count;
    kept.push_back(WithoutLowBits(WithoutOutliers(histogram, outliers), low_bits));
  }
  std::optional<CodecPlan> plan = codec.plan(kept, max_prob_bits);
  if (!plan) return std::nullopt;
  choice.plan = *std::move(plan);
  choice.plan.low_bits = low_bits;
  choice.bytes = EstimateBytes(codec, choice.plan, rows, cols, choice.tiling) +
                 choice.num_outliers * (kStoredFixBits / 8);
  return choice;
}

// histograms: of the column spans.
Result<Choice> ChooseCodec(std::span<const Histogram> histograms, uint32_t rows, uint32_t cols,
                           const PackOptions& options) {
  std::optional<Choice> best;
  for (const Codec& codec : AllCodecs()) {
    const bool wanted = options.codec ? *options.codec == codec.id : codec.chosen_unasked;
    if (codec.plan == nullptr || !wanted) continue;
    for (uint32_t low_bits = 0; low_bits <= codec.max_low_bits; ++low_bits) {
      auto choice = PlanWith(codec, low_bits, histograms, rows, cols, options.max_prob_bits);
      if (choice && (!best || choice->bytes < best->bytes)) best = std::move(choice);
    }
  }
  if (!best) return Error{ErrorCode::kUnsupportedCodec, "no codec can hold these levels"};
  return *std::move(best);
}

// One histogram for each column span.
std::vector<Histogram> CountLevels(const QuantizedTensor& tensor,
                                   const std::vector<ColumnSpan>& spans, ThreadPool& pool) {
  constexpr uint32_t kRowsPerTask = 256;
  std::vector<std::vector<Histogram>> partial(pool.num_threads(),
                                              std::vector<Histogram>(spans.size()));
  pool.Run(DivideRoundUp(tensor.rows, kRowsPerTask), [&](size_t task, size_t worker) {
    const uint64_t begin = task * kRowsPerTask;
    const uint64_t end = std::min<uint64_t>(tensor.rows, begin + kRowsPerTask);
    for (uint64_t row = begin; row < end; ++row) {
      const int8_t* const levels = tensor.levels.data() + row * tensor.cols;
      for (size_t s = 0; s < spans.size(); ++s) {
        Histogram& histogram = partial[worker][s];
        for (uint32_t c = spans[s].begin; c < spans[s].end; ++c) ++histogram[levels[c]];
      }
    }
  });
  for (size_t w = 1; w < partial.size(); ++w) {
    for (size_t s = 0; s < spans.size(); ++s) {
      for (size_t i = 0; i < Histogram::kNumLevels; ++i) {
        partial[0][s].counts[i] += partial[w][s].counts[i];
      }
    }
  }
  return std::move(partial[0]);
}

std::vector<ColumnSpan> SpansOf(const QuantizedTensor& tensor) {
  std::vector<ColumnSpan> spans;
  uint32_t begin = 0;
  for (const uint32_t end : tensor.span_ends) {
    spans.push_back({begin, end, static_cast<uint32_t>(spans.size()), 0});
    begin = end;
  }
  if (spans.empty()) spans.push_back({0, tensor.cols, 0, 0});
  return spans;
}

// Replaces listed levels by the stand-in of their span and returns all fixes, old and new.
std::vector<Fix> MoveOutliers(const QuantizedTensor& tensor, const std::vector<ColumnSpan>& spans,
                              const std::vector<Outliers>& outliers, std::vector<int8_t>& levels) {
  std::vector<Fix> fixes;
  auto old = tensor.fixes.begin();
  for (uint32_t row = 0; row < tensor.rows; ++row) {
    int8_t* const row_levels = levels.data() + size_t{row} * tensor.cols;
    for (const ColumnSpan& span : spans) {
      const Outliers& rare = outliers[span.table];
      for (uint32_t col = span.begin; col < span.end; ++col) {
        const bool listed =
            rare.listed[static_cast<size_t>(row_levels[col] - Histogram::kMinLevel)];
        int32_t delta = listed ? row_levels[col] - rare.stand_in : 0;
        if (listed) row_levels[col] = rare.stand_in;
        if (old != tensor.fixes.end() && old->row == row && old->col == col) {
          delta += old->delta;
          ++old;
        }
        if (delta != 0) fixes.push_back({row, col, delta});
      }
    }
  }
  return fixes;
}

// Ends of spans rise strictly up to the last column.
bool SpanEndsAreOrdered(const QuantizedTensor& t) {
  uint32_t begin = 0;
  for (const uint32_t end : t.span_ends) {
    if (end <= begin) return false;
    begin = end;
  }
  return t.span_ends.empty() || begin == t.cols;
}

// Fixes lie in order and inside, as MoveOutliers() walks them.
bool FixesAreOrdered(const QuantizedTensor& t) {
  for (size_t i = 0; i < t.fixes.size(); ++i) {
    const Fix& fix = t.fixes[i];
    if (fix.row >= t.rows || fix.col >= t.cols) return false;
    if (i == 0) continue;
    const Fix& last = t.fixes[i - 1];
    if (std::pair(last.row, last.col) >= std::pair(fix.row, fix.col)) return false;
  }
  return true;
}

Status CheckInput(const QuantizedTensor& t) {
  const bool groups_ok =
      t.scale_kind != ScaleKind::kGroup || (t.group_size > 0 && t.group_size % 4 == 0);
  const bool rotation_ok = t.rotation == 0 || IsHadamardBlock(t.cols, t.rotation);
  if (t.rows == 0 || t.cols == 0 || !rotation_ok || t.levels.size() != uint64_t{t.rows} * t.cols ||
      !groups_ok || t.scales.size() != t.NumScales() ||
      (!t.biases.empty() && t.biases.size() != t.scales.size()) || !SpanEndsAreOrdered(t) ||
      !FixesAreOrdered(t)) {
    return Error{ErrorCode::kInvalidArgument,
                 "pack: a " + std::to_string(t.rows) + " x " + std::to_string(t.cols) +
                     " matrix with " + std::to_string(t.levels.size()) + " levels and " +
                     std::to_string(t.scales.size()) + " scales is not consistent"};
  }
  return OkStatus();
}

using TileStreams = std::vector<std::vector<uint8_t>>;

// Encodes all tiles, several at a time.
TileStreams EncodeTiles(const Choice& choice, const std::vector<ColumnSpan>& spans,
                        const PackedDesc& desc, const std::vector<int8_t>& levels,
                        ThreadPool& pool) {
  std::vector<std::unique_ptr<TileEncoder>> encoders(pool.num_threads());
  TileStreams streams(desc.num_tiles);
  pool.Run(desc.num_tiles, [&](size_t task, size_t worker) {
    const uint32_t tile = static_cast<uint32_t>(task);
    auto& encoder = encoders[worker];
    if (!encoder) encoder = choice.codec->make_encoder(choice.plan, spans, desc.lanes);
    const uint32_t row = TileRowBegin(desc, tile);
    encoder->Encode({levels.data() + size_t{row} * desc.cols, desc.cols,
                     TileRowEnd(desc, tile) - row, desc.cols},
                    streams[tile]);
  });
  return streams;
}

// Makes payload and index of the tiles, in order.
// Errors: kInvalidArgument if they take more than the 16 GiB that the index can address.
Status JoinTiles(TileStreams streams, PackedTensor::Storage& storage) {
  uint64_t total = 0;
  storage.index.push_back(0);
  for (const auto& stream : streams) {
    total += stream.size();
    if (total / kIndexUnitBytes > std::numeric_limits<uint32_t>::max()) {
      return Error{ErrorCode::kInvalidArgument,
                   "pack: the codestreams of one matrix take more than 16 GiB; split the matrix"};
    }
    storage.index.push_back(static_cast<uint32_t>(total / kIndexUnitBytes));
  }
  const uint64_t padded_bytes = AlignUp(total, kPayloadAlignment) + kPayloadReadPadding;
  storage.payload.reserve(padded_bytes);
  for (auto& stream : streams) {
    storage.payload.insert(storage.payload.end(), stream.begin(), stream.end());
    std::vector<uint8_t>().swap(stream);
  }
  storage.payload.resize(padded_bytes);
  return OkStatus();
}

// Everything about the coded matrix that its codec does not decide.
PackedTensor Describe(const QuantizedTensor& tensor, std::vector<ColumnSpan> spans, Tiling tiling,
                      CodecId codec) {
  PackedTensor packed;
  PackedDesc& desc = packed.desc;
  desc.rows = tensor.rows;
  desc.cols = tensor.cols;
  desc.lanes = tiling.lanes;
  desc.blocks_per_tile = tiling.blocks_per_tile;
  desc.num_tiles = static_cast<uint32_t>(DivideRoundUp(desc.rows, TileRows(desc)));
  desc.num_spans = static_cast<uint32_t>(spans.size());
  desc.codec = codec;
  desc.scale_groups = tensor.ScaleGroups();
  desc.group_size = tensor.scale_kind == ScaleKind::kGroup ? tensor.group_size : desc.cols;
  desc.has_bias = tensor.biases.empty() ? 0 : 1;
  desc.rotation = tensor.rotation;
  packed.spans = std::move(spans);
  packed.grid = tensor.grid;
  packed.scale_kind = tensor.scale_kind;
  packed.scale_exponent = tensor.scale_exponent;
  return packed;
}

// Joins the tiles and adds the scales, the fixes and the columns.
Result<PackedTensor> Assemble(PackedTensor packed, const QuantizedTensor& tensor,
                              std::vector<Fix> fixes, TileStreams streams) {
  auto storage = std::make_shared<PackedTensor::Storage>();
  ECQ_RETURN_IF_ERROR(JoinTiles(std::move(streams), *storage));
  storage->scales = tensor.scales;
  storage->biases = tensor.biases;
  storage->fixes = std::move(fixes);
  storage->col_scales = tensor.col_scales;
  storage->col_order = tensor.col_order;
  packed.payload = std::span(storage->payload).first(storage->payload.size() - kPayloadReadPadding);
  packed.index = storage->index;
  packed.scales = storage->scales;
  packed.biases = storage->biases;
  packed.fixes = storage->fixes;
  packed.col_scales = storage->col_scales;
  packed.col_order = storage->col_order;
  packed.storage = std::move(storage);
  ECQ_RETURN_IF_ERROR(ValidatePackedTensor(packed, "packed matrix"));
  return packed;
}

Result<PackedTensor> PackLevels(const QuantizedTensor& tensor, const PackOptions& options,
                                ThreadPool& pool) {
  std::vector<ColumnSpan> spans = SpansOf(tensor);
  const std::vector<Histogram> histograms = CountLevels(tensor, spans, pool);
  ECQ_TRY(const Choice choice, ChooseCodec(histograms, tensor.rows, tensor.cols, options));
  for (size_t s = 0; s < choice.plan.tables.size(); ++s) {
    spans[s].prob_bits = choice.plan.tables[s].prob_bits();
  }
  PackedTensor packed = Describe(tensor, std::move(spans), choice.tiling, choice.codec->id);
  packed.tables = choice.plan.tables;
  packed.desc.raw_bits = choice.plan.raw_bits;
  packed.desc.raw_level_min = choice.plan.raw_level_min;
  packed.desc.low_bits = choice.plan.low_bits;

  std::vector<Fix> fixes = tensor.fixes;
  std::vector<int8_t> moved;
  if (choice.num_outliers > 0) {
    moved = tensor.levels;
    fixes = MoveOutliers(tensor, packed.spans, choice.outliers, moved);
  }
  TileStreams streams = EncodeTiles(choice, packed.spans, packed.desc,
                                    choice.num_outliers > 0 ? moved : tensor.levels, pool);
  return Assemble(std::move(packed), tensor, std::move(fixes), std::move(streams));
}

// Window tiles have no states to share, but are as long as others: so is the work of a task.
Tiling ChooseWindowTiling(uint32_t rows, uint32_t cols) {
  const uint32_t blocks = static_cast<uint32_t>(DivideRoundUp(rows, kMaxLanes));
  return {kMaxLanes, std::min(ChooseTiling(rows, cols, CodecId::kWindow).blocks_per_tile,
                              std::bit_floor(blocks))};
}

Result<PackedTensor> PackWindowCodes(const QuantizedTensor& tensor, ThreadPool& pool) {
  std::vector<ColumnSpan> spans = SpansOf(tensor);
  ECQ_RETURN_IF_ERROR(CheckWindowCodes(tensor, spans, pool));
  PackedTensor packed = Describe(tensor, std::move(spans),
                                 ChooseWindowTiling(tensor.rows, tensor.cols), CodecId::kWindow);
  packed.windows = tensor.window->tables;
  packed.desc.has_memory = tensor.window->has_memory ? 1 : 0;
  TileStreams streams(packed.desc.num_tiles);
  pool.Run(packed.desc.num_tiles, [&](size_t task, size_t /*worker*/) {
    const uint32_t tile = static_cast<uint32_t>(task);
    streams[tile] = EncodeWindowTile(*tensor.window, packed.spans, TileRowBegin(packed.desc, tile),
                                     TileRowEnd(packed.desc, tile));
  });
  return Assemble(std::move(packed), tensor, tensor.fixes, std::move(streams));
}

}  // namespace

Tiling ChooseTiling(uint32_t rows, uint32_t cols, CodecId codec) {
  // 16 bits over 1024 symbols, or 32 bits over 2048, are 0.016 bit.
  const uint64_t symbols_per_state = codec == CodecId::kRans16 ? 1024 : 2048;
  const uint64_t wanted = std::bit_ceil(DivideRoundUp(symbols_per_state, cols));
  const uint32_t blocks =
      static_cast<uint32_t>(std::min<uint64_t>({wanted, std::bit_floor(rows), kMaxBlocksPerTile}));
  const uint32_t lanes = std::min(kMaxLanes, std::bit_floor(rows / blocks));
  return {std::max(lanes, 1u), blocks};
}

Result<PackedTensor> Pack(const QuantizedTensor& tensor, const PackOptions& options,
                          ThreadPool& pool) {
  ECQ_RETURN_IF_ERROR(CheckInput(tensor));
  const bool as_window = options.codec.value_or(CodecId::kWindow) == CodecId::kWindow;
  if (as_window && tensor.window) return PackWindowCodes(tensor, pool);
  if (options.codec == CodecId::kWindow) {
    return Error{ErrorCode::kUnsupportedCodec,
                 "codec window: grid '" + tensor.grid +
                     "' makes levels and no window codes; choose codec auto, rans or raw for it"};
  }
  return PackLevels(tensor, options, pool);
}

uint64_t EstimatePackedBytes(const Histogram& histogram, uint32_t rows, uint32_t cols,
                             uint64_t scale_bytes, const PackOptions& options) {
  const auto choice = ChooseCodec({&histogram, 1}, rows, cols, options);
  if (!choice.ok()) return 0;
  return choice->bytes + kPayloadAlignment / 2 + scale_bytes;
}

}  // namespace ecq

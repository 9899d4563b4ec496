// Bodies of the attention kernels over the vector vocabulary of dense_simd_<isa>.h.
// Included once per target file, inside its target region, with ECQ_TARGET naming the namespace.
//
// Work split: kRowTile rows at a time, which share every key and value that is loaded and
// converted. Scores: a lane owns a position, two vectors of positions for each row, dimensions in
// order. Weighted sums: a lane owns a dimension, two vectors of dimensions, positions in order.
// Reduction: across lanes only in the maximum and the denominator of a row.

#include "ecq/kernels/cpu/dense_exp-inl.h"

namespace ecq::ECQ_TARGET {

// Sums that the registers hold: two vectors for each row, or four for half of the rows.
inline constexpr size_t kRowTile = kLanes == 16 ? 8 : 4;
inline constexpr size_t kPassLanes = 2 * kLanes;
static_assert(kRowTile * kKvSegment <= kAttentionScratch && kKvBlock % kPassLanes == 0);

// How many positions ahead memory is asked for keys and values.
inline constexpr size_t kAhead = kKvBlock;

template <size_t kBytes>
inline void Prefetch(const void* p) {
  for (size_t i = 0; i < kBytes; i += kCacheLineBytes) {
    __builtin_prefetch(static_cast<const char*>(p) + i);
  }
}

// Positions that a tile of rows meets, as offsets from a multiple of kKvBlock.
struct TileRange {
  size_t begin;
  size_t end;
};

// scores[r, j] = q[r] . k[j] for whole blocks of positions.
template <size_t kRows, typename Element>
inline void ScoreTile(const KvView& kv, const float* q, size_t origin, TileRange range,
                      float* scores) {
  for (size_t at = range.begin / kKvBlock * kKvBlock; at < range.end; at += kPassLanes) {
    const Element* keys = reinterpret_cast<const Element*>(kv.keys) +
                          (origin + at) / kKvBlock * kKvBlock * kv.head_dim + at % kKvBlock;
    F32 sums[kRows][2];
    for (size_t r = 0; r < kRows; ++r) sums[r][0] = sums[r][1] = Set(0);
    for (size_t d = 0; d < kv.head_dim; ++d, keys += kKvBlock) {
      Prefetch<kPassLanes * sizeof(Element)>(keys + kAhead * kv.head_dim);
      const F32 first = LoadAsF32(keys);
      const F32 second = LoadAsF32(keys + kLanes);
      for (size_t r = 0; r < kRows; ++r) {
        const F32 x = Set(q[r * kv.head_dim + d]);
        sums[r][0] = MulAdd(x, first, sums[r][0]);
        sums[r][1] = MulAdd(x, second, sums[r][1]);
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t v = 0; v < 2; ++v) {
        F32 sum = sums[r][v];
        if (kv.format == KvFormat::kI8) {
          sum = Mul(sum, Load(kv.key_scales + origin + at + v * kLanes));
        }
        Store(scores + r * kKvSegment + at + v * kLanes, sum);
      }
    }
  }
}

// Scores of one row become weights exp(s - max); those outside of `own`, of the tile's positions,
// become 0. Returns their sum.
inline float WeighScores(float* scores, TileRange tile, TileRange own, float* max) {
  const size_t begin = own.begin / kLanes * kLanes;
  const size_t end = AlignUp(own.end, kLanes);
  std::fill(scores + begin, scores + own.begin, kNoScore);
  std::fill(scores + own.end, scores + end, kNoScore);
  F32 maxima = Load(scores + begin);
  for (size_t i = begin + kLanes; i < end; i += kLanes) maxima = Max(maxima, Load(scores + i));
  *max = MaxLanes(maxima);
  const F32 shift = Set(*max);
  F32 sums = Set(0);
  for (size_t i = begin; i < end; i += kLanes) {
    // A clamped exponential of kNoScore is too small to change a sum that holds exp(0).
    const F32 weight = Exp(Sub(Load(scores + i), shift));
    sums = Add(sums, weight);
    Store(scores + i, weight);
  }
  std::fill(scores + tile.begin, scores + own.begin, 0.0f);
  std::fill(scores + own.end, scores + tile.end, 0.0f);
  return SumLanes(sums);
}

// sums[r] = sum over j of weights[r, j] v[j], of kVecs vectors of dimensions from d on.
template <size_t kRows, size_t kVecs, typename Element>
inline void SumVectors(const KvView& kv, const float* weights, size_t origin, TileRange range,
                       size_t d, float* all_sums) {
  const size_t stride = KvValueStride(kv.head_dim);
  F32 sums[kRows][kVecs];
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t v = 0; v < kVecs; ++v) sums[r][v] = Set(0);
  }
  const Element* values =
      reinterpret_cast<const Element*>(kv.values) + (origin + range.begin) * stride + d;
  for (size_t j = range.begin; j < range.end; ++j, values += stride) {
    Prefetch<kVecs * kLanes * sizeof(Element)>(values + kAhead * stride);
    F32 value[kVecs];
    for (size_t v = 0; v < kVecs; ++v) value[v] = LoadAsF32(values + v * kLanes);
    for (size_t r = 0; r < kRows; ++r) {
      const F32 weight = Set(weights[r * kKvSegment + j]);
      for (size_t v = 0; v < kVecs; ++v) sums[r][v] = MulAdd(weight, value[v], sums[r][v]);
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t v = 0; v < kVecs; ++v) Store(all_sums + r * stride + d + v * kLanes, sums[r][v]);
  }
}

// The same for all dimensions. Few rows wait for memory, which likes whole rows.
template <size_t kRows, typename Element>
inline void SumTile(const KvView& kv, const float* weights, size_t origin, TileRange range,
                    float* all_sums) {
  constexpr size_t kWideVecs = kRows <= kRowTile / 2 ? 4 : 2;
  const size_t stride = KvValueStride(kv.head_dim);
  size_t d = 0;
  for (; d + kWideVecs * kLanes <= stride; d += kWideVecs * kLanes) {
    SumVectors<kRows, kWideVecs, Element>(kv, weights, origin, range, d, all_sums);
  }
  for (; d < stride; d += kPassLanes) {
    SumVectors<kRows, 2, Element>(kv, weights, origin, range, d, all_sums);
  }
}

// The rows [row, row + kRows).
template <size_t kRows, typename Element>
static void AttendTile(const KvView& kv, const AttentionRows& rows, size_t row, size_t begin,
                       size_t end, float* scratch, const AttentionPart& out) {
  TileRange own[kRows];
  TileRange tile{end - begin, 0};
  for (size_t r = 0; r < kRows; ++r) {
    const size_t first = std::max(begin, rows.begins[row + r]);
    const size_t last = std::min(end, rows.ends[row + r]);
    own[r] = first < last ? TileRange{first - begin, last - begin} : TileRange{0, 0};
    if (first >= last) continue;
    tile = {std::min(tile.begin, own[r].begin), std::max(tile.end, own[r].end)};
  }
  ScoreTile<kRows, Element>(kv, rows.q + row * kv.head_dim, begin, tile, scratch);
  for (size_t r = 0; r < kRows; ++r) {
    float* const scores = scratch + r * kKvSegment;
    if (own[r].begin == own[r].end) {
      out.maxima[row + r] = kNoScore;
      out.totals[row + r] = 0;
      std::fill(scores, scores + tile.end, 0.0f);
      continue;
    }
    out.totals[row + r] = WeighScores(scores, tile, own[r], &out.maxima[row + r]);
    if (kv.format != KvFormat::kI8) continue;
    for (size_t j = own[r].begin; j < own[r].end; ++j) scores[j] *= kv.value_scales[begin + j];
  }
  SumTile<kRows, Element>(kv, scratch, begin, tile, out.sums + row * KvValueStride(kv.head_dim));
}

// The last kRows or fewer rows, from `row` on.
template <size_t kRows, typename Element>
inline void AttendRest(const KvView& kv, const AttentionRows& rows, size_t row, size_t begin,
                       size_t end, float* scratch, const AttentionPart& out) {
  if constexpr (kRows > 0) {
    if (rows.count - row < kRows) {
      AttendRest<kRows - 1, Element>(kv, rows, row, begin, end, scratch, out);
    } else {
      AttendTile<kRows, Element>(kv, rows, row, begin, end, scratch, out);
    }
  }
}

template <typename Element>
static void AttendAs(const KvView& kv, const AttentionRows& rows, size_t begin, size_t end,
                     float* scratch, const AttentionPart& out) {
  for (size_t row = 0; row < rows.count; row += kRowTile) {
    AttendRest<kRowTile, Element>(kv, rows, row, begin, end, scratch, out);
  }
}

static void Attend(const KvView& kv, const AttentionRows& rows, size_t begin, size_t end,
                   float* scratch, const AttentionPart& out) {
  switch (kv.format) {
    case KvFormat::kF32:
      return AttendAs<float>(kv, rows, begin, end, scratch, out);
    case KvFormat::kF16:
      return AttendAs<uint16_t>(kv, rows, begin, end, scratch, out);
    case KvFormat::kI8:
      return AttendAs<int8_t>(kv, rows, begin, end, scratch, out);
  }
}

static void EncodeF16(const float* x, size_t n, uint16_t* out) {
  const F32 largest = Set(65504.0f);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    StoreHalves(out + i, Max(Sub(Set(0), largest), Min(largest, Load(x + i))));
  }
  reference::EncodeF16(x + i, n - i, out + i);
}

const AttentionKernels kAttentionKernels{Attend, EncodeF16};

}  // namespace ecq::ECQ_TARGET

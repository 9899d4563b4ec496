// Codecs: levels of a tile in, codestream out. Each codec is one row of a table.
//
// Phases: plan (choose parameters from histograms and estimate the size), then encode tile by tile.
// Decoding lives in kernels/, which links without this module. A codec is added by touching: the
// CodecId in portable/layout.h and docs/format.md, an encoder here with its row in codec.cc, a
// reference decoder and fast kernels where wanted, golden vectors, a fuzz entry.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/codec/frequency_table.h"
#include "ecq/portable/layout.h"

namespace ecq {

// How often each level occurs in a set of columns.
struct Histogram {
  static constexpr int32_t kMinLevel = FrequencyTable::kMinLevel;
  static constexpr size_t kNumLevels = 256;

  std::array<uint64_t, kNumLevels> counts{};

  uint64_t& operator[](int32_t level) { return counts[static_cast<size_t>(level - kMinLevel)]; }
  uint64_t operator[](int32_t level) const {
    return counts[static_cast<size_t>(level - kMinLevel)];
  }
  uint64_t Total() const;
  double EntropyBits() const;  // total bits of all occurrences under their own distribution
};

// Levels of one tile, row-major: level (r, c) is data[r * stride + c].
struct TileLevels {
  const int8_t* data;
  size_t stride;
  uint32_t rows;
  uint32_t cols;
};

// The parameters a codec chose for one matrix; what the file's record of the matrix stores.
struct CodecPlan {
  CodecId codec = CodecId::kRaw;
  uint32_t raw_bits = 0;
  int32_t raw_level_min = 0;
  uint32_t low_bits = 0;               // rans16
  std::vector<FrequencyTable> tables;  // rans, rans16: one for each column span
  double payload_bits = 0;  // estimate for the symbols alone, without low bits and tile overhead
};

// Encodes the tiles of one matrix. Holds derived tables and scratch; not thread-safe.
class TileEncoder {
 public:
  virtual ~TileEncoder() = default;
  // Appends the codestream of one tile, a multiple of 4 bytes.
  // Pre: every level can be coded under the plan.
  virtual void Encode(const TileLevels& tile, std::vector<uint8_t>& out) = 0;
};

// The three functions are null where the quantizer makes the codes (window), which no histogram
// can plan: Pack() stores what it gets.
struct Codec {
  CodecId id;
  std::string_view name;   // as in the file and on the command line
  bool chosen_unasked;     // where it is the smallest; rans16 trades size for speed
  uint32_t max_prob_bits;  // of its tables, and the price of a rare level where it has none
  uint32_t max_levels;     // that may occur in a column span, without their low bits
  uint32_t max_low_bits;   // raw bits that may be split off every level

  // Chooses parameters for columns whose histograms are given, one for each span (of levels without
  // low bits). A codec that cannot code these levels, or not within max_prob_bits, returns nothing.
  std::optional<CodecPlan> (*plan)(std::span<const Histogram> spans, uint32_t max_prob_bits);
  // Bytes one tile costs beyond its symbols.
  uint64_t (*tile_overhead_bytes)(uint32_t lanes);
  // spans: the column spans, one for each table of the plan.
  std::unique_ptr<TileEncoder> (*make_encoder)(const CodecPlan& plan,
                                               std::span<const ColumnSpan> spans, uint32_t lanes);
};

// All codecs, simplest first.
std::span<const Codec> AllCodecs();
const Codec& GetCodec(CodecId id);
// Errors: kUnsupportedCodec, naming the known ones.
Result<CodecId> CodecFromName(std::string_view name);

}  // namespace ecq

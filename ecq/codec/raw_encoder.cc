#include "ecq/codec/raw_encoder.h"

#include <algorithm>
#include <bit>

#include "ecq/base/bytes.h"

namespace ecq {
namespace {

class RawEncoder : public TileEncoder {
 public:
  RawEncoder(const CodecPlan& plan, uint32_t lanes)
      : bits_(plan.raw_bits), level_min_(plan.raw_level_min), lanes_(lanes) {}

  void Encode(const TileLevels& tile, std::vector<uint8_t>& out) override {
    for (uint32_t row = 0; row < tile.rows; row += lanes_) {
      EncodeBlock(tile, row, std::min(lanes_, tile.rows - row), out);
    }
  }

 private:
  void EncodeBlock(const TileLevels& tile, uint32_t row, uint32_t active,
                   std::vector<uint8_t>& out) const {
    const size_t start = out.size();
    out.resize(start + sizeof(uint32_t) * RawBlockWords(tile.cols, bits_, active));
    uint8_t* const words = out.data() + start;
    for (uint32_t lane = 0; lane < active; ++lane) {
      const int8_t* const levels = tile.data + (row + lane) * tile.stride;
      for (uint32_t col = 0; col < tile.cols; ++col) {
        const uint64_t symbol = static_cast<uint32_t>(levels[col] - level_min_);
        const uint32_t bit = col % kRawGroupCols * bits_;
        const uint32_t word = col / kRawGroupCols * bits_ + bit / 32;
        OrWord(words, word * active + lane, static_cast<uint32_t>(symbol << (bit % 32)));
        // The symbol may run over into the lane's next word, `active` words further on.
        if (const uint32_t high = static_cast<uint32_t>(symbol << (bit % 32) >> 32); high != 0) {
          OrWord(words, (word + 1) * active + lane, high);
        }
      }
    }
  }

  static void OrWord(uint8_t* words, uint32_t index, uint32_t bits) {
    uint8_t* const p = words + sizeof(uint32_t) * index;
    StoreLe(p, LoadLe<uint32_t>(p) | bits);
  }

  uint32_t bits_;
  int32_t level_min_;
  uint32_t lanes_;
};

}  // namespace

std::optional<CodecPlan> PlanRaw(std::span<const Histogram> spans, uint32_t /*max_prob_bits*/) {
  int32_t low = FrequencyTable::kMaxLevel;
  int32_t high = FrequencyTable::kMinLevel;
  uint64_t total = 0;
  for (const Histogram& h : spans) {
    total += h.Total();
    for (int32_t level = FrequencyTable::kMinLevel; level <= FrequencyTable::kMaxLevel; ++level) {
      if (h[level] == 0) continue;
      low = std::min(low, level);
      high = std::max(high, level);
    }
  }
  if (total == 0) return std::nullopt;
  CodecPlan plan;
  plan.codec = CodecId::kRaw;
  plan.raw_bits = std::max<uint32_t>(1, std::bit_width(static_cast<uint32_t>(high - low)));
  // Every pattern must stand for a level in range, also those that do not occur.
  const int32_t pattern_max = (1 << plan.raw_bits) - 1;
  plan.raw_level_min = std::min(low, FrequencyTable::kMaxLevel - pattern_max);
  plan.payload_bits = static_cast<double>(total) * plan.raw_bits;
  return plan;
}

uint64_t RawTileOverheadBytes(uint32_t /*lanes*/) { return 0; }

std::unique_ptr<TileEncoder> MakeRawEncoder(const CodecPlan& plan,
                                            std::span<const ColumnSpan> /*spans*/, uint32_t lanes) {
  return std::make_unique<RawEncoder>(plan, lanes);
}

}  // namespace ecq

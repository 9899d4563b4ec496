#include "ecq/codec/rans16_encoder.h"

#include <algorithm>
#include <array>

#include "ecq/base/bytes.h"
#include "ecq/codec/rans16_table.h"
#include "ecq/codec/rans_encoder.h"

namespace ecq {
namespace {

// The inverse of RansPop(): x becomes (x / freq) * 256 + slot of rank x mod freq.
struct EncoderSymbol {
  uint32_t freq = 0;
  uint32_t limit = 0;       // Rans16PushLimit()
  uint32_t reciprocal = 0;  // ceil(2^24 / freq)
  std::array<uint8_t, kRans16Slots> slot_of_rank{};

  // Exact for the states that meet it, x < 256 * freq: the reciprocal is too large by less than 1,
  // the product by less than x / 2^24 < 1 / freq.
  uint32_t Push(uint32_t x) const {
    const uint32_t quotient = static_cast<uint32_t>((uint64_t{reciprocal} * x) >> 24);
    return quotient << kRans16ProbBits | slot_of_rank[x - quotient * freq];
  }
};

using EncoderTable = std::array<EncoderSymbol, Histogram::kNumLevels>;  // by level + 128

EncoderTable MakeEncoderTable(const FrequencyTable& table) {
  EncoderTable symbols;
  // By level without its low bits.
  const std::vector<RansSlot> slots = ArrangeRans16(table, 0).Slots();
  for (uint32_t slot = 0; slot < kRans16Slots; ++slot) {
    const RansSlot& owner = slots[slot];
    EncoderSymbol& symbol = symbols[static_cast<size_t>(owner.level - Histogram::kMinLevel)];
    symbol.freq = owner.freq;
    symbol.limit = Rans16PushLimit(owner.freq);
    symbol.reciprocal = static_cast<uint32_t>(DivideRoundUp(1u << 24, owner.freq));
    symbol.slot_of_rank[owner.bias] = static_cast<uint8_t>(slot);
  }
  return symbols;
}

class Rans16Encoder : public TileEncoder {
 public:
  Rans16Encoder(const CodecPlan& plan, std::span<const ColumnSpan> spans, uint32_t lanes)
      : spans_(spans.begin(), spans.end()), lanes_(lanes), low_bits_(plan.low_bits) {
    for (const FrequencyTable& table : plan.tables) tables_.push_back(MakeEncoderTable(table));
  }

  void Encode(const TileLevels& tile, std::vector<uint8_t>& out) override {
    const uint32_t blocks = static_cast<uint32_t>(DivideRoundUp(tile.rows, lanes_));
    // A symbol emits at most one byte, and a step its planes of low bits.
    const size_t step_bytes = lanes_ + low_bits_ * Rans16PlaneBytes(lanes_);
    bytes_.resize(size_t{blocks} * tile.cols * step_bytes);
    next_byte_ = bytes_.size();
    std::array<uint32_t, kMaxLanes> states;
    states.fill(kRans16LowerBound);

    for (uint32_t block = blocks; block-- > 0;) EncodeBlock(tile, block * lanes_, states);

    const size_t active = std::min(lanes_, tile.rows);
    const size_t num_bytes = bytes_.size() - next_byte_;
    const size_t start = out.size();
    out.resize(start + AlignUp(active * sizeof(uint16_t) + num_bytes, 4));
    for (size_t lane = 0; lane < active; ++lane) {
      StoreLe(out.data() + start + lane * sizeof(uint16_t), static_cast<uint16_t>(states[lane]));
    }
    std::copy(bytes_.begin() + static_cast<ptrdiff_t>(next_byte_), bytes_.end(),
              out.begin() + static_cast<ptrdiff_t>(start + active * sizeof(uint16_t)));
  }

 private:
  void EncodeBlock(const TileLevels& tile, uint32_t row, std::array<uint32_t, kMaxLanes>& states) {
    const uint32_t active = std::min(lanes_, tile.rows - row);
    uint8_t* next = bytes_.data() + next_byte_;
    for (size_t s = spans_.size(); s-- > 0;) {
      const EncoderTable& table = tables_[s];
      for (uint32_t col = spans_[s].end; col-- > spans_[s].begin;) {
        const int8_t* const column = tile.data + row * tile.stride + col;
        for (uint32_t lane = active; lane-- > 0;) {
          const int32_t upper = column[lane * tile.stride] >> low_bits_;
          const EncoderSymbol& symbol = table[static_cast<size_t>(upper - Histogram::kMinLevel)];
          uint32_t x = states[lane];
          // Branch-free: the byte is always written, and kept only if the pointer moves.
          const bool emit = x >= symbol.limit;
          next[-1] = static_cast<uint8_t>(x);
          next -= emit;
          x = emit ? x >> 8 : x;
          states[lane] = symbol.Push(x);
        }
        next = PutPlanes(column, tile.stride, active, next);
      }
    }
    next_byte_ = static_cast<size_t>(next - bytes_.data());
  }

  // The low bits of a column, in front of `next`.
  uint8_t* PutPlanes(const int8_t* column, size_t stride, uint32_t active, uint8_t* next) const {
    const uint32_t bytes = Rans16PlaneBytes(active);
    for (uint32_t plane = low_bits_; plane-- > 0;) {
      next -= bytes;
      std::fill_n(next, bytes, uint8_t{0});
      for (uint32_t lane = 0; lane < active; ++lane) {
        const int bit = column[lane * stride] >> plane & 1;
        next[lane / 8] = static_cast<uint8_t>(next[lane / 8] | bit << lane % 8);
      }
    }
    return next;
  }

  std::vector<ColumnSpan> spans_;
  std::vector<EncoderTable> tables_;
  uint32_t lanes_;
  uint32_t low_bits_;
  std::vector<uint8_t> bytes_;  // filled from the end
  size_t next_byte_ = 0;
};

// No symbol may have all 256 slots: a level that is alone gets a neighbour that never occurs.
Histogram WithCompany(Histogram histogram) {
  const uint64_t total = histogram.Total();
  for (int32_t level = Histogram::kMinLevel; level <= FrequencyTable::kMaxLevel; ++level) {
    if (histogram[level] != total) continue;
    histogram[level > 0 ? level - 1 : level + 1] = 1;
    break;
  }
  return histogram;
}

}  // namespace

std::optional<CodecPlan> PlanRans16(std::span<const Histogram> spans, uint32_t max_prob_bits) {
  if (max_prob_bits < kRans16ProbBits) return std::nullopt;
  CodecPlan plan;
  plan.codec = CodecId::kRans16;
  const auto fits = [](const FrequencyTable& table) { return CheckRans16Table(table, 0, "").ok(); };
  for (const Histogram& h : spans) {
    double bits;
    std::optional<FrequencyTable> table =
        CheapestTable(WithCompany(h), kRans16ProbBits, fits, &bits);
    if (!table) return std::nullopt;
    plan.tables.push_back(*std::move(table));
    plan.payload_bits += bits;
  }
  return plan;
}

uint64_t Rans16TileOverheadBytes(uint32_t lanes) { return lanes * sizeof(uint16_t) + 2; }

std::unique_ptr<TileEncoder> MakeRans16Encoder(const CodecPlan& plan,
                                               std::span<const ColumnSpan> spans, uint32_t lanes) {
  return std::make_unique<Rans16Encoder>(plan, spans, lanes);
}

}  // namespace ecq

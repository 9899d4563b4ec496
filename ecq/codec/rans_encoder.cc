#include "ecq/codec/rans_encoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "ecq/base/bytes.h"
#include "ecq/portable/rans.h"

namespace ecq {
namespace {

// RansPush() for one level without a division.
//
// With q = floor(x / freq) the new state is q * M + (x - q * freq) + cum = x + cum + q * (M -
// freq), M = 2^prob_bits. For x < 2^32 and freq <= 2^14, q = (x * ceil(2^64 / freq)) >> 64 is
// exact: the reciprocal is too large by less than 1, so the product by less than x * freq / 2^64 <
// 1 / freq. freq == 1 has no 64-bit reciprocal; 2^64 - 1 gives q = x - 1, and a bias larger by M -
// 1 makes up for it.
struct EncoderSymbol {
  uint64_t limit;  // RansPushLimit()
  uint64_t reciprocal;
  uint32_t bias;
  uint32_t complement;  // M - freq

  static EncoderSymbol Make(uint32_t freq, uint32_t cum, uint32_t prob_bits) {
    const uint32_t total = 1u << prob_bits;
    EncoderSymbol s{};
    s.limit = RansPushLimit(freq, prob_bits);
    s.complement = total - freq;
    s.reciprocal = freq == 1 ? ~uint64_t{0} : ~uint64_t{0} / freq + 1;
    s.bias = freq == 1 ? cum + total - 1 : cum;
    return s;
  }

  uint32_t Push(uint32_t x) const {
    const uint32_t q =
        static_cast<uint32_t>((static_cast<unsigned __int128>(reciprocal) * x) >> 64);
    return x + bias + q * complement;
  }
};

using EncoderTable = std::array<EncoderSymbol, Histogram::kNumLevels>;  // by level + 128

class RansEncoder : public TileEncoder {
 public:
  RansEncoder(const CodecPlan& plan, std::span<const ColumnSpan> spans, uint32_t lanes)
      : spans_(spans.begin(), spans.end()), lanes_(lanes) {
    for (const FrequencyTable& table : plan.tables) {
      EncoderTable& symbols = tables_.emplace_back();
      for (int32_t level = table.level_min(); level <= table.level_max(); ++level) {
        if (table.Contains(level)) {
          symbols[static_cast<size_t>(level - Histogram::kMinLevel)] =
              EncoderSymbol::Make(table.Freq(level), table.Cum(level), table.prob_bits());
        }
      }
    }
  }

  void Encode(const TileLevels& tile, std::vector<uint8_t>& out) override {
    // A symbol emits at most one word.
    words_.resize(size_t{tile.rows} * tile.cols);
    next_word_ = words_.size();
    std::array<uint32_t, kMaxLanes> states;
    states.fill(kRansLowerBound);

    const uint32_t blocks = static_cast<uint32_t>(DivideRoundUp(tile.rows, lanes_));
    for (uint32_t block = blocks; block-- > 0;) EncodeBlock(tile, block * lanes_, states);

    const size_t active = std::min(lanes_, tile.rows);
    const size_t num_words = words_.size() - next_word_;
    const size_t start = out.size();
    out.resize(start + AlignUp(active * sizeof(uint32_t) + num_words * sizeof(uint16_t), 4));
    std::memcpy(out.data() + start, states.data(), active * sizeof(uint32_t));
    std::memcpy(out.data() + start + active * sizeof(uint32_t), words_.data() + next_word_,
                num_words * sizeof(uint16_t));
  }

 private:
  void EncodeBlock(const TileLevels& tile, uint32_t row, std::array<uint32_t, kMaxLanes>& states) {
    const uint32_t active = std::min(lanes_, tile.rows - row);
    uint16_t* next = words_.data() + next_word_;
    for (size_t s = spans_.size(); s-- > 0;) {
      const EncoderTable& table = tables_[s];
      for (uint32_t col = spans_[s].end; col-- > spans_[s].begin;) {
        const int8_t* const column = tile.data + row * tile.stride + col;
        for (uint32_t lane = active; lane-- > 0;) {
          const EncoderSymbol& symbol =
              table[static_cast<size_t>(column[lane * tile.stride] - Histogram::kMinLevel)];
          uint32_t x = states[lane];
          // Branch-free: the word is always written, and kept only if the pointer moves.
          const bool emit = x >= symbol.limit;
          next[-1] = static_cast<uint16_t>(x);
          next -= emit;
          x = emit ? x >> 16 : x;
          states[lane] = symbol.Push(x);
        }
      }
    }
    next_word_ = static_cast<size_t>(next - words_.data());
  }

  std::vector<ColumnSpan> spans_;
  std::vector<EncoderTable> tables_;
  uint32_t lanes_;
  std::vector<uint16_t> words_;  // filled from the end
  size_t next_word_ = 0;
};

// The variance of the levels decides rho of a sampled Gaussian: exp(-1 / (2 sigma^2)).
std::optional<FrequencyTable> FitGaussian(const Histogram& h, int32_t low, int32_t high,
                                          uint32_t prob_bits) {
  double square = 0;
  for (int32_t level = low; level <= high; ++level) {
    square += static_cast<double>(h[level]) * level * level;
  }
  const double variance = square / static_cast<double>(h.Total());
  if (variance <= 0) return std::nullopt;
  const double rho = std::exp(-0.5 / variance);
  const uint32_t rho_q32 = static_cast<uint32_t>(std::min(rho * 0x1p32, 0x1p32 - 1));
  low = std::min(low, 0);
  high = std::max(high, 0);
  auto table =
      FrequencyTable::Gaussian(rho_q32, low, static_cast<uint32_t>(high - low + 1), prob_bits);
  if (!table.ok()) return std::nullopt;
  return std::move(table).value();
}

}  // namespace

std::optional<FrequencyTable> CheapestTable(const Histogram& h, uint32_t max_prob_bits,
                                            bool (*fits)(const FrequencyTable& table),
                                            double* best_bits) {
  if (h.Total() == 0) return std::nullopt;
  std::optional<FrequencyTable> best;
  *best_bits = 0;
  double best_total = 0;
  const auto consider = [&](std::optional<FrequencyTable> table) {
    if (!table || !fits(*table)) return;
    const double bits = table->CrossEntropyBits(h.counts, Histogram::kMinLevel);
    const double total = bits + 8.0 * static_cast<double>(table->SerializedBytes());
    if (!std::isfinite(bits) || (best && total >= best_total)) return;
    best = std::move(table);
    best_total = total;
    *best_bits = bits;
  };
  int32_t low = Histogram::kMinLevel;
  int32_t high = FrequencyTable::kMaxLevel;
  while (h[low] == 0) ++low;
  while (h[high] == 0) --high;
  for (uint32_t bits = kRansMinProbBits; bits <= max_prob_bits; ++bits) {
    auto stored = FrequencyTable::FromCounts(h.counts, Histogram::kMinLevel, bits);
    if (stored.ok()) consider(std::move(stored).value());
    consider(FitGaussian(h, low, high, bits));
  }
  return best;
}

std::optional<CodecPlan> PlanRans(std::span<const Histogram> spans, uint32_t max_prob_bits) {
  CodecPlan plan;
  plan.codec = CodecId::kRans;
  const auto any_fits = [](const FrequencyTable&) { return true; };
  for (const Histogram& h : spans) {
    double bits;
    std::optional<FrequencyTable> table = CheapestTable(h, max_prob_bits, any_fits, &bits);
    if (!table) return std::nullopt;
    plan.tables.push_back(*std::move(table));
    plan.payload_bits += bits;
  }
  return plan;
}

uint64_t RansTileOverheadBytes(uint32_t lanes) { return lanes * sizeof(uint32_t) + 2; }

std::unique_ptr<TileEncoder> MakeRansEncoder(const CodecPlan& plan,
                                             std::span<const ColumnSpan> spans, uint32_t lanes) {
  return std::make_unique<RansEncoder>(plan, spans, lanes);
}

}  // namespace ecq

// Finds the codes of the window code: the bytes and raw bits whose levels come nearest to weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ecq/portable/window.h"
#include "ecq/quant/window_scan.h"

namespace ecq {

// Weights in standard deviations beyond which no table reaches; targets are clamped to it.
inline constexpr float kWindowReach = 4;

// A window table in real numbers, in units of the weights it is compared with.
struct WindowCodebook {
  uint32_t code_bits = kWindowByteBits;
  uint32_t raw_bits = 0;
  float low_step = 0;  // what a low bit adds
  float entries[kWindowEntries][kTupleCols] = {};

  // `table` with one level worth `unit`.
  static WindowCodebook Of(const WindowTable& table, float unit);
};

// A tuple of weights; a column of them is what the bytes of neighbouring rows code together.
struct WeightTuple {
  float w[kTupleCols];
};

// What a difference e of two tuples costs: e M e^T, M symmetric and positive definite.
struct TupleMetric {
  float m[kTupleCols][kTupleCols];
};

struct TupleCode {
  uint8_t byte;
  uint8_t raw;
};

// The levels that a code stands for; `above` is the code above it, 0 without memory.
inline WindowTuple DecodeTuple(const WindowTable& table, TupleCode code, uint32_t above) {
  uint32_t bytes = 0;
  for (uint32_t j = 0; j < kTupleCols; ++j) {
    const int8_t weight = table.entries[code.byte % NumWindowEntries(table.code_bits)][j];
    bytes |= static_cast<uint32_t>(static_cast<uint8_t>(weight)) << 8 * j;
  }
  return DecodeEntry(WindowTuple{bytes}, code.byte, above, code.raw, table.code_bits,
                     table.raw_bits, table.low_step);
}

// Searches for one codebook, with memory (an exact Viterbi search over 16 states, the low bits of
// the code above) or without (nearest point). Holds scratch; not thread-safe, cheap to copy.
class WindowSearch {
 public:
  WindowSearch(const WindowCodebook& codebook, bool has_memory);

  // From now on differences cost as `metric` says, until then their square. Signs and low bits are
  // then chosen one after the other, not together.
  void SetMetric(const TupleMetric& metric);

  // The codes of `rows` tuples that stand below each other in one block (rows <= kMaxLanes), which
  // minimise the sum of what their differences cost. Returns that sum.
  double Find(const WeightTuple* tuples, uint32_t rows, TupleCode* codes);

 private:
  static constexpr uint32_t kStates = kScanBatch;
  static constexpr uint32_t kCodes = 1u << kWindowByteBits;
  static constexpr uint32_t kMaxChoices = 4;

  // Output weight j of a turned entry is sign[j] * entry[source[j]].
  struct Turn {
    uint8_t source[kTupleCols];
    float sign[kTupleCols];
  };

  bool HasSigns() const { return codebook_.raw_bits >= 4; }
  bool HasLowBit(uint32_t j) const;
  Turn TurnOf(uint32_t n, uint32_t p, uint32_t choice) const;
  size_t TurnIndex(uint32_t n, uint32_t state, uint32_t choice) const;
  void Step(const WeightTuple& tuple, uint32_t num_states, const float* costs, uint8_t* from);
  ScanTurns ScanOf() const;
  uint8_t RawBits(const WeightTuple& tuple, TupleCode code, uint8_t from) const;
  double FindNearest(const WeightTuple* tuples, uint32_t rows, TupleCode* codes);
  double FindPath(const WeightTuple* tuples, uint32_t rows, TupleCode* codes);

  WindowCodebook codebook_;
  bool has_memory_;
  uint32_t num_entries_;
  uint32_t num_parts_;       // codes with the same bits above those that pick an entry
  uint32_t num_choices_;     // of raw bits that turn the entry (raw_bits 2)
  std::vector<Turn> turns_;  // [part][state][choice]
  std::optional<TupleMetric> metric_;
  std::vector<TupleForm> forms_;  // with a metric and signs: the metric at the entry of each turn
  std::vector<float>
      turned_norms_;  // with a metric and no signs: what each entry costs, [turn][128]
  alignas(64) float planes_[2 * kTupleCols][kWindowEntries];  // entries; with the low step added
  alignas(64) float norms_[kWindowEntries];
  alignas(64) float best_[kCodes];
  alignas(64) int32_t best_from_[kCodes];
};

}  // namespace ecq

// The nearest point and the Viterbi search over turned table entries.
#include "ecq/quant/window_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ecq/portable/layout.h"
#include "ecq/quant/window_scan.h"

namespace ecq {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr uint32_t kStateMask = (1u << kWindowStateBits) - 1;
// Labels of the scan: state in the low bits, choice above.
constexpr uint32_t kLabelState = kStateMask;

}  // namespace

WindowCodebook WindowCodebook::Of(const WindowTable& table, float unit) {
  WindowCodebook codebook;
  codebook.code_bits = table.code_bits;
  codebook.raw_bits = table.raw_bits;
  codebook.low_step = static_cast<float>(table.low_step) * unit;
  for (uint32_t i = 0; i < kWindowEntries; ++i) {
    for (uint32_t j = 0; j < kTupleCols; ++j) {
      codebook.entries[i][j] = static_cast<float>(table.entries[i][j]) * unit;
    }
  }
  return codebook;
}

WindowSearch::WindowSearch(const WindowCodebook& codebook, bool has_memory)
    : codebook_(codebook),
      has_memory_(has_memory),
      num_entries_(NumWindowEntries(codebook.code_bits)),
      num_parts_((1u << codebook.code_bits) / num_entries_),
      num_choices_(codebook.raw_bits == 2 ? 4 : 1) {
  for (uint32_t part = 0; part < num_parts_; ++part) {
    for (uint32_t state = 0; state < kStates; ++state) {
      for (uint32_t choice = 0; choice < num_choices_; ++choice) {
        turns_.push_back(TurnOf(part * num_entries_, state, choice));
      }
    }
  }
  const bool has_signs = codebook.raw_bits >= 4;
  for (uint32_t i = 0; i < kWindowEntries; ++i) {
    norms_[i] = 0;
    for (uint32_t j = 0; j < kTupleCols; ++j) {
      const float entry = codebook.entries[i][j];
      planes_[j][i] = has_signs ? std::abs(entry) : entry;
      planes_[kTupleCols + j][i] = std::abs(entry + (HasLowBit(j) ? codebook.low_step : 0));
      norms_[i] += entry * entry;
    }
  }
}

// Whether a low bit can add to weight j of an entry.
bool WindowSearch::HasLowBit(uint32_t j) const {
  return codebook_.raw_bits == 8 || (codebook_.raw_bits == 6 && j % 2 == 0);
}

// Read off from what the definition does to an entry whose weights are 1, 2, 3 and 4.
WindowSearch::Turn WindowSearch::TurnOf(uint32_t n, uint32_t p, uint32_t choice) const {
  const WindowTuple t = DecodeEntry(WindowTuple{0x04030201u}, n, p, choice, codebook_.code_bits,
                                    codebook_.raw_bits, 0);
  Turn turn;
  for (uint32_t j = 0; j < kTupleCols; ++j) {
    const int32_t weight = WeightOf(t, j);
    turn.source[j] = static_cast<uint8_t>(std::abs(weight) - 1);
    turn.sign[j] = weight < 0 ? -1.0f : 1.0f;
  }
  return turn;
}

const WindowSearch::Turn& WindowSearch::TurnAt(uint32_t n, uint32_t state, uint32_t choice) const {
  return turns_[(n / num_entries_ * kStates + state) * num_choices_ + choice];
}

// For every code: the least cost of coming to it from one of the states, and from which.
void WindowSearch::Step(const WeightTuple& tuple, uint32_t num_states, const float* costs,
                        uint8_t* from) {
  const WindowScan& scan = ActiveWindowScan();
  std::fill(std::begin(best_), std::end(best_), kInfinity);
  const bool has_signs = codebook_.raw_bits >= 4;
  for (uint32_t n = 0; n < num_parts_ * num_entries_; n += num_entries_) {
    for (uint32_t state = 0; state < num_states; ++state) {
      if (costs[state] == kInfinity) continue;
      for (uint32_t choice = 0; choice < num_choices_; ++choice) {
        const Turn& turn = TurnAt(n, state, choice);
        float y[kTupleCols];
        for (uint32_t j = 0; j < kTupleCols; ++j) {
          y[turn.source[j]] = has_signs ? std::abs(tuple.w[j]) : turn.sign[j] * tuple.w[j];
        }
        const int32_t label = static_cast<int32_t>(state | choice << kWindowStateBits);
        if (HasLowBits(codebook_.raw_bits)) {
          scan.pairs(planes_[0], y, costs[state], label, best_ + n, best_from_ + n);
        } else {
          scan.entries(planes_[0], norms_, num_entries_, y, costs[state], label, best_ + n,
                       best_from_ + n);
        }
      }
    }
  }
  for (uint32_t n = 0; n < kCodes; ++n) from[n] = static_cast<uint8_t>(best_from_[n]);
}

// The raw bits that go with a code reached with label `from`.
uint8_t WindowSearch::RawBits(const WeightTuple& tuple, TupleCode code, uint8_t from) const {
  const uint32_t raw_bits = codebook_.raw_bits;
  if (raw_bits == 0) return 0;
  if (raw_bits == 2) return static_cast<uint8_t>(from >> kWindowStateBits);
  const Turn& turn = TurnAt(code.byte, from & kLabelState, 0);
  const float* const entry = codebook_.entries[code.byte % kWindowEntries];
  uint32_t raw = 0;
  for (uint32_t j = 0; j < kTupleCols; ++j) {
    const uint32_t source = turn.source[j];
    const float low = entry[source];
    const float high = low + codebook_.low_step;
    const float magnitude = std::abs(tuple.w[j]);
    const bool is_high = HasLowBit(source) &&
                         std::abs(magnitude - std::abs(high)) < std::abs(magnitude - std::abs(low));
    const float level = is_high ? high : low;
    const bool negative = (tuple.w[j] < 0) != (level < 0);
    const uint32_t low_bit = kTupleCols + (raw_bits == 6 ? source / 2 : j);
    raw |= static_cast<uint32_t>(negative) << j | static_cast<uint32_t>(is_high) << low_bit;
  }
  return static_cast<uint8_t>(raw);
}

double WindowSearch::Find(const WeightTuple* tuples, uint32_t rows, TupleCode* codes) {
  return has_memory_ ? FindPath(tuples, rows, codes) : FindNearest(tuples, rows, codes);
}

double WindowSearch::FindNearest(const WeightTuple* tuples, uint32_t rows, TupleCode* codes) {
  const float start = 0;
  uint8_t from[kCodes];
  double error = 0;
  for (uint32_t row = 0; row < rows; ++row) {
    Step(tuples[row], 1, &start, from);
    const float* const nearest = std::min_element(std::begin(best_), std::end(best_));
    codes[row].byte = static_cast<uint8_t>(nearest - best_);
    codes[row].raw = RawBits(tuples[row], codes[row], from[codes[row].byte]);
    error += std::max(0.0f, *nearest);
  }
  return error;
}

double WindowSearch::FindPath(const WeightTuple* tuples, uint32_t rows, TupleCode* codes) {
  uint8_t from[kMaxLanes][kCodes];     // label with which each code is best reached
  uint8_t arrive[kMaxLanes][kStates];  // code with which each state is best reached
  float costs[kStates];
  std::fill(std::begin(costs), std::end(costs), kInfinity);
  costs[0] = 0;  // above the first row there is a zero
  for (uint32_t row = 0; row < rows; ++row) {
    Step(tuples[row], kStates, costs, from[row]);
    std::fill(std::begin(costs), std::end(costs), kInfinity);
    for (uint32_t n = 0; n < kCodes; ++n) {
      const uint32_t state = n & kStateMask;
      if (best_[n] >= costs[state]) continue;
      costs[state] = best_[n];
      arrive[row][state] = static_cast<uint8_t>(n);
    }
  }
  const float* const end = std::min_element(std::begin(costs), std::end(costs));
  uint32_t state = static_cast<uint32_t>(end - costs);
  for (uint32_t row = rows; row-- > 0;) {
    codes[row].byte = arrive[row][state];
    const uint8_t label = from[row][codes[row].byte];
    codes[row].raw = RawBits(tuples[row], codes[row], label);
    state = label & kLabelState;
  }
  return std::max(0.0f, *end);
}

}  // namespace ecq

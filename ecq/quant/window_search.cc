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
constexpr float kSmallestWeight = 1e-6f;  // of a square in a form
constexpr uint32_t kStateMask = (1u << kWindowStateBits) - 1;
// Labels of the scan: state in the low bits, choice above.
constexpr uint32_t kLabelState = kStateMask;

// M = T D T^T with T unit lower triangular: e M e^T is the sum of the squares of e T, times D, and
// what weight k of e T has beside e[k] is -(r T^-1)[k] for r = e T.
TupleForm FormOf(const TupleMetric& metric) {
  TupleForm form = {};
  float t[kTupleCols][kTupleCols] = {};
  for (uint32_t k = 0; k < kTupleCols; ++k) {
    for (uint32_t j = k; j < kTupleCols; ++j) {
      float sum = metric.m[j][k];
      for (uint32_t i = 0; i < k; ++i) sum -= t[j][i] * form.weight[i] * t[k][i];
      if (j == k) form.weight[k] = std::max(sum, kSmallestWeight);
      t[j][k] = j == k ? 1 : sum / form.weight[k];
    }
  }
  for (uint32_t j = 1; j < kTupleCols; ++j) {
    for (uint32_t k = j; k-- > 0;) {
      form.feed[j][k] = t[j][k];
      for (uint32_t i = k + 1; i < j; ++i) form.feed[j][k] -= form.feed[j][i] * t[i][k];
    }
  }
  return form;
}

// norms[i] = what entry i costs as a difference. planes: as the scans have them.
void TurnNorms(const TupleMetric& metric, const float* planes, uint32_t count, float* norms) {
  for (uint32_t i = 0; i < count; ++i) norms[i] = 0;
  for (uint32_t j = 0; j < kTupleCols; ++j) {
    for (uint32_t k = 0; k <= j; ++k) {
      const float weight = (j == k ? 1 : 2) * metric.m[j][k];
      const float* const a = planes + j * kWindowEntries;
      const float* const b = planes + k * kWindowEntries;
      for (uint32_t i = 0; i < count; ++i) norms[i] += weight * a[i] * b[i];
    }
  }
}

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
      num_choices_(codebook.raw_bits == 2 ? kMaxChoices : 1) {
  for (uint32_t part = 0; part < num_parts_; ++part) {
    for (uint32_t state = 0; state < kStates; ++state) {
      for (uint32_t choice = 0; choice < num_choices_; ++choice) {
        turns_.push_back(TurnOf(part * num_entries_, state, choice));
      }
    }
  }
  for (uint32_t i = 0; i < kWindowEntries; ++i) {
    norms_[i] = 0;
    for (uint32_t j = 0; j < kTupleCols; ++j) {
      const float entry = codebook.entries[i][j];
      planes_[j][i] = HasSigns() ? std::abs(entry) : entry;
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

size_t WindowSearch::TurnIndex(uint32_t n, uint32_t state, uint32_t choice) const {
  return (n / num_entries_ * kStates + state) * num_choices_ + choice;
}

void WindowSearch::SetMetric(const TupleMetric& metric) {
  metric_ = metric;
  forms_.resize(HasSigns() ? turns_.size() : 0);
  turned_norms_.resize(HasSigns() ? 0 : turns_.size() * kWindowEntries);
  const uint32_t num_states = has_memory_ ? kStates : 1;
  for (size_t i = 0; i < turns_.size(); ++i) {
    if (i / num_choices_ % kStates >= num_states) continue;
    const Turn& turn = turns_[i];
    TupleMetric turned;
    for (uint32_t j = 0; j < kTupleCols; ++j) {
      for (uint32_t k = 0; k < kTupleCols; ++k) {
        turned.m[turn.source[j]][turn.source[k]] = turn.sign[j] * turn.sign[k] * metric.m[j][k];
      }
    }
    if (HasSigns()) {
      forms_[i] = FormOf(turned);
    } else {
      TurnNorms(turned, planes_[0], num_entries_, &turned_norms_[i * kWindowEntries]);
    }
  }
}

ScanTurns WindowSearch::ScanOf() const {
  const WindowScan& scan = ActiveWindowScan();
  const bool has_pairs = HasLowBits(codebook_.raw_bits);
  if (metric_ && HasSigns()) return has_pairs ? scan.form_pairs : scan.form_signs;
  return has_pairs ? scan.pairs : scan.entries;
}

// For every code: the least cost of coming to it from one of the states, and from which.
void WindowSearch::Step(const WeightTuple& tuple, uint32_t num_states, const float* costs,
                        uint8_t* from) {
  const ScanTurns scan = ScanOf();
  const bool is_product = scan == ActiveWindowScan().entries;
  float y[kTupleCols];
  float square = 0;
  for (uint32_t j = 0; j < kTupleCols; ++j) {
    y[j] = HasSigns() && !metric_ ? std::abs(tuple.w[j]) : tuple.w[j];
    if (metric_ && !HasSigns()) {
      y[j] = 0;
      for (uint32_t k = 0; k < kTupleCols; ++k) y[j] += metric_->m[j][k] * tuple.w[k];
    }
    if (is_product) square += y[j] * (HasSigns() ? y[j] : tuple.w[j]);
  }
  std::fill(std::begin(best_), std::end(best_), kInfinity);
  for (uint32_t n = 0; n < num_parts_ * num_entries_; n += num_entries_) {
    ScanTurn ways[kStates * kMaxChoices];
    size_t num_ways = 0;
    for (uint32_t state = 0; state < num_states; ++state) {
      if (costs[state] == kInfinity) continue;
      for (uint32_t choice = 0; choice < num_choices_; ++choice) {
        const size_t index = TurnIndex(n, state, choice);
        const Turn& turn = turns_[index];
        ScanTurn& way = ways[num_ways++];
        for (uint32_t j = 0; j < kTupleCols; ++j) way.y[turn.source[j]] = turn.sign[j] * y[j];
        way.base = costs[state] + square;
        way.label = static_cast<int32_t>(state | choice << kWindowStateBits);
        way.norms = turned_norms_.empty() ? norms_ : &turned_norms_[index * kWindowEntries];
        way.form = forms_.empty() ? nullptr : &forms_[index];
      }
    }
    scan(planes_[0], num_entries_, {ways, num_ways}, best_ + n, best_from_ + n);
  }
  for (uint32_t n = 0; n < kCodes; ++n) from[n] = static_cast<uint8_t>(best_from_[n]);
}

// The raw bits that go with a code reached with label `from`.
uint8_t WindowSearch::RawBits(const WeightTuple& tuple, TupleCode code, uint8_t from) const {
  const uint32_t raw_bits = codebook_.raw_bits;
  if (raw_bits == 0) return 0;
  if (raw_bits == 2) return static_cast<uint8_t>(from >> kWindowStateBits);
  const size_t turn_index = TurnIndex(code.byte, from & kLabelState, 0);
  const Turn& turn = turns_[turn_index];
  const float* const entry = codebook_.entries[code.byte % kWindowEntries];
  uint32_t place[kTupleCols];  // where weight j of the entry comes to stand
  for (uint32_t j = 0; j < kTupleCols; ++j) place[turn.source[j]] = j;
  float left[kTupleCols];  // as TupleForm has it
  uint32_t raw = 0;
  for (uint32_t source = kTupleCols; source-- > 0;) {
    const uint32_t j = place[source];
    float target = tuple.w[j];
    for (uint32_t k = source + 1; k < kTupleCols && metric_; ++k) {
      target += forms_[turn_index].feed[k][source] * left[k];
    }
    const float low = entry[source];
    const float high = low + codebook_.low_step;
    const float magnitude = std::abs(target);
    const bool is_high = HasLowBit(source) &&
                         std::abs(magnitude - std::abs(high)) < std::abs(magnitude - std::abs(low));
    const float level = is_high ? high : low;
    const bool negative = (target < 0) != (level < 0);
    left[source] = target - (negative ? -level : level);
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
    float costs[kStates];
    int32_t arrive[kStates];
    ActiveWindowScan().states(best_, kCodes, costs, arrive);
    const float* const nearest = std::min_element(std::begin(costs), std::end(costs));
    codes[row].byte = static_cast<uint8_t>(arrive[nearest - costs]);
    codes[row].raw = RawBits(tuples[row], codes[row], from[codes[row].byte]);
    error += std::max(0.0f, *nearest);
  }
  return error;
}

double WindowSearch::FindPath(const WeightTuple* tuples, uint32_t rows, TupleCode* codes) {
  uint8_t from[kMaxLanes][kCodes];     // label with which each code is best reached
  int32_t arrive[kMaxLanes][kStates];  // code with which each state is best reached
  float costs[kStates];
  std::fill(std::begin(costs), std::end(costs), kInfinity);
  costs[0] = 0;  // above the first row there is a zero
  for (uint32_t row = 0; row < rows; ++row) {
    Step(tuples[row], kStates, costs, from[row]);
    ActiveWindowScan().states(best_, kCodes, costs, arrive[row]);
  }
  const float* const end = std::min_element(std::begin(costs), std::end(costs));
  uint32_t state = static_cast<uint32_t>(end - costs);
  for (uint32_t row = rows; row-- > 0;) {
    codes[row].byte = static_cast<uint8_t>(arrive[row][state]);
    const uint8_t label = from[row][codes[row].byte];
    codes[row].raw = RawBits(tuples[row], codes[row], label);
    state = label & kLabelState;
  }
  return std::max(0.0f, *end);
}

}  // namespace ecq

// The inner loop of the search for window codes, for each instruction set level.
#pragma once

#include <cstdint>
#include <span>

#include "ecq/portable/window.h"

namespace ecq {

// Entries are scanned by as many; every number of them is a multiple. They lead to one state each.
inline constexpr uint32_t kScanBatch = 1u << kWindowStateBits;

// A quadratic form of the difference e of two tuples as a sum of squares, the last weight first:
//   r[k] = e[k] + sum over j > k of feed[j][k] r[j],  form = sum of weight[k] r[k]^2.
// So a sign or low bit of weight k is chosen best, given those after it, where it comes nearest to
// the target plus the sum of feed[j][k] r[j].
struct TupleForm {
  float weight[kTupleCols];
  float feed[kTupleCols][kTupleCols];
};

// One way to come to the codes of a table: a target, turned back to where the entries stand.
struct ScanTurn {
  float y[kTupleCols];
  float base;             // what it costs to come this way
  int32_t label;          // of the way
  const float* norms;     // entries: what each adds, (128)
  const TupleForm* form;  // of signs and of form_pairs
};

// For each entry i in [0, count) the turn with the least cost, the first of equals:
//   best[i] = min over turns of cost(i, turn), from[i] = its label.
// planes: weights of entries, (kTupleCols, 128), aligned to 64 bytes like best and from; then, for
// pairs, as many once more.
using ScanTurns = void (*)(const float* planes, uint32_t count, std::span<const ScanTurn> turns,
                           float* best, int32_t* from);

// For each state, the low bits of a code, the least of the costs of the codes that lead to it, and
// the first such code. best: of codes [0, count), aligned to 64 bytes.
using ScanStates = void (*)(const float* best, uint32_t count, float* costs, int32_t* codes);

struct WindowScan {
  // base + norms[i] - 2 y . entry i. With norms of |entry|^2 and |y|^2 in base, a squared distance.
  ScanTurns entries;
  // Each weight has two magnitudes to choose from: base + the sum of the smaller squared
  // differences to y >= 0.
  ScanTurns pairs;
  // Entries are magnitudes: base + form of y - entry i, where the sign of each weight is the best
  // one, given those after it.
  ScanTurns form_signs;
  // The same with two magnitudes for each weight.
  ScanTurns form_pairs;
  ScanStates states;
};

// The loops for the active CPU target. Results differ between targets by rounding only.
const WindowScan& ActiveWindowScan();

}  // namespace ecq

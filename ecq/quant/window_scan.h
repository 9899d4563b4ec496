// The inner loop of the search for window codes, for each instruction set level.
#pragma once

#include <cstdint>

#include "ecq/portable/window.h"

namespace ecq {

// Entries are scanned by as many; every number of them is a multiple.
inline constexpr uint32_t kScanBatch = 16;

// Scans the entries of a table: for i in [0, count)
//   cost = base + norms[i] - 2 y . entry i
//   if cost < best[i]: best[i] = cost, from[i] = label.
// planes: entry weights, (kTupleCols, 128); norms (128); y (4). With norms of |entry|^2 and |y|^2
// in base, that is a squared distance.
using ScanEntries = void (*)(const float* planes, const float* norms, uint32_t count,
                             const float* y, float base, int32_t label, float* best, int32_t* from);

// The same for 128 entries where each weight has two magnitudes to choose from, planes and planes +
// 4 * 128, and the cost is the sum over the weights of the smaller squared difference to y >= 0.
using ScanPairs = void (*)(const float* planes, const float* y, float base, int32_t label,
                           float* best, int32_t* from);

// A quadratic form of the difference e of two tuples as a sum of squares, the last weight first:
//   r[k] = e[k] + sum over j > k of (y's part that the r[j] bring, feed[j][k] r[j])
//   form = sum of weight[k] r[k]^2.
// So a sign or low bit of weight k is chosen best, given those after it, where it comes nearest to
// y[k] + sum of feed[j][k] r[j].
struct TupleForm {
  float weight[kTupleCols];
  float feed[kTupleCols][kTupleCols];
};

// Pairs in the order of `form`: the magnitude and the sign of each weight are those nearest to what
// those after it leave, and the cost is the form.
using ScanFormPairs = void (*)(const float* planes, const TupleForm& form, const float* y,
                               float base, int32_t label, float* best, int32_t* from);

struct WindowScan {
  ScanEntries entries;
  ScanPairs pairs;
  ScanFormPairs form_pairs;
};

// The loops for the active CPU target. Results differ between targets by rounding only.
const WindowScan& ActiveWindowScan();

}  // namespace ecq

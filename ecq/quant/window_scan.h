// The inner loop of the search for window codes, for each instruction set level.
#pragma once

#include <cstdint>

#include "ecq/portable/window.h"

namespace ecq {

// Entries are scanned by as many; every number of them is a multiple.
inline constexpr uint32_t kScanBatch = 16;

// Scans the entries of a table: for i in [0, count)
//   cost = base + |y - entry i|^2
//   if cost < best[i]: best[i] = cost, from[i] = label.
// planes: entry weights, (kTupleCols, 128); norms (128): |entry|^2; y (4).
using ScanEntries = void (*)(const float* planes, const float* norms, uint32_t count,
                             const float* y, float base, int32_t label, float* best, int32_t* from);

// The same for 128 entries where each weight has two magnitudes to choose from, planes and planes +
// 4 * 128, and the cost is the sum over the weights of the smaller squared difference to y >= 0.
using ScanPairs = void (*)(const float* planes, const float* y, float base, int32_t label,
                           float* best, int32_t* from);

struct WindowScan {
  ScanEntries entries;
  ScanPairs pairs;
};

// The loops for the active CPU target. Results differ between targets by rounding only.
const WindowScan& ActiveWindowScan();

}  // namespace ecq

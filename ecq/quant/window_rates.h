// Which rate of the window code each group of columns gets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ecq {

// Mean squared error of a table's codes on a unit Gaussian (rate: an index into kWindowRates).
double WindowDistortion(size_t rate, bool has_memory);

struct WindowRatePlan {
  std::vector<size_t> rates;  // of each group, falling
  double slope = 0;           // cost that one more bit in a row would save
};

// Shares out the bits of a row among groups of 32 columns so that the sum of values[g] *
// WindowDistortion(rate of g) is least (a Lagrangian over the menu of rates, whose curve is
// convex). values: cost of a squared error of 1 in all columns of a group, falling; finite, at
// least 0. row_bits: what the codes of a row may take; of less than the lowest rate needs, that is
// taken.
WindowRatePlan PlanWindowRates(std::span<const double> values, double row_bits, bool has_memory);

}  // namespace ecq

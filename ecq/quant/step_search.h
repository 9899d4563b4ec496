// Finds the step at which a quantizer meets a rate.
#pragma once

#include <functional>

#include "ecq/base/result.h"

namespace ecq {

struct StepSearchOptions {
  double first = 0;      // log2 of the step to try first
  double slope = -1;     // bits per weight by which the rate changes as the step doubles
  double tolerance = 0;  // bits per weight
  int max_evaluations = 12;
};

struct FoundStep {
  double log_step = 0;  // of the best step tried
  double excess = 0;    // bits per weight above the target there
  double slope = 0;     // between the last two steps tried
};

// The secant method in (log2 step, bits per weight): the rate of a fine uniform quantizer falls by
// one bit as the step doubles. excess_bits(log2 step): bits per weight above the target; its errors
// end the search. Stops within the tolerance, or with the best step found.
Result<FoundStep> FindStep(const StepSearchOptions& options,
                           const std::function<Result<double>(double)>& excess_bits);

// Where to start: log2 of the step, relative to its deviation, at which a Gaussian takes so many
// bits.
double GaussianLogStep(double bits);

}  // namespace ecq

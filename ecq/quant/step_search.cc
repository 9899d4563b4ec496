#include "ecq/quant/step_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ecq {

Result<FoundStep> FindStep(const StepSearchOptions& options,
                           const std::function<Result<double>(double)>& excess_bits) {
  constexpr double kFlattest = -0.1;
  constexpr double kSteepest = -2;
  constexpr double kLongestMove = 3;
  double log_step = options.first;
  double previous_step = 0;
  double previous_bits = 0;
  FoundStep best{log_step, std::numeric_limits<double>::infinity(), options.slope};
  for (int i = 0; i < options.max_evaluations; ++i) {
    ECQ_TRY(const double bits, excess_bits(log_step));
    if (i > 0 && log_step != previous_step) {
      best.slope =
          std::clamp((bits - previous_bits) / (log_step - previous_step), kSteepest, kFlattest);
    }
    if (std::abs(bits) < std::abs(best.excess)) {
      best.log_step = log_step;
      best.excess = bits;
    }
    if (std::abs(bits) <= options.tolerance) break;
    previous_step = log_step;
    previous_bits = bits;
    log_step -= std::clamp(bits / best.slope, -kLongestMove, kLongestMove);
  }
  return best;
}

double GaussianLogStep(double bits) {
  // log2 sqrt(2 pi e). No grid of int8 levels has use for a first guess beyond 16 bits.
  constexpr double kLogEntropyUnit = 2.05;
  return kLogEntropyUnit - std::clamp(bits, 0.0, 16.0);
}

}  // namespace ecq

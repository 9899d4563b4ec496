// The Lagrangian over the menu of rates.
#include "ecq/quant/window_rates.h"

#include <algorithm>
#include <cmath>

#include "ecq/portable/window.h"
#include "ecq/quant/window_tables.h"

namespace ecq {
namespace {

// As WindowRatesTest.DistortionsAreThoseOfTheTables measures them.
constexpr double kDistortion[2][kWindowRates.size()] = {
    {0.3416, 0.1846, 0.0968, 0.0501, 0.0263, 0.01417, 0.00742},
    {0.2950, 0.1551, 0.0788, 0.0410, 0.0221, 0.01145, 0.00591},
};

// A group goes from one rate to the next.
struct Step {
  double saving;  // for each bit of a row
  size_t group;
  size_t to;
};

double BitsOfGroup(size_t rate) { return kWindowGroupCols * kWindowRates[rate].bits(); }

}  // namespace

double WindowDistortion(size_t rate, bool has_memory) { return kDistortion[has_memory][rate]; }

WindowRatePlan PlanWindowRates(std::span<const double> values, double row_bits, bool has_memory) {
  std::vector<Step> steps;
  for (size_t g = 0; g < values.size(); ++g) {
    for (size_t to = 1; to < kWindowRates.size(); ++to) {
      const double saved = WindowDistortion(to - 1, has_memory) - WindowDistortion(to, has_memory);
      steps.push_back({values[g] * saved / (BitsOfGroup(to) - BitsOfGroup(to - 1)), g, to});
    }
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.saving > b.saving; });
  WindowRatePlan plan;
  plan.rates.assign(values.size(), 0);
  double left = row_bits - BitsOfGroup(0) * static_cast<double>(values.size());
  size_t taken = 0;
  while (taken < steps.size()) {
    const Step& step = steps[taken];
    left -= BitsOfGroup(step.to) - BitsOfGroup(step.to - 1);
    if (left < 0) break;
    plan.rates[step.group] = step.to;
    ++taken;
  }
  if (steps.empty()) return plan;
  const double next = taken < steps.size() ? steps[taken].saving : 0;
  while (taken > 1 && steps[taken - 1].saving <= 0) --taken;
  const double last = steps[taken > 0 ? taken - 1 : 0].saving;
  plan.slope = next > 0 ? std::sqrt(last * next) : last;
  return plan;
}

}  // namespace ecq

// The charts of an analysis.
#pragma once

#include <string_view>

#include "app/analyze/svg_chart.h"
#include "app/analyze/weight_analysis.h"

namespace ecq {

// Density of the weights in units of their matrix's standard deviation, with the Gaussian's.
Chart WeightChart(std::string_view title, const WeightAnalysis& analysis);
// Shares of ECQ's integers at the step WeightAnalysis::kLevelsStep.
Chart LevelChart(std::string_view title, const WeightAnalysis& analysis);
// Bits per weight against signal to noise: ECQ, the Gaussian bound, every grid as it is stored and
// losslessly coded.
Chart RateDistortionChart(std::string_view title, const WeightAnalysis& analysis);

}  // namespace ecq

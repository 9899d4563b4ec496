#include "app/analyze/analysis_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

namespace ecq {
namespace {

constexpr std::string_view kBarColour = "#56b4e9";
constexpr std::string_view kEcqColour = "#000000";
constexpr std::string_view kBoundColour = "#888888";
// A square shows behind a circle at the same place: both codes of a whole tensor.
constexpr ChartMark kGridMarks[] = {ChartMark::kSquare, ChartMark::kCircle, ChartMark::kDiamond,
                                    ChartMark::kUp, ChartMark::kDown};

std::string Titled(std::string_view what, std::string_view title) {
  return fmt::format("{}: {}", title, what);
}

}  // namespace

Chart WeightChart(std::string_view title, const WeightAnalysis& analysis) {
  constexpr double kWidth = WeightHistogram::kBinWidth;
  Chart chart;
  chart.title = Titled("distribution of the weights", title);
  chart.x = {"weight / standard deviation of its matrix", -WeightHistogram::kLimit,
             WeightHistogram::kLimit, 3};
  chart.y = {"density (per standard deviation)", 1e-7, 1, 1, true};
  chart.bar_width = kWidth;
  ChartSeries bars{"weights", kBarColour, ChartMark::kBars, false, {}};
  ChartSeries gaussian{"Gaussian", kEcqColour, ChartMark::kLine, false, {}};
  for (size_t i = 0; i < WeightHistogram::kNumBins; ++i) {
    const double x = -WeightHistogram::kLimit + kWidth * (static_cast<double>(i) + 0.5);
    const double share =
        static_cast<double>(analysis.histogram.counts[i]) / static_cast<double>(analysis.weights);
    bars.points.push_back({x, share / kWidth});
    gaussian.points.push_back({x, std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi)});
  }
  chart.series = {std::move(bars), std::move(gaussian)};
  chart.notes = {fmt::format("excess kurtosis {:.2f}", analysis.excess_kurtosis),
                 fmt::format("largest weight {:.1f} sd", analysis.max_over_sd),
                 "(means over all weights)", "outer bars: all beyond"};
  return chart;
}

Chart LevelChart(std::string_view title, const WeightAnalysis& analysis) {
  constexpr int32_t kShown = 16;
  Chart chart;
  chart.title = Titled("integers of ECQ", title);
  chart.x = {fmt::format("integer (step: {} rms)", WeightAnalysis::kLevelsStep), -kShown, kShown,
             4};
  ChartSeries bars{"share of the weights", kBarColour, ChartMark::kBars, false, {}};
  double largest = 0;
  double hidden = 100;
  const double total = static_cast<double>(analysis.weights);
  for (int32_t level = -kShown; level <= kShown; ++level) {
    const double share = 100 * static_cast<double>(analysis.levels[level]) / total;
    largest = std::max(largest, share);
    hidden -= share;
    bars.points.push_back({static_cast<double>(level), share});
  }
  chart.y = {"share of the weights (%)", 0, std::max(5.0, 5 * std::ceil(largest / 5)), 5};
  chart.bar_width = 0.8;
  chart.series = {std::move(bars)};
  const double entropy = analysis.levels.EntropyBits() / total;
  chart.notes = {fmt::format("entropy {:.2f} bits", entropy), "(of all matrices together)",
                 fmt::format("beyond {}: {:.3f} %", kShown, std::max(0.0, hidden))};
  return chart;
}

Chart RateDistortionChart(std::string_view title, const WeightAnalysis& analysis) {
  constexpr double kMaxBits = 5;
  Chart chart;
  chart.title = Titled("rate and distortion", title);
  chart.x = {"bits per weight (everything counted)", 0, kMaxBits, 1};
  double lowest = 0;
  for (const GridAnalysis& grid : analysis.grids) lowest = std::min(lowest, grid.snr_db);
  chart.y = {"quantization SNR (dB)", std::max(-20.0, 5 * std::floor(lowest / 5)), 30, 5};

  ChartSeries ecq{"ECQ", kEcqColour, ChartMark::kLine, false, {}};
  for (const RatePoint& point : analysis.curve) ecq.points.push_back({point.bits, point.snr_db});
  chart.series = {{"Gaussian bound",
                   kBoundColour,
                   ChartMark::kDashes,
                   false,
                   {{0, 0}, {kMaxBits, kMaxBits * kDbPerBit}}},
                  std::move(ecq)};
  for (size_t i = 0; i < analysis.grids.size(); ++i) {
    const GridAnalysis& grid = analysis.grids[i];
    const std::string_view colour = kChartColours[i % std::size(kChartColours)];
    const ChartMark mark = kGridMarks[i % std::size(kGridMarks)];
    const std::pair stored(grid.stored, grid.snr_db);
    const std::pair coded(grid.coded, grid.snr_db);
    chart.series.push_back({"", colour, ChartMark::kLine, false, {stored, coded}});
    chart.series.push_back({"", colour, mark, true, {stored}});
    chart.series.push_back({std::string(grid.grid), colour, mark, false, {coded}});
  }
  chart.notes = {"open: stored with a fixed width", "filled: losslessly coded",
                 "same height: same error", "(means over all weights)"};
  return chart;
}

}  // namespace ecq

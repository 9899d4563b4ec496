// What the weights of a matrix hold: moments, the entropy and error of every baseline grid, and the
// rate that ECQ needs for the same error. Links the quantizers with the codecs.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/codec/codec.h"
#include "ecq/quant/weight_view.h"

namespace ecq {

// One bit per weight is worth this much at a fine step.
inline constexpr double kDbPerBit = 6.020599913279624;  // 20 log10(2)

// The fewest bits per weight at which independent Gaussian weights can have this ratio.
inline double GaussianBoundBits(double snr_db) { return std::max(0.0, snr_db / kDbPerBit); }

// An error of zero counts as this signal-to-noise ratio.
inline constexpr double kExactSnrDb = 200;

// One fixed-width grid. All rates in bits per weight.
struct GridAnalysis {
  std::string_view grid;
  double entropy = 0;  // of the symbols, one histogram for each matrix
  double stored = 0;   // fixed width, with scales and biases
  double coded = 0;    // the same integers losslessly coded, with scales, tables and tile overhead
  double snr_db = 0;   // 10 log10(sum w^2 / sum (w - quantized w)^2)
  // ECQ at the same squared error, everything counted. For a matrix that the grid holds more finely
  // than ECQ's integers can: `coded`.
  double ecq = 0;
};

// ECQ at one step.
struct RatePoint {
  double relative_step = 0;  // in units of the rms
  double bits = 0;           // per weight, everything counted
  double snr_db = 0;
};

// How often weights fall into bins of their matrix's standard deviation, around its mean. The outer
// bins hold all beyond.
struct WeightHistogram {
  static constexpr double kBinWidth = 0.25;
  static constexpr double kLimit = 12;
  static constexpr size_t kNumBins = 96;

  std::array<uint64_t, kNumBins> counts{};

  void Add(double standardized);
};

// One matrix, or several merged: sums are sums, everything else is the mean over all weights (of a
// value of each matrix; decibels are averaged as such).
struct WeightAnalysis {
  uint64_t matrices = 0;
  uint64_t weights = 0;
  double excess_kurtosis = 0;
  double max_over_sd = 0;           // largest |w| over the standard deviation
  std::vector<GridAnalysis> grids;  // in the order of BaselineGrids()
  std::vector<RatePoint> curve;     // coarse to fine, the same steps for every matrix
  WeightHistogram histogram;
  Histogram levels;  // ECQ's integers at kLevelsStep, those beyond +-127 at the ends

  static constexpr double kLevelsStep = 0.25;

  void Merge(const WeightAnalysis& other);
};

// Pre: weights.size() > 0.
// Errors: kInvalidArgument for weights that are not finite.
Result<WeightAnalysis> AnalyzeWeights(WeightView weights, ThreadPool& pool);

}  // namespace ecq

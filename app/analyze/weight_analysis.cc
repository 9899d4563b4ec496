#include "app/analyze/weight_analysis.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/pack/pack.h"
#include "ecq/quant/baseline_grids.h"
#include "ecq/quant/uniform_quantizer.h"

namespace ecq {
namespace {

constexpr uint32_t kRowsPerTask = 64;
// log2 of the relative steps of a curve, from about 1.1 to 5 bits per weight. At 2^-3 the integers
// end at 16 rms, beyond which Chebyshev leaves 0.4 % of the weights: no matrix is refused.
constexpr double kCoarsestLogStep = 1;
constexpr double kFinestLogStep = -3;
constexpr double kLogStepDistance = 0.5;

// Calls fn(task, row_begin, row_end, worker) for pieces of the rows; returns the number of pieces.
template <typename F>
void ForRows(ThreadPool& pool, uint32_t rows, F&& fn) {
  pool.Run(DivideRoundUp(rows, kRowsPerTask), [&](size_t task, size_t worker) {
    const uint32_t begin = static_cast<uint32_t>(task) * kRowsPerTask;
    fn(task, begin, std::min(rows - begin, kRowsPerTask) + begin, worker);
  });
}

// Sums f(w) over all weights, in an order that does not depend on the number of threads.
template <typename F>
double SumOver(WeightView weights, ThreadPool& pool, F&& f) {
  std::vector<double> sums(DivideRoundUp(weights.rows, kRowsPerTask));
  ForRows(pool, weights.rows, [&](size_t task, uint32_t begin, uint32_t end, size_t) {
    double sum = 0;
    for (const float* w = weights.Row(begin); w != weights.Row(end); ++w) sum += f(double{*w});
    sums[task] = sum;
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

// Moments and histogram; returns the sum of squares.
double AnalyzeShape(WeightView weights, ThreadPool& pool, WeightAnalysis* out) {
  const double n = static_cast<double>(weights.size());
  const double mean = SumOver(weights, pool, [](double w) { return w; }) / n;
  const double variance =
      SumOver(weights, pool, [&](double w) { return (w - mean) * (w - mean); }) / n;
  const double energy = n * (variance + mean * mean);
  const double sd = std::sqrt(variance);
  if (!(sd > 0)) return energy;
  const double fourth = SumOver(weights, pool, [&](double w) {
    const double square = (w - mean) * (w - mean) / variance;
    return square * square;
  });
  out->excess_kurtosis = fourth / n - 3;

  std::vector<WeightHistogram> partial(pool.num_threads());
  std::vector<float> largest(pool.num_threads());
  ForRows(pool, weights.rows, [&](size_t, uint32_t begin, uint32_t end, size_t worker) {
    for (const float* w = weights.Row(begin); w != weights.Row(end); ++w) {
      largest[worker] = std::max(largest[worker], std::abs(*w));
      partial[worker].Add((*w - mean) / sd);
    }
  });
  out->max_over_sd = *std::max_element(largest.begin(), largest.end()) / sd;
  for (const WeightHistogram& part : partial) {
    for (size_t i = 0; i < part.counts.size(); ++i) out->histogram.counts[i] += part.counts[i];
  }
  return energy;
}

// What one quantized matrix costs and loses.
struct Measurement {
  Histogram histogram;
  double coded_bits = 0;  // per weight
  double snr_db = 0;
};

Measurement Measure(WeightView weights, double energy, const QuantizedTensor& quantized,
                    ThreadPool& pool) {
  Measurement out;
  // Four sums and histograms side by side: neighbours would wait for each other.
  std::vector<std::array<Histogram, 4>> histograms(pool.num_threads());
  std::vector<double> errors(DivideRoundUp(weights.rows, kRowsPerTask));
  ForRows(pool, weights.rows, [&](size_t task, uint32_t begin, uint32_t end, size_t worker) {
    std::vector<float> row(weights.cols);
    std::array<double, 4> error{};
    for (uint32_t r = begin; r < end; ++r) {
      quantized.DequantizeRow(r, row.data());
      const float* const w = weights.Row(r);
      const int8_t* const levels = quantized.levels.data() + size_t{r} * weights.cols;
      for (uint32_t c = 0; c < weights.cols; ++c) {
        const double difference = double{w[c]} - row[c];
        error[c % 4] += difference * difference;
        ++histograms[worker][c % 4][levels[c]];
      }
    }
    errors[task] = error[0] + error[1] + error[2] + error[3];
  });
  double error = 0;
  for (const double e : errors) error += e;
  for (const auto& parts : histograms) {
    for (const Histogram& part : parts) {
      for (size_t i = 0; i < part.counts.size(); ++i) out.histogram.counts[i] += part.counts[i];
    }
  }
  const uint64_t scale_bytes =
      sizeof(uint16_t) * (quantized.scales.size() + quantized.biases.size());
  const uint64_t bytes =
      EstimatePackedBytes(out.histogram, weights.rows, weights.cols, scale_bytes, {CodecId::kRans}) +
      quantized.fixes.size() * (kStoredFixBits / 8);
  out.coded_bits = 8.0 * static_cast<double>(bytes) / static_cast<double>(weights.size());
  out.snr_db = error > 0 ? std::min(kExactSnrDb, 10 * std::log10(energy / error)) : kExactSnrDb;
  return out;
}

// ECQ's rate and error as functions of the step, each step measured once.
class EcqCurve {
 public:
  EcqCurve(WeightView weights, double energy, const UniformQuantizer& quantizer, ThreadPool& pool)
      : weights_(weights), energy_(energy), quantizer_(quantizer), pool_(pool) {}

  // Nothing if the integers do not reach that far.
  std::optional<Measurement> At(double log_step) {
    const auto known = measured_.find(log_step);
    if (known != measured_.end()) return known->second;
    const auto quantized = quantizer_.Quantize(std::exp2(log_step), pool_);
    if (!quantized.ok()) return std::nullopt;
    return measured_.emplace(log_step, Measure(weights_, energy_, *quantized, pool_)).first->second;
  }

  // Bits per weight for this signal-to-noise ratio; nothing if the integers do not reach it.
  // Pre: some steps have been measured.
  std::optional<double> BitsFor(double snr_db) {
    constexpr int kMaxSteps = 10;
    constexpr double kTolerance = 0.05;  // dB; what is left is worth 0.01 bit and accounted for
    std::optional<Measurement> best;
    for (int i = 0; i < kMaxSteps; ++i) {
      const double log_step = Guess(snr_db);
      const std::optional<Measurement> m = At(log_step);
      if (!m) return std::nullopt;
      if (!best || std::abs(m->snr_db - snr_db) < std::abs(best->snr_db - snr_db)) best = m;
      if (std::abs(best->snr_db - snr_db) < kTolerance) break;
      if (log_step == kZeroLogStep && m->snr_db > snr_db) return m->coded_bits;
    }
    return best->coded_bits + (snr_db - best->snr_db) / kDbPerBit;
  }

 private:
  // Here all but outliers of 128 rms are zero; no coarser step is of use.
  static constexpr double kZeroLogStep = 8;

  // The step for this ratio: between the two measured ones around it, else along the line that a
  // fine step follows.
  double Guess(double snr_db) const {
    auto finer = measured_.end();
    auto coarser = measured_.end();
    for (auto it = measured_.begin(); it != measured_.end(); ++it) {
      if (it->second.snr_db > snr_db) finer = it;
      if (it->second.snr_db <= snr_db && coarser == measured_.end()) coarser = it;
    }
    if (finer != measured_.end() && coarser != measured_.end()) {
      const double share =
          (finer->second.snr_db - snr_db) / (finer->second.snr_db - coarser->second.snr_db);
      return finer->first + share * (coarser->first - finer->first);
    }
    const auto& end = finer == measured_.end() ? *measured_.begin() : *measured_.rbegin();
    const double octaves = (end.second.snr_db - snr_db) / kDbPerBit;
    // Near zero rate the ratio falls ever more slowly: take long steps.
    return std::min(kZeroLogStep, end.first + (octaves > 0 ? std::max(1.0, octaves) : octaves));
  }

  WeightView weights_;
  double energy_;
  const UniformQuantizer& quantizer_;
  ThreadPool& pool_;
  std::map<double, Measurement> measured_;  // by log2 of the relative step
};

GridAnalysis AnalyzeGrid(const BaselineGrid& grid, WeightView weights, double energy,
                         EcqCurve& curve, ThreadPool& pool) {
  const QuantizedTensor quantized = grid.quantize(weights, pool);
  const Measurement measured = Measure(weights, energy, quantized, pool);
  const double n = static_cast<double>(weights.size());
  const double scale_bits =
      16.0 * static_cast<double>(quantized.scales.size() + quantized.biases.size());
  GridAnalysis out;
  out.grid = grid.name;
  out.entropy = measured.histogram.EntropyBits() / n;
  out.stored = grid.bits + scale_bits / n;
  out.coded = measured.coded_bits;
  out.snr_db = measured.snr_db;
  out.ecq = curve.BitsFor(out.snr_db).value_or(out.coded);
  return out;
}

}  // namespace

void WeightHistogram::Add(double standardized) {
  const double bin = std::floor((standardized + kLimit) / kBinWidth);
  ++counts[static_cast<size_t>(std::clamp(bin, 0.0, double{kNumBins - 1}))];
}

void WeightAnalysis::Merge(const WeightAnalysis& other) {
  if (weights == 0) {
    *this = other;
    return;
  }
  const double share =
      static_cast<double>(other.weights) / static_cast<double>(weights + other.weights);
  const auto mix = [share](double& mean, double value) { mean += share * (value - mean); };
  mix(excess_kurtosis, other.excess_kurtosis);
  mix(max_over_sd, other.max_over_sd);
  for (size_t i = 0; i < grids.size(); ++i) {
    mix(grids[i].entropy, other.grids[i].entropy);
    mix(grids[i].stored, other.grids[i].stored);
    mix(grids[i].coded, other.grids[i].coded);
    mix(grids[i].snr_db, other.grids[i].snr_db);
    mix(grids[i].ecq, other.grids[i].ecq);
  }
  for (size_t i = 0; i < curve.size(); ++i) {
    mix(curve[i].bits, other.curve[i].bits);
    mix(curve[i].snr_db, other.curve[i].snr_db);
  }
  for (size_t i = 0; i < histogram.counts.size(); ++i) {
    histogram.counts[i] += other.histogram.counts[i];
  }
  for (size_t i = 0; i < levels.counts.size(); ++i) levels.counts[i] += other.levels.counts[i];
  matrices += other.matrices;
  weights += other.weights;
}

Result<WeightAnalysis> AnalyzeWeights(WeightView weights, ThreadPool& pool) {
  ECQ_TRY(const UniformQuantizer quantizer, UniformQuantizer::Create(weights, pool));
  WeightAnalysis out;
  out.matrices = 1;
  out.weights = weights.size();
  const double energy = AnalyzeShape(weights, pool, &out);

  EcqCurve curve(weights, energy, quantizer, pool);
  for (double log_step = kCoarsestLogStep; log_step >= kFinestLogStep;
       log_step -= kLogStepDistance) {
    const std::optional<Measurement> m = curve.At(log_step);
    if (!m) return Error{ErrorCode::kInternal, "a coarse step was refused; please report this"};
    const double step = std::exp2(log_step);
    out.curve.push_back({step, m->coded_bits, m->snr_db});
    if (step == WeightAnalysis::kLevelsStep) out.levels = m->histogram;
  }
  for (const BaselineGrid& grid : BaselineGrids()) {
    out.grids.push_back(AnalyzeGrid(grid, weights, energy, curve, pool));
  }
  return out;
}

}  // namespace ecq

#include "ecq/quant/uniform_quantizer.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/quant/half_scales.h"
#include "ecq/quant/row_rms.h"
#include "ecq/quant/step_search.h"

namespace ecq {
namespace {

constexpr uint32_t kRowsPerTask = 64;
constexpr double kMaxFixShare = 0.01;
constexpr int32_t kMinCount = -128;
// Rows with a smaller step count as zero: half scales do not reach it, and its reciprocal may
// overflow.
constexpr float kSmallestStep = 0x1p-100f;

// Calls fn(row_begin, row_end, worker) for pieces of the rows.
template <typename F>
void ForRows(ThreadPool& pool, uint32_t rows, F&& fn) {
  pool.Run(DivideRoundUp(rows, kRowsPerTask), [&](size_t task, size_t worker) {
    const uint32_t begin = static_cast<uint32_t>(task) * kRowsPerTask;
    fn(begin, std::min(rows, begin + kRowsPerTask), worker);
  });
}

// round(w / step) clamped to +-kMaxLevel, ties to even. Adding 1.5 * 2^23 leaves the rounded
// integer in the low mantissa bits: no call, no branch, so the loop vectorizes.
inline int8_t RoundToLevel(float w, float inverse_step) {
  constexpr float kMagic = 0x1.8p23f;
  constexpr float kLimit = UniformQuantizer::kMaxLevel;
  const float scaled = std::min(kLimit, std::max(-kLimit, w * inverse_step));
  return static_cast<int8_t>(static_cast<int32_t>((scaled + kMagic) - kMagic));
}

void RoundRow(const float* w, uint32_t cols, float step, int8_t* levels) {
  const float inverse_step = step >= kSmallestStep ? 1.0f / step : 0.0f;
  for (uint32_t c = 0; c < cols; ++c) levels[c] = RoundToLevel(w[c], inverse_step);
}

// Four histograms side by side: neighbouring equal levels would wait for each other's store.
void CountRow(const int8_t* levels, uint32_t cols, std::array<LevelCounts, 4>& counts) {
  for (uint32_t c = 0; c < cols; ++c) ++counts[c % 4][static_cast<size_t>(levels[c] - kMinCount)];
}

struct ScaleSums {
  double weight_level = 0;
  double level_level = 0;

  void Add(double w, double level) {
    weight_level += w * level;
    level_level += level * level;
  }
  double Gain() const { return level_level > 0 ? weight_level / level_level : 0.0; }
};

struct RowPiece {
  std::vector<Fix> fixes;
  ScaleSums sums;
};

}  // namespace

UniformQuantizer::UniformQuantizer(WeightView weights, std::vector<float> row_rms)
    : weights_(weights), row_rms_(std::move(row_rms)) {
  double square_sum = 0;
  double inverse_sum = 0;
  double log_sum = 0;
  uint32_t live_rows = 0;
  for (const float rms : row_rms_) {
    const double square = double{rms} * rms;
    square_sum += square;
    if (rms == 0) continue;
    ++live_rows;
    inverse_sum += 1 / square;
    log_sum += std::log2(square);
  }
  rms_ = static_cast<float>(std::sqrt(square_sum / weights_.rows));
  const double saved_bits =
      live_rows == 0 ? 0 : 0.5 * (std::log2(inverse_sum / live_rows) + log_sum / live_rows);
  constexpr double kBitsPerScale = 16;
  scale_kind_ = saved_bits > kBitsPerScale / weights_.cols ? ScaleKind::kRow : ScaleKind::kTensor;
}

Result<UniformQuantizer> UniformQuantizer::Create(WeightView weights, ThreadPool& pool) {
  ECQ_TRY(std::vector<float> row_rms, RowRms(weights, pool));
  return UniformQuantizer(weights, std::move(row_rms));
}

uint64_t UniformQuantizer::scale_bytes() const {
  return sizeof(uint16_t) * (scale_kind_ == ScaleKind::kRow ? weights_.rows : 1);
}

float UniformQuantizer::StepOfRow(uint32_t row, double relative_step) const {
  return static_cast<float>(relative_step *
                            (scale_kind_ == ScaleKind::kRow ? row_rms_[row] : rms_));
}

LevelCounts UniformQuantizer::CountLevels(double relative_step, uint64_t max_weights,
                                          ThreadPool& pool) const {
  const uint64_t wanted_rows = std::max<uint64_t>(1, max_weights / weights_.cols);
  const uint32_t stride = static_cast<uint32_t>(std::max<uint64_t>(1, weights_.rows / wanted_rows));
  const uint32_t rows = static_cast<uint32_t>(DivideRoundUp(weights_.rows, stride));
  std::vector<std::array<LevelCounts, 4>> counts(pool.num_threads());
  ForRows(pool, rows, [&](uint32_t begin, uint32_t end, size_t worker) {
    std::vector<int8_t> levels(weights_.cols);
    for (uint32_t i = begin; i < end; ++i) {
      const uint32_t row = i * stride;
      RoundRow(weights_.Row(row), weights_.cols, StepOfRow(row, relative_step), levels.data());
      CountRow(levels.data(), weights_.cols, counts[worker]);
    }
  });
  LevelCounts total{};
  for (const auto& worker : counts) {
    for (const LevelCounts& part : worker) {
      for (size_t i = 0; i < total.size(); ++i) total[i] += part[i];
    }
  }
  const double scale = static_cast<double>(weights_.rows) / rows;
  for (uint64_t& count : total) {
    count = static_cast<uint64_t>(std::llround(static_cast<double>(count) * scale));
  }
  return total;
}

Result<QuantizedTensor> UniformQuantizer::Quantize(double relative_step, ThreadPool& pool) const {
  QuantizedTensor out;
  out.rows = weights_.rows;
  out.cols = weights_.cols;
  out.grid = "ecq";
  out.scale_kind = scale_kind_;
  out.levels.resize(weights_.size());
  std::vector<double> row_gains(weights_.rows);
  std::vector<RowPiece> pieces(DivideRoundUp(weights_.rows, kRowsPerTask));

  ForRows(pool, weights_.rows, [&](uint32_t begin, uint32_t end, size_t) {
    RowPiece& piece = pieces[begin / kRowsPerTask];
    for (uint32_t r = begin; r < end; ++r) {
      const float* const w = weights_.Row(r);
      int8_t* const levels = out.levels.data() + size_t{r} * weights_.cols;
      const float step = StepOfRow(r, relative_step);
      RoundRow(w, weights_.cols, step, levels);
      ScaleSums sums;
      for (uint32_t c = 0; c < weights_.cols; ++c) {
        double integer = levels[c];
        if (std::abs(levels[c]) == kMaxLevel) {
          constexpr double kLargest = Fix::kMaxDelta;
          integer = std::clamp(std::nearbyint(double{w[c]} / step), -kLargest, kLargest);
          const int32_t delta = static_cast<int32_t>(integer) - levels[c];
          if (delta != 0) piece.fixes.push_back({r, c, delta});
        }
        sums.Add(w[c], integer);
      }
      row_gains[r] = sums.Gain();
      piece.sums.weight_level += sums.weight_level;
      piece.sums.level_level += sums.level_level;
    }
  });

  ScaleSums all;
  for (const RowPiece& piece : pieces) {
    out.fixes.insert(out.fixes.end(), piece.fixes.begin(), piece.fixes.end());
    all.weight_level += piece.sums.weight_level;
    all.level_level += piece.sums.level_level;
  }
  if (static_cast<double>(out.fixes.size()) > kMaxFixShare * static_cast<double>(weights_.size())) {
    return Error{ErrorCode::kInvalidArgument,
                 "at this rate " + std::to_string(out.fixes.size()) + " of " +
                     std::to_string(weights_.size()) +
                     " integers exceed 127; ask for fewer bits per weight (at most about 7)"};
  }
  StoreHalfScales(scale_kind_ == ScaleKind::kRow ? row_gains : std::vector<double>{all.Gain()},
                  &out);
  return out;
}

double FindRelativeStep(const UniformQuantizer& quantizer, uint64_t num_weights,
                        double target_bytes, const ByteEstimate& estimate, ThreadPool& pool) {
  constexpr double kTolerance = 0.0005;
  constexpr uint64_t kSampleWeights = 1 << 20;
  const double bits_per_byte = 8.0 / static_cast<double>(num_weights);
  const double target_bits = target_bytes * bits_per_byte;
  StepSearchOptions search;
  search.first = GaussianLogStep(target_bits);
  search.tolerance = kTolerance * target_bits;
  const auto excess_bits = [&](double log_step) -> Result<double> {
    const LevelCounts counts = quantizer.CountLevels(std::exp2(log_step), kSampleWeights, pool);
    return (estimate(counts) - target_bytes) * bits_per_byte;
  };
  return std::exp2(FindStep(search, excess_bits).value().log_step);
}

}  // namespace ecq

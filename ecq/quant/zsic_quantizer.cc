#include "ecq/quant/zsic_quantizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/base/half.h"
#include "ecq/quant/column_classes.h"
#include "ecq/quant/half_scales.h"
#include "ecq/quant/row_rms.h"
#include "ecq/quant/step_search.h"

namespace ecq {
namespace {

constexpr double kMaxFixShare = 0.01;
constexpr uint32_t kMinSampleRows = 64;
constexpr uint32_t kSampleShare = 10;
constexpr int32_t kMaxScaleExponent = 64;  // what a file holds
constexpr uint16_t kSmallestNormalHalf = 0x0400;
constexpr uint16_t kLargestHalf = 0x7bff;
constexpr double kHalfBits = 16;
constexpr double kFixBits = 8.0 * sizeof(Fix);

// Sums over the rows of a column, in an order that vector units can keep.
struct GainSums {
  static constexpr uint32_t kLanes = 8;
  std::array<double, kLanes> target_integer{};
  std::array<double, kLanes> integer_integer{};

  void Add(uint32_t lane, float target, float integer) {
    target_integer[lane] += double{target} * integer;
    integer_integer[lane] += double{integer} * integer;
  }
};

double Sum(const std::array<double, GainSums::kLanes>& lanes) {
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

// Rounds the targets of a column to multiples of its step. Everything is kept by column of W, not
// by position.
class ScalarCoder : public ColumnCoder {
 public:
  // row_exponent: of the scales of rows.
  ScalarCoder(uint32_t rows, const InputFactor& factor, double step, bool gain,
              int32_t row_exponent)
      : factor_(factor),
        rows_(rows),
        step_(step),
        gain_(gain),
        shift_(ChooseShift(factor, step, row_exponent)),
        levels_(size_t{rows} * factor.cols()),
        col_scales_(factor.cols()),
        integers_(rows) {}

  void Code(uint32_t begin, uint32_t, const float* targets, float* coded) override {
    const uint32_t column = factor_.ColumnAt(begin);
    const uint16_t half = std::max(kSmallestNormalHalf, ToHalf(step_ / factor_.Diagonal(begin)));
    const float unit = Unscaled(half);
    const double best_gain = Round(targets, unit);
    col_scales_[column] = gain_ ? ToHalf(best_gain * unit) : half;
    const float scale = Unscaled(col_scales_[column]);
    for (uint32_t r = 0; r < rows_; ++r) coded[r] = scale * integers_[r];
    StoreLevels(column);
  }

  // Column scales are stored times 2^shift.
  int32_t shift() const { return shift_; }
  const std::vector<int8_t>& levels() const { return levels_; }  // (K, N)
  const std::vector<uint16_t>& col_scales() const { return col_scales_; }
  const std::vector<Fix>& fixes() const { return fixes_; }  // in the order of coding

 private:
  // The largest step then lies in [1, 2), which activations times steps like best; with more, up to
  // 2^12, as far as the smallest one needs it to be a normal binary16 number.
  static int32_t ChooseShift(const InputFactor& factor, double step, int32_t row_exponent) {
    double smallest = factor.Diagonal(0);
    double largest = smallest;
    for (uint32_t i = 1; i < factor.cols(); ++i) {
      smallest = std::min(smallest, factor.Diagonal(i));
      largest = std::max(largest, factor.Diagonal(i));
    }
    constexpr int32_t kLowestOrder = -13;
    constexpr int32_t kMostMore = 12;
    const int32_t shift = -std::ilogb(step / smallest);
    const int32_t lowest = std::ilogb(step / largest) + shift;
    return std::clamp(shift + std::clamp(kLowestOrder - lowest, 0, kMostMore),
                      row_exponent - kMaxScaleExponent, row_exponent + kMaxScaleExponent);
  }

  uint16_t ToHalf(double value) const {
    return std::clamp(FloatToHalf(static_cast<float>(std::ldexp(value, shift_))),
                      kSmallestNormalHalf, kLargestHalf);
  }
  float Unscaled(uint16_t half) const { return std::ldexp(HalfToFloat(half), -shift_); }

  // Sets integers_ to the nearest ones and returns the gain by which they fit best. Adding
  // 1.5 * 2^23 leaves the rounded integer in the low mantissa bits: no call, so the loop
  // vectorizes.
  double Round(const float* targets, float unit) {
    constexpr float kMagic = 0x1.8p23f;
    constexpr float kLimit = ZsicQuantizer::kMaxInteger;
    const float inverse = 1.0f / unit;
    for (uint32_t r = 0; r < rows_; ++r) {
      const float scaled = std::min(kLimit, std::max(-kLimit, targets[r] * inverse));
      integers_[r] = (scaled + kMagic) - kMagic;
    }
    GainSums sums;
    uint32_t r = 0;
    for (; r + GainSums::kLanes <= rows_; r += GainSums::kLanes) {
      for (uint32_t i = 0; i < GainSums::kLanes; ++i) {
        sums.Add(i, targets[r + i], integers_[r + i]);
      }
    }
    for (; r < rows_; ++r) sums.Add(r % GainSums::kLanes, targets[r], integers_[r]);
    const double square = Sum(sums.integer_integer);
    return square > 0 ? Sum(sums.target_integer) / (square * unit) : 1.0;
  }

  void StoreLevels(uint32_t column) {
    constexpr float kLimit = ZsicQuantizer::kMaxLevel;
    int8_t* const levels = levels_.data() + size_t{column} * rows_;
    float largest = 0;
    for (uint32_t r = 0; r < rows_; ++r) {
      largest = std::max(largest, std::abs(integers_[r]));
      levels[r] = static_cast<int8_t>(
          static_cast<int32_t>(std::min(kLimit, std::max(-kLimit, integers_[r]))));
    }
    if (largest <= kLimit) return;
    for (uint32_t r = 0; r < rows_; ++r) {
      const int32_t delta = static_cast<int32_t>(integers_[r]) - levels[r];
      if (delta != 0) fixes_.push_back({r, column, delta});
    }
  }

  const InputFactor& factor_;
  const uint32_t rows_;
  const double step_;
  const bool gain_;
  const int32_t shift_;
  std::vector<int8_t> levels_;
  std::vector<uint16_t> col_scales_;
  std::vector<Fix> fixes_;
  std::vector<float> integers_;  // of the column at work
};

// Gives the tensor its columns, class by class.
void PlaceColumns(const ScalarCoder& coder, ColumnClasses classes, ThreadPool& pool,
                  QuantizedTensor* out) {
  const uint32_t rows = out->rows;
  const uint32_t cols = out->cols;
  std::vector<uint32_t> place(cols);  // of each column
  for (uint32_t c = 0; c < cols; ++c) {
    const uint32_t column = classes.order.empty() ? c : classes.order[c];
    place[column] = c;
    out->col_scales.push_back(coder.col_scales()[column]);
  }
  for (const Fix& fix : coder.fixes()) out->fixes.push_back({fix.row, place[fix.col], fix.delta});
  std::sort(out->fixes.begin(), out->fixes.end(), [](const Fix& a, const Fix& b) {
    return std::tie(a.row, a.col) < std::tie(b.row, b.col);
  });

  constexpr uint32_t kRowsPerTask = 64;
  out->levels.resize(size_t{rows} * cols);
  pool.Run(DivideRoundUp(rows, kRowsPerTask), [&](size_t task, size_t) {
    const uint32_t begin = static_cast<uint32_t>(task) * kRowsPerTask;
    const uint32_t end = std::min(rows, begin + kRowsPerTask);
    for (uint32_t c = 0; c < cols; ++c) {
      const uint32_t column = classes.order.empty() ? c : classes.order[c];
      const int8_t* const from = coder.levels().data() + size_t{column} * rows;
      for (uint32_t r = begin; r < end; ++r) out->levels[size_t{r} * cols + c] = from[r];
    }
  });
  out->col_order = std::move(classes.order);
  out->span_ends = std::move(classes.span_ends);
}

}  // namespace

ZsicQuantizer::ZsicQuantizer(WeightView weights, const InputFactor& factor,
                             const ZsicOptions& options)
    : weights_(weights), factor_(&factor), options_(options) {}

Result<ZsicQuantizer> ZsicQuantizer::Create(WeightView weights, const InputFactor& factor,
                                            const ZsicOptions& options, ThreadPool& pool) {
  ECQ_TRY(const std::vector<float> row_rms, RowRms(weights, pool));
  ZsicQuantizer quantizer(weights, factor, options);
  quantizer.SetRowScales(row_rms);
  quantizer.TakeSample();
  return quantizer;
}

void ZsicQuantizer::SetRowScales(const std::vector<float>& row_rms) {
  QuantizedTensor rounded;
  StoreHalfScales({row_rms.begin(), row_rms.end()}, &rounded);
  scale_exponent_ = rounded.scale_exponent;
  row_scales_ = std::move(rounded.scales);
  for (const uint16_t half : row_scales_) {
    row_units_.push_back(std::ldexp(HalfToFloat(half), scale_exponent_));
  }
}

void ZsicQuantizer::TakeSample() {
  sample_rows_ = std::min(weights_.rows, std::max(kMinSampleRows, weights_.rows / kSampleShare));
  for (uint32_t i = 0; i < sample_rows_; ++i) {
    const uint32_t row = static_cast<uint32_t>(uint64_t{i} * weights_.rows / sample_rows_);
    sample_.insert(sample_.end(), weights_.Row(row), weights_.Row(row) + weights_.cols);
    sample_units_.push_back(row_units_[row]);
  }
}

Result<ZsicQuantizer::Output> ZsicQuantizer::Quantize(double step, ThreadPool& pool) const {
  ScalarCoder coder(weights_.rows, *factor_, step, options_.gain, scale_exponent_);
  Output output;
  output.error = CodeSuccessively(weights_, row_units_, *factor_, 1, coder, pool) /
                 static_cast<double>(weights_.size());
  const size_t num_fixes = coder.fixes().size();
  if (static_cast<double>(num_fixes) > kMaxFixShare * static_cast<double>(weights_.size())) {
    return Error{ErrorCode::kInvalidArgument,
                 "at this rate " + std::to_string(num_fixes) + " of " +
                     std::to_string(weights_.size()) +
                     " integers exceed 127; ask for fewer bits per weight (at most about 7)"};
  }
  QuantizedTensor& tensor = output.tensor;
  tensor.rows = weights_.rows;
  tensor.cols = weights_.cols;
  tensor.grid = "ecq";
  tensor.scale_kind = ScaleKind::kRow;
  tensor.scales = row_scales_;
  tensor.scale_exponent = scale_exponent_ - coder.shift();
  PlaceColumns(coder, ClassifyColumns(coder.levels(), weights_.rows, 1, options_.max_classes, pool),
               pool, &tensor);
  return output;
}

double ZsicQuantizer::EstimateBits(double step, ThreadPool& pool) const {
  ScalarCoder coder(sample_rows_, *factor_, step, options_.gain, scale_exponent_);
  const WeightView sample{sample_.data(), sample_rows_, weights_.cols};
  CodeSuccessively(sample, sample_units_, *factor_, 1, coder, pool);
  const double row_weight = static_cast<double>(weights_.rows) / sample_rows_;
  const ColumnClasses classes =
      ClassifyColumns(coder.levels(), sample_rows_, row_weight, options_.max_classes, pool);
  const double fixes = row_weight * static_cast<double>(coder.fixes().size());
  return (classes.bits + kFixBits * fixes) / static_cast<double>(weights_.size()) +
         kHalfBits / weights_.rows + kHalfBits / weights_.cols;
}

Result<ZsicQuantizer::Found> ZsicQuantizer::FindStep(double target_bytes,
                                                     const TensorBytes& bytes_of,
                                                     ThreadPool& pool) const {
  const double bits_per_byte = 8.0 / static_cast<double>(weights_.size());
  const double target_bits = target_bytes * bits_per_byte;
  StepSearchOptions search;
  search.first = GaussianLogStep(target_bits);
  search.tolerance = 0.01;
  const auto estimate = [&](double log_step) -> Result<double> {
    return EstimateBits(std::exp2(log_step), pool) - target_bits;
  };
  ECQ_TRY(const FoundStep estimated, ecq::FindStep(search, estimate));

  search.first = estimated.log_step;
  search.slope = estimated.slope;
  search.tolerance = 0.005;
  search.max_evaluations = 6;
  std::optional<Found> best;
  const auto measure = [&](double log_step) -> Result<double> {
    Found found;
    found.step = std::exp2(log_step);
    ECQ_TRY(found.output, Quantize(found.step, pool));
    ECQ_TRY(found.bytes, bytes_of(found.output.tensor));
    const double excess = found.bytes - target_bytes;
    if (!best || std::abs(excess) < std::abs(best->bytes - target_bytes)) best = std::move(found);
    return excess * bits_per_byte;
  };
  ECQ_RETURN_IF_ERROR(ecq::FindStep(search, measure));
  return *std::move(best);
}

}  // namespace ecq

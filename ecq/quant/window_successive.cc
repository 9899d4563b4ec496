// Scales, classes of columns and the budget of a matrix; then the successive loop.
#include "ecq/quant/window_successive.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "ecq/base/bytes.h"
#include "ecq/portable/window.h"
#include "ecq/quant/half_scales.h"
#include "ecq/quant/row_rms.h"
#include "ecq/quant/window_column_coder.h"
#include "ecq/quant/window_quantizer.h"
#include "ecq/quant/window_rates.h"
#include "ecq/quant/window_tables.h"

namespace ecq {
namespace {

constexpr uint32_t kColsPerTask = 64;
constexpr uint32_t kRowsPerTask = 16;
// What a matrix takes beside its codes.
constexpr double kScaleBits = 16;  // of a row, of a column
constexpr double kClassBits = 4;   // of a column
// A tile has a word of index; it holds 32 rows, more where they have fewer than 2048 columns.
constexpr double kIndexBits = 1;  // of a row
constexpr double kIndexCols = 2048;
constexpr double kRoundingBits = 320;  // ends of index and tiles, alignment
// Column scales lie around 1, no further above it than this: binary16 holds less than 2^16, and
// feedback can make targets larger than weights.
constexpr float kLargestColumn = 0x1p12f;

// Fixes are counted in a sample of the rows: at least as many, else one in kSampleStride.
constexpr uint32_t kSampleRows = 128;
constexpr uint32_t kSampleStride = 8;
// Of the fixes that a code without memory wants, what one with memory wants.
constexpr double kMemoryShare = 0.8;
// Most of the bits of a matrix that are taken from its codes for fixes.
constexpr double kFixShare = 1.0 / 16;

// Sizes of rows and columns: weight = row[r] * column[c] * something like a unit Gaussian.
struct Sizes {
  std::vector<float> rows;
  std::vector<float> columns;  // median 1
};

// The rms of each column of W divided by the row sizes, without outliers; rows of size 0 left out.
std::vector<float> ColumnRms(WeightView weights, const std::vector<float>& rows, ThreadPool& pool) {
  std::vector<float> inverse(rows.size());
  uint32_t live = 0;
  for (uint32_t r = 0; r < weights.rows; ++r) {
    if (rows[r] < kSmallestRms) continue;
    inverse[live++] = 1 / rows[r];
  }
  std::vector<float> rms(weights.cols);
  if (live == 0) return rms;
  pool.Run(DivideRoundUp(weights.cols, kColsPerTask), [&](size_t task, size_t) {
    const uint32_t begin = static_cast<uint32_t>(task) * kColsPerTask;
    const uint32_t cols = std::min(kColsPerTask, weights.cols - begin);
    std::vector<float> columns(size_t{cols} * live);
    uint32_t kept = 0;
    for (uint32_t r = 0; r < weights.rows; ++r) {
      if (rows[r] < kSmallestRms) continue;
      const float* const w = weights.Row(r) + begin;
      for (uint32_t c = 0; c < cols; ++c) columns[size_t{c} * live + kept] = w[c] * inverse[kept];
      ++kept;
    }
    for (uint32_t c = 0; c < cols; ++c) {
      const float* const column = columns.data() + size_t{c} * live;
      double sum = 0;
      for (uint32_t r = 0; r < live; ++r) sum += double{column[r]} * column[r];
      rms[begin + c] = TrimmedRms(column, live, static_cast<float>(std::sqrt(sum / live)));
    }
  });
  return rms;
}

float MedianOfPositive(std::vector<float> values) {
  std::erase_if(values, [](float value) { return value <= 0; });
  if (values.empty()) return 1;
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

Result<Sizes> MeasureSizes(WeightView weights, ThreadPool& pool) {
  ECQ_TRY(std::vector<float> rows, RowRms(weights, pool));
  pool.Run(weights.rows, [&](size_t r, size_t) {
    rows[r] = TrimmedRms(weights.Row(static_cast<uint32_t>(r)), weights.cols, rows[r]);
  });
  std::vector<float> columns = ColumnRms(weights, rows, pool);
  const float largest = *std::max_element(columns.begin(), columns.end());
  const float unit = std::max(MedianOfPositive(columns), largest / kLargestColumn);
  for (float& column : columns) column /= unit;
  pool.Run(DivideRoundUp(weights.rows, kRowsPerTask), [&](size_t task, size_t) {
    std::vector<float> row(weights.cols);
    const uint32_t begin = static_cast<uint32_t>(task) * kRowsPerTask;
    for (uint32_t r = begin; r < std::min(weights.rows, begin + kRowsPerTask); ++r) {
      double sum = 0;
      for (uint32_t c = 0; c < weights.cols; ++c) {
        row[c] = columns[c] > 0 ? weights.Row(r)[c] / columns[c] : 0;
        sum += double{row[c]} * row[c];
      }
      const float rms = static_cast<float>(std::sqrt(sum / weights.cols));
      rows[r] = TrimmedRms(row.data(), weights.cols, rms);
    }
  });
  return Sizes{std::move(rows), std::move(columns)};
}

// Columns by rate, the highest first.
struct Classes {
  std::vector<uint32_t> order;  // of the columns
  std::vector<uint32_t> span_ends;
  std::vector<size_t> span_rates;
  double slope = 0;
};

// row_bits: of the codes of a row.
Classes SortIntoClasses(const std::vector<double>& values, double row_bits, bool has_memory) {
  const uint32_t cols = static_cast<uint32_t>(values.size());
  Classes classes;
  classes.order.resize(cols);
  std::iota(classes.order.begin(), classes.order.end(), 0u);
  std::stable_sort(classes.order.begin(), classes.order.end(),
                   [&](uint32_t a, uint32_t b) { return values[a] > values[b]; });
  std::vector<double> groups(DivideRoundUp(cols, kWindowGroupCols));
  for (uint32_t i = 0; i < cols; ++i) groups[i / kWindowGroupCols] += values[classes.order[i]];
  const WindowRatePlan plan = PlanWindowRates(groups, row_bits, has_memory);
  classes.slope = plan.slope;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (g > 0 && plan.rates[g] == plan.rates[g - 1]) continue;
    if (g > 0) classes.span_ends.push_back(static_cast<uint32_t>(g) * kWindowGroupCols);
    classes.span_rates.push_back(plan.rates[g]);
  }
  classes.span_ends.push_back(cols);
  uint32_t begin = 0;
  for (const uint32_t end : classes.span_ends) {
    std::sort(classes.order.begin() + begin, classes.order.begin() + end);
    begin = end;
  }
  return classes;
}

// What an error of 1 in the size of a column costs, by column.
std::vector<double> ColumnValues(const std::vector<float>& columns, const InputFactor& factor) {
  std::vector<double> values(columns.size());
  for (uint32_t i = 0; i < columns.size(); ++i) {
    const uint32_t column = factor.ColumnAt(i);
    const double reach = factor.IsDead(i) ? 0 : columns[column] * factor.Diagonal(i);
    values[column] = reach * reach;
  }
  return values;
}

// The bits of tables in a file: a head and the entries.
double TableBits(const Classes& classes) {
  double bits = 0;
  for (const size_t rate : classes.span_rates) {
    bits += 8.0 * (4 + kTupleCols * NumWindowEntries(kWindowRates[rate].code_bits));
  }
  return bits;
}

// Shares out the bits of a matrix.
class Budget {
 public:
  Budget(WeightView weights, const SuccessiveWindowOptions& options)
      : rows_(weights.rows), pays_(options.pays_for_tables) {
    const double cols = weights.cols;
    total_ = options.bpw * cols * rows_;
    side_ = kScaleBits * rows_ + (kScaleBits + kClassBits) * cols +
            kIndexBits * rows_ * std::min(1.0, cols / kIndexCols) + kRoundingBits;
    least_ = kMinWindowRate * kWindowGroupCols * std::ceil(cols / kWindowGroupCols) * rows_;
  }

  // Whether every column can have the lowest rate.
  bool Suffices() const { return total_ >= LeastBits(); }
  double total() const { return total_; }
  double LeastBits() const { return side_ + least_ + (pays_ ? TableBits({{}, {}, {0}, 0}) : 0); }

  // fix_bits: set aside.
  Classes Plan(const std::vector<double>& values, double fix_bits, bool has_memory) const {
    double tables = 0;
    for (;;) {
      const double codes = total_ - side_ - fix_bits - tables;
      Classes classes = SortIntoClasses(values, codes / rows_, has_memory);
      const double needed = pays_ ? TableBits(classes) : 0;
      if (needed <= tables) return classes;
      tables = needed;
    }
  }

  // What is left for fixes.
  double BitsLeft(const Classes& classes) const {
    double bits = total_ - side_ - (pays_ ? TableBits(classes) : 0);
    uint32_t begin = 0;
    for (size_t s = 0; s < classes.span_ends.size(); ++s) {
      const uint64_t groups = DivideRoundUp(classes.span_ends[s] - begin, kWindowGroupCols);
      bits -= kWindowRates[classes.span_rates[s]].bits() *
              static_cast<double>(groups * kWindowGroupCols) * rows_;
      begin = classes.span_ends[s];
    }
    return std::max(0.0, bits);
  }

 private:
  double rows_;
  bool pays_;
  double total_;
  double side_;
  double least_;
};

// An empty tensor with everything but what the loop finds. Returns the scales as decoders see them.
std::vector<float> Prepare(WeightView weights, const Sizes& sizes, const Classes& classes,
                           bool has_memory, QuantizedTensor* out) {
  out->rows = weights.rows;
  out->cols = weights.cols;
  out->grid = "ecq-window-zsic";
  out->levels.resize(weights.size());
  out->col_scales.resize(weights.cols);
  out->col_order = classes.order;
  out->span_ends = classes.span_ends;
  WindowCodes& window = out->window.emplace();
  window.has_memory = has_memory;
  for (const size_t rate : classes.span_rates) {
    window.tables.push_back(GaussianWindowTable(rate, has_memory));
  }
  const size_t num_tuples = size_t{weights.rows} * WindowCodes::TuplesPerRow(weights.cols);
  window.bytes.resize(num_tuples);
  window.raw.resize(num_tuples);
  std::vector<double> scales(weights.rows);
  for (uint32_t r = 0; r < weights.rows; ++r) {
    scales[r] = sizes.rows[r] >= kSmallestRms ? sizes.rows[r] / kWindowLevelsPerSigma : 0;
  }
  StoreHalfScales(scales, out);
  std::vector<float> stored(weights.rows);
  for (uint32_t r = 0; r < weights.rows; ++r) stored[r] = out->ScaleAt(r, 0);
  return stored;
}

FixRule RuleOf(const Classes& classes) {
  FixRule rule;
  rule.slope = classes.slope * kWindowLevelsPerSigma * kWindowLevelsPerSigma;
  rule.expected.resize(classes.order.size());
  return rule;
}

// The fixes that each column of W will want, and how many to set aside.
struct FixForecast {
  std::vector<double> columns;
  double sum = 0;
  double reserve = 0;
};

// Codes a sample of the rows in classes made for the code without memory, which is fast. wanted:
// the share of its fixes that count.
FixForecast ForecastFixes(WeightView weights, const Sizes& sizes, const Classes& classes,
                          const InputFactor& factor, double wanted, ThreadPool& pool) {
  const uint32_t stride = std::clamp(weights.rows / kSampleRows, 1u, kSampleStride);
  const uint32_t rows = static_cast<uint32_t>(DivideRoundUp(weights.rows, stride));
  Sizes sample_sizes = {std::vector<float>(rows), sizes.columns};
  std::vector<float> sample(size_t{rows} * weights.cols);
  for (uint32_t r = 0; r < rows; ++r) {
    sample_sizes.rows[r] = sizes.rows[r * stride];
    std::copy_n(weights.Row(r * stride), weights.cols, sample.data() + size_t{r} * weights.cols);
  }
  const WeightView view = {sample.data(), rows, weights.cols};
  QuantizedTensor out;
  const std::vector<float> scales = Prepare(view, sample_sizes, classes, false, &out);
  FixRule rule = RuleOf(classes);
  rule.most = view.size();
  WindowColumnCoder coder(factor, scales, std::move(rule), out, pool);
  CodeSuccessively(view, scales, factor, kTupleCols, coder, pool);
  FixForecast forecast;
  forecast.columns.resize(weights.cols);
  const double share = wanted * weights.rows / rows;
  for (const Fix& fix : coder.TakeFixes()) {
    forecast.columns[classes.order[fix.col]] += share;
    forecast.sum += share;
  }
  forecast.reserve = forecast.sum + std::sqrt(forecast.sum * share);  // and what chance may add
  return forecast;
}

}  // namespace

Result<QuantizedTensor> QuantizeWindowSuccessive(WeightView weights, const InputMoments& moments,
                                                 const SuccessiveWindowOptions& options,
                                                 const std::string& where, ThreadPool& pool) {
  const Budget budget(weights, options);
  if (!budget.Suffices()) {
    return Error{ErrorCode::kInvalidArgument,
                 where + ": the window code takes at least " +
                     std::to_string(budget.LeastBits() / static_cast<double>(weights.size())) +
                     " bits per weight for this matrix, got " + std::to_string(options.bpw) +
                     "; ask for more, or for codec rans"};
  }
  ECQ_TRY(const Sizes sizes, MeasureSizes(weights, pool));
  // What columns cost depends on their order, the order on what they cost: the natural order tells.
  FactorOptions factor_options = options.factor;
  factor_options.order.clear();
  ECQ_TRY(const InputFactor natural, InputFactor::Create(moments, factor_options, where));
  const std::vector<double> values = ColumnValues(sizes.columns, natural);
  FixForecast forecast;
  forecast.columns.resize(weights.cols);
  double fix_bits = 0;
  if (options.use_fixes) {
    const Classes classes = budget.Plan(values, 0, false);
    factor_options.order = classes.order;
    ECQ_TRY(const InputFactor factor, InputFactor::Create(moments, factor_options, where));
    forecast =
        ForecastFixes(weights, sizes, classes, factor, options.has_memory ? kMemoryShare : 1, pool);
    fix_bits = std::min(kFixBits * forecast.reserve,
                        std::max(budget.BitsLeft(classes), kFixShare * budget.total()));
  }
  const Classes classes = budget.Plan(values, fix_bits, options.has_memory);
  factor_options.order = classes.order;
  ECQ_TRY(const InputFactor factor, InputFactor::Create(moments, factor_options, where));

  QuantizedTensor out;
  const std::vector<float> scales = Prepare(weights, sizes, classes, options.has_memory, &out);
  FixRule rule = RuleOf(classes);
  rule.enabled = options.use_fixes;
  rule.most = static_cast<uint64_t>(budget.BitsLeft(classes) / kFixBits);
  const double granted =
      std::min(1.0, static_cast<double>(rule.most) / std::max(1.0, forecast.sum));
  for (uint32_t i = 0; i < weights.cols; ++i) {
    rule.expected[i] = granted * forecast.columns[classes.order[i]];
  }
  WindowColumnCoder coder(factor, scales, std::move(rule), out, pool);
  CodeSuccessively(weights, scales, factor, kTupleCols, coder, pool);
  out.fixes = coder.TakeFixes();
  return out;
}

}  // namespace ecq

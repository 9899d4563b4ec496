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
constexpr uint32_t kCountTasks = 64;  // fixed: their sums are added in order
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

constexpr double kFixMargin = 1.5;  // weights of models have heavier tails than a Gaussian
constexpr int kFixRounds = 2;       // of the plan and what it leaves to fixes

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

// The magnitude that a table reaches in one weight, in standard deviations.
float ReachOf(const WindowTable& table) {
  int32_t reach = 0;
  for (const auto& entry : table.entries) {
    for (const int8_t level : entry) {
      const int32_t step = static_cast<int32_t>(table.low_step);
      reach = std::max({reach, std::abs(level), std::abs(level + step)});
    }
  }
  return static_cast<float>(reach) / kWindowLevelsPerSigma;
}

// Shares out the bits of a matrix.
class Budget {
 public:
  Budget(WeightView weights, const SuccessiveWindowOptions& options)
      : rows_(weights.rows), has_memory_(options.has_memory), pays_(options.pays_for_tables) {
    const double cols = weights.cols;
    total_ = options.bpw * cols * rows_;
    side_ = kScaleBits * rows_ + (kScaleBits + kClassBits) * cols +
            kIndexBits * rows_ * std::min(1.0, cols / kIndexCols) + kRoundingBits;
    least_ = kMinWindowRate * kWindowGroupCols * std::ceil(cols / kWindowGroupCols) * rows_;
  }

  // Whether every column can have the lowest rate.
  bool Suffices() const { return total_ >= LeastBits(); }
  double LeastBits() const { return side_ + least_ + (pays_ ? TableBits({{}, {}, {0}, 0}) : 0); }

  // fix_bits: set aside.
  Classes Plan(const std::vector<double>& values, double fix_bits) const {
    double tables = 0;
    for (;;) {
      const double codes = total_ - side_ - fix_bits - tables;
      Classes classes = SortIntoClasses(values, codes / rows_, has_memory_);
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
  bool has_memory_;
  bool pays_;
  double total_;
  double side_;
  double least_;
};

// For each column of W the number of weights that lie so far beyond the reach of their table that
// fixing them pays.
std::vector<double> ExpectFixes(WeightView weights, const Sizes& sizes, const Classes& classes,
                                const std::vector<double>& values, bool has_memory,
                                ThreadPool& pool) {
  // By column, in standard deviations: what the table reaches, the error that is worth a fix in a
  // row of mean energy, and the error that codes leave.
  struct Limits {
    float reach;
    float error;
    float usual;
  };
  std::vector<Limits> limits(weights.cols);
  uint32_t begin = 0;
  for (size_t s = 0; s < classes.span_ends.size(); ++s) {
    const size_t rate = classes.span_rates[s];
    const float reach = ReachOf(GaussianWindowTable(rate, has_memory));
    const float usual = static_cast<float>(std::sqrt(WindowDistortion(rate, has_memory)));
    for (uint32_t i = begin; i < classes.span_ends[s]; ++i) {
      const uint32_t column = classes.order[i];
      const double worth = kFixBits * classes.slope / values[column];
      limits[column] = {reach, static_cast<float>(std::sqrt(worth)), usual};
    }
    begin = classes.span_ends[s];
  }
  double energy = 0;
  for (const float size : sizes.rows) energy += double{size} * size / weights.rows;
  const float mean = static_cast<float>(std::sqrt(energy));
  constexpr float kFar = 6;  // standard deviations, beyond which there is no Gaussian
  const uint32_t rows_per_task = static_cast<uint32_t>(DivideRoundUp(weights.rows, kCountTasks));
  std::vector<std::vector<double>> counts(DivideRoundUp(weights.rows, rows_per_task));
  pool.Run(counts.size(), [&](size_t task, size_t) {
    std::vector<double>& count = counts[task];
    count.resize(weights.cols);
    const uint32_t first = static_cast<uint32_t>(task) * rows_per_task;
    for (uint32_t r = first; r < std::min(weights.rows, first + rows_per_task); ++r) {
      const float size = sizes.rows[r];
      if (size < kSmallestRms) continue;
      const float* const w = weights.Row(r);
      for (uint32_t c = 0; c < weights.cols; ++c) {
        const float error = limits[c].error * mean / size;
        if (std::abs(w[c]) > size * sizes.columns[c] * (limits[c].reach + error)) {
          count[c] += 1;
        } else if (error < kFar * limits[c].usual) {
          count[c] += std::erfc(error / (std::sqrt(2.0f) * limits[c].usual));
        }
      }
    }
  });
  std::vector<double> expected(weights.cols);
  for (const std::vector<double>& count : counts) {
    for (uint32_t c = 0; c < weights.cols; ++c) expected[c] += values[c] > 0 ? count[c] : 0;
  }
  return expected;
}

// An estimate and what chance may add to it.
double FixesToReserve(const std::vector<double>& expected) {
  const double sum = std::accumulate(expected.begin(), expected.end(), 0.0);
  return kFixMargin * sum + 2 * std::sqrt(sum);
}

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
  Classes classes = budget.Plan(values, 0);
  std::vector<double> expected(weights.cols);
  for (int round = 0; round < kFixRounds && options.use_fixes; ++round) {
    expected = ExpectFixes(weights, sizes, classes, values, options.has_memory, pool);
    classes = budget.Plan(values, kFixBits * FixesToReserve(expected));
  }
  factor_options.order = classes.order;
  ECQ_TRY(const InputFactor factor, InputFactor::Create(moments, factor_options, where));

  QuantizedTensor out;
  const std::vector<float> scales = Prepare(weights, sizes, classes, options.has_memory, &out);
  FixRule rule;
  rule.enabled = options.use_fixes;
  rule.slope = classes.slope * kWindowLevelsPerSigma * kWindowLevelsPerSigma;
  rule.expected.resize(weights.cols);
  for (uint32_t i = 0; i < weights.cols; ++i) rule.expected[i] = expected[classes.order[i]];
  rule.most = static_cast<uint64_t>(budget.BitsLeft(classes) / kFixBits);
  WindowColumnCoder coder(factor, scales, std::move(rule), out, pool);
  CodeSuccessively(weights, scales, factor, kTupleCols, coder, pool);
  out.fixes = coder.TakeFixes();
  return out;
}

}  // namespace ecq

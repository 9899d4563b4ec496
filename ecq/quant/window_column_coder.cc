// Search, gain and fixes of one group of columns.
#include "ecq/quant/window_column_coder.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/base/half.h"
#include "ecq/portable/layout.h"
#include "ecq/quant/row_rms.h"
#include "ecq/quant/window_tables.h"

namespace ecq {
namespace {

constexpr float kLargestHalf = 65504;
// Keeps a metric definite where columns of a group are zero; a share of the mean of its diagonal.
constexpr double kMetricRidge = 1e-3;

size_t SpanAt(const std::vector<uint32_t>& span_ends, uint32_t position) {
  return static_cast<size_t>(std::upper_bound(span_ends.begin(), span_ends.end(), position) -
                             span_ends.begin());
}

}  // namespace

WindowColumnCoder::WindowColumnCoder(const InputFactor& factor, std::span<const float> row_scales,
                                     FixRule rule, QuantizedTensor& out, ThreadPool& pool)
    : factor_(factor),
      rule_(std::move(rule)),
      out_(out),
      pool_(pool),
      energy_(out.rows),
      searches_(pool.num_threads()),
      column_(out.rows),
      errors_(size_t{out.rows} * kTupleCols),
      levels_(size_t{out.rows} * kTupleCols) {
  double sum = 0;
  for (const float scale : row_scales) {
    sum += double{scale} * scale;
    live_rows_ += scale != 0;
  }
  for (uint32_t r = 0; r < out.rows && sum > 0; ++r) {
    energy_[r] = static_cast<float>(double{row_scales[r]} * row_scales[r] * live_rows_ / sum);
  }
  for (const double expected : rule_.expected) expected_left_ += expected;
}

void WindowColumnCoder::Code(uint32_t begin, uint32_t end, const float* targets, float* coded) {
  Group group = {begin, end - begin, targets, SpanAt(out_.span_ends, begin), {}, {}};
  pool_.Run(group.cols, [&](size_t j, size_t) {
    group.sigma[j] = SigmaOf(targets + j * rows());
    group.inverse[j] = group.sigma[j] >= kSmallestRms ? 1 / group.sigma[j] : 0;
  });
  const TupleMetric metric = MetricOf(group);
  std::vector<uint8_t> has_metric(pool_.num_threads());
  pool_.Run(DivideRoundUp(rows(), kMaxLanes), [&](size_t block, size_t worker) {
    std::vector<WindowSearch>& searches = searches_[worker];
    if (searches.empty()) {
      for (const WindowTable& table : out_.window->tables) {
        searches.emplace_back(WindowCodebook::Of(table, 1 / kWindowLevelsPerSigma),
                              out_.window->has_memory);
      }
    }
    if (!has_metric[worker]) searches[group.span].SetMetric(metric);
    has_metric[worker] = 1;
    CodeBlock(group, static_cast<uint32_t>(block), searches[group.span]);
  });
  for (uint32_t j = group.cols; j-- > 0;) FinishColumn(group, j, coded + size_t{j} * rows());
}

float WindowColumnCoder::SigmaOf(const float* targets) const {
  if (live_rows_ == 0) return 0;
  double sum = 0;
  for (uint32_t r = 0; r < rows(); ++r) sum += double{targets[r]} * targets[r];
  const float rms = TrimmedRms(targets, rows(), static_cast<float>(std::sqrt(sum / rows())));
  return rms * std::sqrt(static_cast<float>(rows()) / static_cast<float>(live_rows_));
}

// Of differences in units of sigma: with T[j][k] = sigma[j] L[j][k], M = T T^T.
TupleMetric WindowColumnCoder::MetricOf(const Group& group) const {
  double t[kTupleCols][kTupleCols] = {};
  for (uint32_t k = 0; k < group.cols; ++k) {
    const double diagonal = factor_.Diagonal(group.begin + k);
    for (uint32_t j = k; j < group.cols; ++j) {
      const double ratio = j == k ? 1
                           : factor_.has_feedback()
                               ? factor_.Feedback(group.begin + k)[group.begin + j]
                               : 0;
      t[j][k] = group.sigma[j] * diagonal * ratio;
    }
  }
  double m[kTupleCols][kTupleCols] = {};
  double mean = 0;
  for (uint32_t a = 0; a < kTupleCols; ++a) {
    for (uint32_t b = 0; b < kTupleCols; ++b) {
      for (uint32_t k = 0; k < kTupleCols; ++k) m[a][b] += t[a][k] * t[b][k];
    }
    mean += m[a][a] / kTupleCols;
  }
  TupleMetric metric;
  for (uint32_t a = 0; a < kTupleCols; ++a) {
    for (uint32_t b = 0; b < kTupleCols; ++b) {
      const double identity = a == b;
      metric.m[a][b] =
          static_cast<float>(mean > 0 ? m[a][b] / mean + kMetricRidge * identity : identity);
    }
  }
  return metric;
}

void WindowColumnCoder::CodeBlock(const Group& group, uint32_t block, WindowSearch& search) {
  const uint32_t begin = block * kMaxLanes;
  const uint32_t lanes = std::min(kMaxLanes, rows() - begin);
  WeightTuple targets[kMaxLanes] = {};
  TupleCode codes[kMaxLanes];
  for (uint32_t j = 0; j < group.cols; ++j) {
    const float* const column = group.targets + size_t{j} * rows() + begin;
    for (uint32_t lane = 0; lane < lanes; ++lane) {
      targets[lane].w[j] = std::clamp(column[lane] * group.inverse[j], -kWindowReach, kWindowReach);
    }
  }
  search.Find(targets, lanes, codes);

  WindowCodes& window = *out_.window;
  const WindowTable& table = window.tables[group.span];
  uint32_t above = 0;
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    const size_t row = begin + lane;
    const size_t at = row * WindowCodes::TuplesPerRow(out_.cols) + group.begin / kTupleCols;
    window.bytes[at] = codes[lane].byte;
    window.raw[at] = codes[lane].raw;
    const WindowTuple levels = DecodeTuple(table, codes[lane], above);
    for (uint32_t j = 0; j < group.cols; ++j) {
      const int8_t level = static_cast<int8_t>(WeightOf(levels, j));
      levels_[j * size_t{rows()} + row] = level;
      out_.levels[row * out_.cols + group.begin + j] = level;
    }
    above = window.has_memory ? codes[lane].byte : 0;
  }
}

void WindowColumnCoder::FinishColumn(const Group& group, uint32_t j, float* coded) {
  const uint32_t position = group.begin + j;
  std::copy_n(group.targets + size_t{j} * rows(), rows(), column_.data());
  for (uint32_t k = j + 1; k < group.cols && factor_.has_feedback(); ++k) {
    const float ratio = factor_.Feedback(position)[group.begin + k];
    const float* const errors = errors_.data() + size_t{k} * rows();
    for (uint32_t r = 0; r < rows(); ++r) column_[r] += ratio * errors[r];
  }
  const int8_t* const levels = levels_.data() + size_t{j} * rows();
  const float limit = static_cast<float>(kTrimRms) * group.sigma[j];
  double target_level = 0;
  double level_level = 0;
  for (uint32_t r = 0; r < rows(); ++r) {
    if (!(std::abs(column_[r]) <= limit)) continue;
    const double level = levels[r];
    target_level += column_[r] * level;
    level_level += level * level;
  }
  const double gain = level_level > 0 ? std::max(0.0, target_level / level_level) : 0;
  const uint16_t half = FloatToHalf(std::min(static_cast<float>(gain), kLargestHalf));
  out_.col_scales[position] = half;
  const float scale = HalfToFloat(half);
  for (uint32_t r = 0; r < rows(); ++r) coded[r] = static_cast<float>(levels[r]) * scale;
  AddFixes(group, j, scale, coded);
  float* const errors = errors_.data() + size_t{j} * rows();
  for (uint32_t r = 0; r < rows(); ++r) errors[r] = column_[r] - coded[r];
}

// Fixes where they save more than their bits would elsewhere; the largest savings if there are too
// many.
void WindowColumnCoder::AddFixes(const Group& group, uint32_t j, float scale, float* coded) {
  const uint32_t position = group.begin + j;
  if (!rule_.enabled || scale == 0 || factor_.IsDead(position)) return;
  expected_left_ = std::max(0.0, expected_left_ - rule_.expected[position]);
  struct Candidate {
    double saving;
    Fix fix;
  };
  std::vector<Candidate> candidates;
  const double weight = factor_.Diagonal(position) * factor_.Diagonal(position);
  const double worth = kFixBits * rule_.slope;
  for (uint32_t r = 0; r < rows(); ++r) {
    const double error = column_[r] - coded[r];
    const double saving = energy_[r] * weight * error * error;
    if (saving <= worth) continue;
    constexpr double kLargest = Fix::kMaxDelta;
    const double delta = std::clamp(std::nearbyint(error / scale), -kLargest, kLargest);
    if (delta == 0) continue;
    candidates.push_back({saving, {r, position, static_cast<int32_t>(delta)}});
  }
  const double free = static_cast<double>(rule_.most) - static_cast<double>(fixes_.size());
  const size_t allowed = static_cast<size_t>(std::max(0.0, free - std::ceil(expected_left_)));
  if (candidates.size() > allowed) {
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
      return std::tie(b.saving, a.fix.row) < std::tie(a.saving, b.fix.row);
    });
    candidates.resize(allowed);
  }
  const int8_t* const levels = levels_.data() + size_t{j} * rows();
  for (const Candidate& candidate : candidates) {
    const Fix& fix = candidate.fix;
    fixes_.push_back(fix);
    coded[fix.row] = static_cast<float>(levels[fix.row] + fix.delta) * scale;
  }
}

std::vector<Fix> WindowColumnCoder::TakeFixes() {
  std::sort(fixes_.begin(), fixes_.end(), [](const Fix& a, const Fix& b) {
    return std::tie(a.row, a.col) < std::tie(b.row, b.col);
  });
  return std::move(fixes_);
}

}  // namespace ecq

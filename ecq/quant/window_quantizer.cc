#include "ecq/quant/window_quantizer.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/bytes.h"
#include "ecq/base/hadamard.h"
#include "ecq/portable/layout.h"
#include "ecq/quant/half_scales.h"
#include "ecq/quant/row_rms.h"
#include "ecq/quant/window_search.h"
#include "ecq/quant/window_tables.h"

namespace ecq {
namespace {

// Blocks of a rotation: wide enough to make outliers ordinary, narrow enough to cost nothing.
constexpr uint32_t kMaxRotation = 256;

// Columns [begin, end) with one rate, an index into kWindowRates.
struct RateSpan {
  uint32_t begin;
  uint32_t end;
  size_t rate;
};

// The richest mix of two neighbouring rates that takes no more than bpw, the scales counted.
Result<std::vector<RateSpan>> ChooseRates(WeightView weights, double bpw) {
  const double groups = static_cast<double>(DivideRoundUp(weights.cols, kWindowGroupCols));
  const double bits_of_group = bpw * weights.cols / groups - 16 / groups;  // for one row
  const double rate = bits_of_group / kWindowGroupCols;
  if (rate < kMinWindowRate) {
    return Error{ErrorCode::kInvalidArgument,
                 "the window code takes 1 bit a weight and 16 a row, for this matrix " +
                     std::to_string(bpw + kMinWindowRate - rate) +
                     " bits per weight; ask for more, or for codec rans"};
  }
  size_t low = 0;
  while (low + 1 < kWindowRates.size() && kWindowRates[low + 1].bits() <= rate) ++low;
  if (low + 1 == kWindowRates.size()) return std::vector<RateSpan>{{0, weights.cols, low}};
  const double low_bits = kWindowRates[low].bits();
  const double share = (rate - low_bits) / (kWindowRates[low + 1].bits() - low_bits);
  const uint32_t high_cols = static_cast<uint32_t>(share * groups) * kWindowGroupCols;
  std::vector<RateSpan> spans;
  if (high_cols > 0) spans.push_back({0, high_cols, low + 1});
  if (high_cols < weights.cols) spans.push_back({high_cols, weights.cols, low});
  return spans;
}

// Codes the rows of one block after the other; all threads share the tables, each has its search.
class BlockQuantizer {
 public:
  BlockQuantizer(WeightView weights, const std::vector<RateSpan>& spans,
                 const std::vector<float>& row_rms, bool has_memory, QuantizedTensor& out,
                 std::vector<double>& gains)
      : weights_(weights), spans_(spans), row_rms_(row_rms), out_(out), gains_(gains) {
    for (const RateSpan& span : spans) {
      const WindowTable& table = GaussianWindowTable(span.rate, has_memory);
      searches_.emplace_back(WindowCodebook::Of(table, 1 / kWindowLevelsPerSigma), has_memory);
    }
  }

  // Rows [begin, begin + kMaxLanes) or up to the last one. Appends their fixes.
  void Run(uint32_t begin, std::vector<Fix>& fixes) {
    const uint32_t rows = std::min(kMaxLanes, weights_.rows - begin);
    for (uint32_t lane = 0; lane < rows; ++lane) {
      const float rms =
          TrimmedRms(weights_.Row(begin + lane), weights_.cols, row_rms_[begin + lane]);
      inverse_[lane] = rms >= kSmallestRms ? 1 / rms : 0;
    }
    const uint32_t tuples_per_row = WindowCodes::TuplesPerRow(weights_.cols);
    for (size_t s = 0; s < spans_.size(); ++s) {
      const uint32_t end = s + 1 == spans_.size() ? tuples_per_row : spans_[s].end / kTupleCols;
      for (uint32_t t = spans_[s].begin / kTupleCols; t < end; ++t) CodeTuples(s, begin, rows, t);
    }
    for (uint32_t lane = 0; lane < rows; ++lane) FinishRow(begin + lane, fixes);
  }

 private:
  void CodeTuples(size_t span, uint32_t begin, uint32_t rows, uint32_t tuple) {
    WeightTuple targets[kMaxLanes] = {};
    TupleCode codes[kMaxLanes];
    const uint32_t col = tuple * kTupleCols;
    const uint32_t cols = col < weights_.cols ? std::min(kTupleCols, weights_.cols - col) : 0;
    for (uint32_t lane = 0; lane < rows; ++lane) {
      const float* const w = weights_.Row(begin + lane) + col;
      for (uint32_t j = 0; j < cols; ++j) {
        targets[lane].w[j] = std::clamp(w[j] * inverse_[lane], -kWindowReach, kWindowReach);
      }
    }
    searches_[span].Find(targets, rows, codes);

    WindowCodes& window = *out_.window;
    const WindowTable& table = window.tables[span];
    uint32_t above = 0;
    for (uint32_t lane = 0; lane < rows; ++lane) {
      const size_t at = size_t{begin + lane} * WindowCodes::TuplesPerRow(weights_.cols) + tuple;
      window.bytes[at] = codes[lane].byte;
      window.raw[at] = codes[lane].raw;
      const WindowTuple levels = DecodeTuple(table, codes[lane], above);
      int8_t* const row = out_.levels.data() + size_t{begin + lane} * weights_.cols + col;
      for (uint32_t j = 0; j < cols; ++j) row[j] = static_cast<int8_t>(WeightOf(levels, j));
      above = window.has_memory ? codes[lane].byte : 0;
    }
  }

  // The gain of the row, outliers left out, and fixes for what its levels do not reach. A fix of b
  // bits pays where it lowers the squared error by more than b bits spread over all weights would:
  // b times the slope of the rate-distortion curve, 2 ln 2 times the mean squared error.
  void FinishRow(uint32_t row, std::vector<Fix>& fixes) {
    if (inverse_[row % kMaxLanes] == 0) return;
    const float* const w = weights_.Row(row);
    const int8_t* const levels = out_.levels.data() + size_t{row} * weights_.cols;
    const float reach = static_cast<float>(kTrimRms) / inverse_[row % kMaxLanes];
    double weight_level = 0;
    double level_level = 0;
    double squares = 0;
    for (uint32_t c = 0; c < weights_.cols; ++c) {
      if (!(std::abs(w[c]) <= reach)) continue;
      const double level = levels[c];
      weight_level += w[c] * level;
      level_level += level * level;
      squares += double{w[c]} * w[c];
    }
    const double gain = level_level > 0 && weight_level > 0 ? weight_level / level_level : 0;
    gains_[row] = gain;
    if (gain == 0) return;
    squares -= gain * weight_level;  // what the gain leaves of them
    const double worth = kStoredFixBits * 2 * std::log(2.0) * squares / weights_.cols;
    for (uint32_t c = 0; c < weights_.cols; ++c) {
      const double error = w[c] - gain * levels[c];
      if (error * error <= worth) continue;
      constexpr double kLargest = Fix::kMaxDelta;
      const double delta = std::clamp(std::nearbyint(error / gain), -kLargest, kLargest);
      if (delta != 0) fixes.push_back({row, c, static_cast<int32_t>(delta)});
    }
  }

  WeightView weights_;
  const std::vector<RateSpan>& spans_;
  const std::vector<float>& row_rms_;
  QuantizedTensor& out_;
  std::vector<double>& gains_;
  std::vector<WindowSearch> searches_;  // one for each span
  float inverse_[kMaxLanes] = {};       // 1 / rms of the block's rows
};

}  // namespace

Result<QuantizedTensor> QuantizeWindow(WeightView weights, const WindowOptions& options,
                                       ThreadPool& pool) {
  const uint32_t rotation = options.rotate ? LargestHadamardBlock(weights.cols, kMaxRotation) : 0;
  AlignedBuffer<float> rotated;
  if (rotation != 0) {
    rotated = AlignedBuffer<float>(weights.size());
    pool.Run(weights.rows, [&](size_t r, size_t) {
      float* const row = rotated.data() + r * weights.cols;
      std::copy_n(weights.Row(static_cast<uint32_t>(r)), weights.cols, row);
      RotateHadamard(row, weights.cols, rotation);
    });
    weights.data = rotated.data();
  }
  ECQ_TRY(const std::vector<float> row_rms, RowRms(weights, pool));
  ECQ_TRY(const std::vector<RateSpan> spans, ChooseRates(weights, options.bpw));
  QuantizedTensor out;
  out.rows = weights.rows;
  out.cols = weights.cols;
  out.grid = "ecq-window";
  out.rotation = rotation;
  out.levels.resize(weights.size());
  out.window.emplace();
  out.window->has_memory = options.has_memory;
  for (const RateSpan& span : spans) {
    out.window->tables.push_back(GaussianWindowTable(span.rate, options.has_memory));
    out.span_ends.push_back(span.end);
  }
  const size_t num_tuples = size_t{weights.rows} * WindowCodes::TuplesPerRow(weights.cols);
  out.window->bytes.resize(num_tuples);
  out.window->raw.resize(num_tuples);

  std::vector<double> gains(weights.rows);
  const uint32_t num_blocks = static_cast<uint32_t>(DivideRoundUp(weights.rows, kMaxLanes));
  std::vector<std::vector<Fix>> fixes(num_blocks);
  std::vector<std::optional<BlockQuantizer>> quantizers(pool.num_threads());
  pool.Run(num_blocks, [&](size_t block, size_t worker) {
    auto& quantizer = quantizers[worker];
    if (!quantizer) {
      quantizer.emplace(weights, spans, row_rms, options.has_memory, out, gains);
    }
    quantizer->Run(static_cast<uint32_t>(block) * kMaxLanes, fixes[block]);
  });
  for (const std::vector<Fix>& block : fixes) {
    out.fixes.insert(out.fixes.end(), block.begin(), block.end());
  }
  StoreHalfScales(gains, &out);
  return out;
}

}  // namespace ecq

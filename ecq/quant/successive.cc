#include "ecq/quant/successive.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/blas/cholesky.h"
#include "ecq/blas/gemm.h"

namespace ecq {
namespace {

constexpr int kMaxFactorizations = 4;
constexpr double kSmallestRetryDamping = 1e-6;
// Pivots of a positive semidefinite matrix are at least what damping added; one far below that
// comes of rounding in the moments, and what it divides would be noise.
constexpr double kSmallestPivot = 0.1;

Error BadMoments(const std::string& where, const std::string& what) {
  return {ErrorCode::kInvalidArgument, where + ": " + what};
}

bool IsPermutation(const std::vector<uint32_t>& order, uint32_t cols) {
  if (order.size() != cols) return false;
  std::vector<bool> seen(cols);
  for (const uint32_t column : order) {
    if (column >= cols || seen[column]) return false;
    seen[column] = true;
  }
  return true;
}

Status CheckMoments(const InputMoments& moments, const FactorOptions& options,
                    const std::string& where) {
  const size_t cols = moments.cols;
  if (cols == 0 || moments.sums.size() != cols * cols) {
    return BadMoments(where, "the moments of " + std::to_string(cols) + " inputs have " +
                                 std::to_string(moments.sums.size()) + " sums");
  }
  if (!options.order.empty() && !IsPermutation(options.order, moments.cols)) {
    return BadMoments(
        where, "the order of columns is not a permutation of " + std::to_string(cols) + " columns");
  }
  constexpr float kLargest = std::numeric_limits<float>::max();
  for (size_t i = 0; i < cols; ++i) {
    const float* const row = moments.sums.data() + i * cols;
    if (!(row[i] >= 0 && row[i] <= kLargest)) {
      return BadMoments(where, "the second moment of input " + std::to_string(i) + " is " +
                                   std::to_string(row[i]) +
                                   "; the activations overflow or the statistics are damaged");
    }
    bool finite = true;
    for (size_t k = 0; k < cols && !options.diagonal_only; ++k) {
      finite &= std::abs(row[k]) <= kLargest;
    }
    if (finite) continue;
    return BadMoments(where, "the moments of input " + std::to_string(i) +
                                 " are not finite; the activations overflow or the statistics are "
                                 "damaged");
  }
  return OkStatus();
}

}  // namespace

InputFactor InputFactor::Identity(uint32_t cols) {
  InputFactor factor;
  factor.diagonal_.assign(cols, 1.0);
  factor.dead_.assign(cols, false);
  return factor;
}

Result<InputFactor> InputFactor::Create(const InputMoments& moments, const FactorOptions& options,
                                        const std::string& where) {
  ECQ_RETURN_IF_ERROR(CheckMoments(moments, options, where));
  const size_t cols = moments.cols;
  InputFactor factor;
  factor.order_ = options.order;
  std::vector<double> squares(cols);  // the diagonal, by position
  for (uint32_t i = 0; i < cols; ++i) {
    squares[i] =
        moments
            .sums[factor.order_.empty() ? i * (cols + 1) : size_t{factor.order_[i]} * (cols + 1)];
  }
  std::vector<double> sorted = squares;
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(cols / 2), sorted.end());
  const double threshold = options.dead_share * sorted[cols / 2];

  double sum = 0;
  for (const double square : squares) {
    const bool dead = square < threshold || square == 0;
    factor.dead_.push_back(dead);
    factor.num_dead_ += dead;
    if (!dead) sum += square;
  }
  if (factor.num_dead_ == cols) {
    return BadMoments(where, "no input is ever other than zero; calibrate with more text");
  }
  const double mean = sum / static_cast<double>(cols - factor.num_dead_);
  factor.damping_ = options.damping;
  if (options.diagonal_only) {
    for (const double square : squares) {
      factor.diagonal_.push_back(std::sqrt(square + options.damping * mean));
    }
  } else {
    ECQ_RETURN_IF_ERROR(factor.Factorize(moments, mean, where));
  }
  factor.Normalize();
  return factor;
}

Status InputFactor::Factorize(const InputMoments& moments, double mean, const std::string& where) {
  const uint32_t n = moments.cols;
  diagonal_.resize(n);
  AlignedBuffer<double> a(size_t{n} * n);
  for (int attempt = 0; attempt < kMaxFactorizations; ++attempt) {
    if (attempt > 0) damping_ = std::max(10 * damping_, kSmallestRetryDamping);
    for (uint32_t i = 0; i < n; ++i) {
      const float* const sums = moments.sums.data() + size_t{ColumnAt(i)} * n;
      double* const row = a.data() + size_t{i} * n;
      for (uint32_t k = i; k < n; ++k) row[k] = dead_[i] || dead_[k] ? 0.0 : sums[ColumnAt(k)];
      row[i] = dead_[i] ? mean : row[i] + damping_ * mean;
    }
    if (!CholeskyInPlace(n, a.data())) continue;
    bool usable = true;
    for (uint32_t i = 0; i < n; ++i) {
      diagonal_[i] = a[size_t{i} * n + i];
      usable &= diagonal_[i] * diagonal_[i] >= kSmallestPivot * damping_ * mean;
    }
    if (!usable) continue;
    feedback_ = AlignedBuffer<float>(size_t{n} * n);
    for (uint32_t i = 0; i < n; ++i) {
      const double* const row = a.data() + size_t{i} * n;
      float* const feedback = feedback_.data() + size_t{i} * n;
      for (uint32_t k = i + 1; k < n; ++k) feedback[k] = static_cast<float>(row[k] / row[i]);
    }
    return OkStatus();
  }
  return BadMoments(where,
                    "the moments are not positive semidefinite, not even with a damping of " +
                        std::to_string(damping_) + "; the statistics are damaged");
}

void InputFactor::Normalize() {
  double log_sum = 0;
  for (uint32_t i = 0; i < cols(); ++i) log_sum += dead_[i] ? 0.0 : std::log(diagonal_[i]);
  const double scale = std::exp(-log_sum / (cols() - num_dead_));
  for (uint32_t i = 0; i < cols(); ++i) diagonal_[i] = dead_[i] ? 1.0 : diagonal_[i] * scale;
}

namespace {

// Blocks are as long as makes a product with everything on their right run at full speed; panels
// leave little to the loop over single columns.
constexpr uint32_t kBlock = 128;
constexpr uint32_t kPanel = kMaxColumnGroup;
constexpr uint32_t kRowsPerTask = 256;  // fixed, so that sums do not depend on the threads
// Of the work on a single column, which is not worth waking other threads for with fewer rows.
constexpr uint32_t kColumnRowsPerTask = 2048;

// y += a x.
void AddScaled(uint32_t n, float a, const float* x, float* y) {
  for (uint32_t i = 0; i < n; ++i) y[i] += a * x[i];
}

// The sum of squares in double precision, in an order that vector units can keep.
double SquareSum(uint32_t n, const float* x) {
  constexpr uint32_t kLanes = 8;
  std::array<double, kLanes> sums{};
  uint32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (uint32_t j = 0; j < kLanes; ++j) sums[j] += double{x[i + j]} * x[i + j];
  }
  for (; i < n; ++i) sums[i % kLanes] += double{x[i]} * x[i];
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

class SuccessiveLoop {
 public:
  SuccessiveLoop(WeightView weights, std::span<const float> row_scales, const InputFactor& factor,
                 ThreadPool& pool)
      : factor_(factor),
        rows_(weights.rows),
        cols_(weights.cols),
        errors_(weights.size()),
        targets_(size_t{kBlock} * weights.rows),
        coded_(size_t{kMaxColumnGroup} * weights.rows),
        pool_(pool) {
    Transpose(weights, row_scales);
  }

  double Run(uint32_t group, ColumnCoder& coder) {
    for (uint32_t block = AlignDown(cols_ - 1, kBlock);; block -= kBlock) {
      RunBlock(block, std::min(cols_, block + kBlock), group, coder);
      if (block == 0) return error_;
    }
  }

 private:
  static uint32_t AlignDown(uint32_t value, uint32_t unit) { return value / unit * unit; }

  float* Errors(uint32_t position) { return errors_.data() + size_t{position} * rows_; }
  float* Targets(uint32_t position) { return targets_.data() + size_t{position % kBlock} * rows_; }

  // Calls fn(begin, end) for pieces of the rows.
  template <typename F>
  void ForRows(uint32_t rows_per_task, F&& fn) {
    pool_.Run(DivideRoundUp(rows_, rows_per_task), [&](size_t task, size_t) {
      const uint32_t begin = static_cast<uint32_t>(task) * rows_per_task;
      fn(begin, std::min(rows_, begin + rows_per_task));
    });
  }

  void Transpose(WeightView weights, std::span<const float> row_scales) {
    ForRows(kRowsPerTask, [&](uint32_t begin, uint32_t end) {
      std::array<float, kRowsPerTask> inverse;
      for (uint32_t r = begin; r < end; ++r) {
        const float scale = row_scales.empty() ? 1.0f : row_scales[r];
        inverse[r - begin] = scale != 0 ? 1.0f / scale : 0.0f;
      }
      for (uint32_t i = 0; i < cols_; ++i) {
        const float* const column = weights.data + factor_.ColumnAt(i);
        for (uint32_t r = begin; r < end; ++r) {
          Errors(i)[r] = column[size_t{r} * cols_] * inverse[r - begin];
        }
      }
    });
  }

  // Adds to the targets of positions [begin, end) what the errors of [from, to) feed to them.
  void AddFeedback(uint32_t begin, uint32_t end, uint32_t from, uint32_t to) {
    if (from == to || !factor_.has_feedback()) return;
    ForRows(kRowsPerTask, [&](uint32_t row, uint32_t row_end) {
      AddGemm(end - begin, row_end - row, to - from, {factor_.Feedback(begin) + from, cols_},
              {Errors(from) + row, rows_}, {Targets(begin) + row, rows_});
    });
  }

  void RunBlock(uint32_t begin, uint32_t end, uint32_t group, ColumnCoder& coder) {
    std::copy(Errors(begin), Errors(begin) + size_t{end - begin} * rows_, Targets(begin));
    AddFeedback(begin, end, end, cols_);
    for (uint32_t panel = AlignDown(end - 1, kPanel);; panel -= kPanel) {
      const uint32_t panel_end = std::min(end, panel + kPanel);
      AddFeedback(panel, panel_end, panel_end, end);
      for (uint32_t first = AlignDown(panel_end - 1, group);; first -= group) {
        RunGroup(first, std::min(panel_end, first + group), panel_end, coder);
        if (first == panel) break;
      }
      if (panel == begin) return;
    }
  }

  void RunGroup(uint32_t begin, uint32_t end, uint32_t panel_end, ColumnCoder& coder) {
    for (uint32_t i = begin; i < end; ++i) {
      if (factor_.IsDead(i)) std::fill_n(Targets(i), rows_, 0.0f);
    }
    if (end < panel_end && factor_.has_feedback()) {
      ForRows(kColumnRowsPerTask, [&](uint32_t row, uint32_t row_end) {
        for (uint32_t i = begin; i < end; ++i) {
          if (factor_.IsDead(i)) continue;
          for (uint32_t k = end; k < panel_end; ++k) {
            AddScaled(row_end - row, factor_.Feedback(i)[k], Errors(k) + row, Targets(i) + row);
          }
        }
      });
    }
    coder.Code(begin, end, Targets(begin), coded_.data());
    for (uint32_t i = end; i-- > begin;) {
      TakeError(i, end, coded_.data() + size_t{i - begin} * rows_);
    }
  }

  // Replaces the weights at a position by their error, and adds its share of |E L|^2.
  void TakeError(uint32_t position, uint32_t group_end, const float* coded) {
    float* const error = Errors(position);
    if (factor_.IsDead(position)) {
      std::fill_n(error, rows_, 0.0f);
      return;
    }
    float* const residual = Targets(position);
    for (uint32_t r = 0; r < rows_; ++r) {
      error[r] -= coded[r];
      residual[r] -= coded[r];
    }
    for (uint32_t k = position + 1; k < group_end && factor_.has_feedback(); ++k) {
      AddScaled(rows_, factor_.Feedback(position)[k], Errors(k), residual);
    }
    const double weight = factor_.Diagonal(position);
    error_ += weight * weight * SquareSum(rows_, residual);
  }

  const InputFactor& factor_;
  const uint32_t rows_;
  const uint32_t cols_;
  AlignedBuffer<float> errors_;   // (K, N): weights of positions to come, errors of those coded
  AlignedBuffer<float> targets_;  // (kBlock, N): of the block at work
  AlignedBuffer<float> coded_;
  ThreadPool& pool_;
  double error_ = 0;
};

}  // namespace

double CodeSuccessively(WeightView weights, std::span<const float> row_scales,
                        const InputFactor& factor, uint32_t group, ColumnCoder& coder,
                        ThreadPool& pool) {
  return SuccessiveLoop(weights, row_scales, factor, pool).Run(group, coder);
}

}  // namespace ecq

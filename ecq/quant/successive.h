// Successive quantization of the columns of a matrix against the moments of its inputs: what the
// columns coded so far add to the error of the output is corrected by those that follow.
//
// Source: WaterSIC, arXiv:2603.04956. With Sigma = L L^T, the error trace(E Sigma E^T) of
// E = W - W' is the square of E L, whose column i knows only columns k >= i of E. So columns go
// from last to first, and the best value for column i, given those after it, is nearest to
//   u_i = w_i + sum over k > i of (w_k - w'_k) L[k][i] / L[i][i],
// where an error e costs (e L[i][i])^2.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/quant/input_moments.h"
#include "ecq/quant/weight_view.h"

namespace ecq {

struct FactorOptions {
  bool diagonal_only = false;  // the inputs taken as uncorrelated: no feedback, no factorization
  // Added to the diagonal, relative to its mean over live columns. Where the moments are so close
  // to singular that they have no factor, ten times as much, up to three times over.
  double damping = 1e-4;
  // A column whose second moment is less than this share of the median is dead. The median: the
  // mean follows the few largest ones, and would call most inputs of a gated MLP dead.
  double dead_share = 1e-3;
  // The order in which columns stand, a permutation; the last is coded first. Empty: as in W.
  std::vector<uint32_t> order;
};

// The factor L of the damped moments, in terms of *positions*: position i holds column ColumnAt(i).
// Scaled so that the geometric mean of L[i][i] over live columns is 1: a step c / L[i][i] then
// costs the same rate as a uniform step c.
class InputFactor {
 public:
  // Errors: kInvalidArgument, after `where`, for moments that are not finite, negative on the
  // diagonal, zero everywhere or far from positive semidefinite, and for an order that is not a
  // permutation.
  static Result<InputFactor> Create(const InputMoments& moments, const FactorOptions& options,
                                    const std::string& where);
  // Inputs that are uncorrelated and alike: what is right without calibration.
  static InputFactor Identity(uint32_t cols);

  uint32_t cols() const { return static_cast<uint32_t>(diagonal_.size()); }
  uint32_t ColumnAt(uint32_t position) const {
    return order_.empty() ? position : order_[position];
  }
  // Empty if positions are columns.
  const std::vector<uint32_t>& order() const { return order_; }

  // L[i][i]; 1 for a dead position.
  double Diagonal(uint32_t position) const { return diagonal_[position]; }
  // Whether hardly any input reaches this column: its target is 0, and its error counts for nothing
  // and is fed to no other.
  bool IsDead(uint32_t position) const { return dead_[position]; }
  uint32_t num_dead() const { return num_dead_; }

  // Whether any column corrects others.
  bool has_feedback() const { return !feedback_.empty(); }
  // f with f[k] = L[k][position] / L[position][position] for k > position; other places hold
  // anything. Pre: has_feedback().
  const float* Feedback(uint32_t position) const {
    return feedback_.data() + size_t{position} * cols();
  }

  // The damping used at last, relative to the mean of the diagonal.
  double damping() const { return damping_; }

 private:
  InputFactor() = default;

  Status Factorize(const InputMoments& moments, double mean, const std::string& where);
  void Normalize();

  std::vector<uint32_t> order_;
  std::vector<double> diagonal_;
  std::vector<bool> dead_;
  uint32_t num_dead_ = 0;
  double damping_ = 0;
  AlignedBuffer<float> feedback_;  // (K, K), rows as Feedback() gives them; empty: none
};

// Quantizes columns as they come.
class ColumnCoder {
 public:
  virtual ~ColumnCoder() = default;

  // Codes positions [begin, end), a group: targets and coded hold end - begin columns of `rows`
  // floats one after the other. `coded` becomes what the decoder will reconstruct, its rounding of
  // scales included, since the columns that follow correct exactly that. Within a group, targets
  // hold the feedback of the columns beyond the group only; the coder adds its own:
  // Feedback(i)[k] times the error of k, for i < k < end.
  // Called from one thread at a time, the one that runs CodeSuccessively(); its pool may be used.
  virtual void Code(uint32_t begin, uint32_t end, const float* targets, float* coded) = 0;
};

// The largest group; groups are powers of two up to this.
inline constexpr uint32_t kMaxColumnGroup = 16;

// Hands all columns of W (N, K) to `coder`, last to first, in groups that start at multiples of
// `group` (the one coded first may be partial).
//
// row_scales: empty, or the unit of each row: targets and coded values are weights divided by it.
// A row whose unit is 0 counts as zeros.
//
// Returns |E L|^2 of the result, summed over rows, in the same units, with L as `factor` scales it.
// Deterministic at any number of threads, if the coder is. Works in one (K, N) buffer of floats.
// Pre: factor.cols() == K; weights and row units are finite.
double CodeSuccessively(WeightView weights, std::span<const float> row_scales,
                        const InputFactor& factor, uint32_t group, ColumnCoder& coder,
                        ThreadPool& pool);

}  // namespace ecq

#include "app/rate_control.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace ecq {
namespace {

constexpr double kMaxDefaultEmbeddingRate = 6;

}  // namespace

RateControl::RateControl(std::vector<BudgetedMatrix> matrices, const BudgetOptions& options)
    : matrices_(std::move(matrices)) {
  double own_weights = 0;
  for (const BudgetedMatrix& m : matrices_) {
    if (m.own_bpw) {
      own_weights += m.weights;
      own_bits_ += *m.own_bpw * m.weights;
    } else {
      (m.embedding ? embedding_weights_ : linear_weights_) += m.weights;
    }
  }
  const double others = embedding_weights_ + linear_weights_;
  bits_left_ = options.bpw * (own_weights + others);
  double share = options.bpw;
  if (own_weights > 0 && others > 0) share = (bits_left_ - own_bits_) / others;
  embedding_bpw_ = options.embedding_bpw.value_or(std::min(kMaxDefaultEmbeddingRate, share));
}

Result<RateControl> RateControl::Create(std::vector<BudgetedMatrix> matrices,
                                        const BudgetOptions& options) {
  RateControl control(std::move(matrices), options);
  ECQ_RETURN_IF_ERROR(control.CheckReachable(options));
  return control;
}

Status RateControl::CheckReachable(const BudgetOptions& options) const {
  if (own_bits_ <= 0) return OkStatus();
  double all_weights = 0;
  double own_weights = 0;
  for (const BudgetedMatrix& m : matrices_) {
    all_weights += m.weights;
    if (m.own_bpw) own_weights += m.weights;
  }
  const double own_bpw = own_bits_ / own_weights;
  if (own_weights == all_weights) {
    if (!options.must_be_met || std::abs(own_bpw / options.bpw - 1) <= kTolerance) {
      return OkStatus();
    }
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the --tensor rules settle every matrix and take {:.3f} bits per "
                             "weight together, asked for are {:.3f}; drop --bpw, or leave some "
                             "matrices without a rule",
                             own_bpw, options.bpw)};
  }
  double rate = (bits_left_ - own_bits_) / embedding_weights_;
  if (linear_weights_ > 0) {
    rate = (bits_left_ - own_bits_ - embedding_bpw_ * embedding_weights_) / linear_weights_;
  }
  if (rate >= kMinRate && rate <= kMaxRate) return OkStatus();
  return Error{
      ErrorCode::kInvalidArgument,
      fmt::format("the --tensor rules give {:.0f} % of the weights {:.3f} bits each; for {:.3f} on "
                  "average the others would need {:.2f}, and {} to {} are possible; {}",
                  100 * own_weights / all_weights, own_bpw, options.bpw, rate, kMinRate, kMaxRate,
                  rate < kMinRate ? "raise --bpw or --size, or single out fewer matrices"
                                  : "lower --bpw or --size, or raise the rates in the rules")};
}

double RateControl::RateOf(size_t index) const {
  const BudgetedMatrix& m = matrices_[index];
  if (m.own_bpw) return *m.own_bpw;
  const double free_bits = bits_left_ - own_bits_;
  if (linear_weights_ <= 0) return free_bits / embedding_weights_;
  if (m.embedding) return embedding_bpw_;
  return (free_bits - embedding_bpw_ * embedding_weights_) / linear_weights_;
}

void RateControl::Spend(size_t index, double bits) {
  const BudgetedMatrix& m = matrices_[index];
  bits_left_ -= bits;
  if (m.own_bpw) {
    own_bits_ -= *m.own_bpw * m.weights;
  } else {
    (m.embedding ? embedding_weights_ : linear_weights_) -= m.weights;
  }
}

}  // namespace ecq

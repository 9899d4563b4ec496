// Distributes a budget of bits over the matrices of a model.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"

namespace ecq {

// A matrix as the budget sees it.
struct BudgetedMatrix {
  double weights;
  bool embedding;                 // token embedding or output head
  std::optional<double> own_bpw;  // takes this whatever the others do
};

struct BudgetOptions {
  double bpw;                                          // total bits per weight over all matrices
  bool must_be_met = false;                            // also where every matrix has its own rate
  std::optional<double> embedding_bpw = std::nullopt;  // nothing: as the others, at most 6
};

// Matrices with a rate of their own take it; embedding and head take theirs; every other matrix
// gets an equal share of what is left, so that the total is met whatever single matrices do. Where
// all others are done, embedding and head get what is left.
class RateControl {
 public:
  static constexpr double kMinRate = 0.5;
  static constexpr double kMaxRate = 7;
  static constexpr double kTolerance = 0.005;  // of a total, relative

  // Errors: kInvalidArgument, with the numbers, if own rates leave the others less than kMinRate or
  // more than kMaxRate, or no others and a total that differs from one that must be met.
  static Result<RateControl> Create(std::vector<BudgetedMatrix> matrices,
                                    const BudgetOptions& options);

  // Bits per weight that matrix `index` should take now.
  double RateOf(size_t index) const;
  // Matrix `index` took `bits`. To be called once for each.
  void Spend(size_t index, double bits);

 private:
  RateControl(std::vector<BudgetedMatrix> matrices, const BudgetOptions& options);
  Status CheckReachable(const BudgetOptions& options) const;

  std::vector<BudgetedMatrix> matrices_;
  double embedding_bpw_ = 0;
  // Of the matrices that have not spent yet.
  double embedding_weights_ = 0;
  double linear_weights_ = 0;
  double own_bits_ = 0;
  double bits_left_ = 0;
};

}  // namespace ecq

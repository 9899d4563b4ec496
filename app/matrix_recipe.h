// How one matrix is made: its grid, codec and rate, and the making of it.
#pragma once

#include <optional>
#include <string>

#include "app/quantize_model.h"
#include "app/tensor_rules.h"
#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/pack/pack.h"
#include "ecq/quant/input_moments.h"
#include "ecq/quant/weight_view.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

struct MatrixRecipe {
  bool keep = false;
  std::string grid;
  PackOptions pack;
  bool window_memory = true;
  QuantizeMode mode = QuantizeMode::kDataFree;  // grid "ecq"
  std::optional<double> bpw;                    // grid "ecq": a rate of its own

  // Whether its bytes do not depend on a rate.
  bool fixed() const { return keep || grid != "ecq"; }
};

// What `options` and the rule of one matrix say together.
// Errors: kInvalidArgument for a rule that leaves the matrix without a rate.
Result<MatrixRecipe> RecipeOf(const QuantizeOptions& options, const MatrixRule& rule);

struct MadeMatrix {
  PackedTensor packed;
  double relative_error;  // |W - quantized W| / |W|, Frobenius norms
};

// Quantizes and codes W, and checks that the coded integers decode to the same ones. `moments`:
// null for mode kDataFree, and for a matrix that no product meets.
// Errors: those of the quantizers, of Pack(), and kInternal.
Result<MadeMatrix> MakeMatrix(WeightView weights, const MatrixRecipe& recipe, double bpw,
                              const InputMoments* moments, ThreadPool& pool);

}  // namespace ecq

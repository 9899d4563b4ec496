// The weight matrices of a whole model, analyzed by tensor type.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/analyze/weight_analysis.h"
#include "ecq/import/model_source.h"

namespace ecq {

struct ModelAnalysis {
  std::vector<std::pair<std::string, WeightAnalysis>> types;  // in the model's order
  WeightAnalysis total;
  uint64_t other_bytes = 0;  // tensors that are not quantized, config, tokenizer

  // Bytes of a file whose matrices take that many bits per weight.
  double FileBytes(double bits_per_weight) const {
    return static_cast<double>(total.weights) * bits_per_weight / 8 +
           static_cast<double>(other_bytes);
  }
};

// Needs no config: any source will do. Memory holds one tensor at a time.
// progress(done weights, all weights, name) is called after each matrix.
// Errors: those of the source, kInvalidArgument for weights that are not finite and for a source
// without matrices.
using AnalyzeProgress = std::function<void(uint64_t, uint64_t, const std::string&)>;
Result<ModelAnalysis> AnalyzeModel(const ModelSource& source, ThreadPool& pool,
                                   const AnalyzeProgress& progress);

}  // namespace ecq

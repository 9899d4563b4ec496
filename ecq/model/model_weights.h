// Where a model gets its weights from, by Hugging Face tensor name.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "ecq/backend/matrix.h"
#include "ecq/base/result.h"

namespace ecq {

// Implemented over a foreign model (dense f32) and over an .ecq file (coded).
class WeightProvider {
 public:
  virtual ~WeightProvider() = default;

  virtual bool Has(std::string_view name) const = 0;
  // The matrix `name` with shape (rows, cols).
  // Errors: kNotFound, and kBadLayout when the stored shape differs.
  virtual Result<std::unique_ptr<Matrix>> GetMatrix(std::string_view name, uint64_t rows,
                                                    uint64_t cols) = 0;
  // A vector such as a norm weight or a bias, as f32.
  virtual Result<std::vector<float>> GetVector(std::string_view name, uint64_t size) = 0;
};

}  // namespace ecq

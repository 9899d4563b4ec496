// Dense weights read from a model in a foreign format.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/import/model_source.h"
#include "ecq/model/model_weights.h"

namespace ecq {

class SourceWeights final : public WeightProvider {
 public:
  // `source` must outlive this object, not the matrices made from it.
  explicit SourceWeights(const ModelSource& source);

  bool Has(std::string_view name) const override;
  // Errors besides those of WeightProvider: kOutOfMemory, and those of ModelSource::ReadF32().
  Result<std::unique_ptr<Matrix>> GetMatrix(std::string_view name, uint64_t rows,
                                            uint64_t cols) override;
  Result<std::vector<float>> GetVector(std::string_view name, uint64_t size) override;

 private:
  // Index of the tensor `name`, whose shape must be `shape`.
  Result<size_t> Find(std::string_view name, const Shape& shape) const;

  const ModelSource& source_;
  std::map<std::string, size_t, std::less<>> index_by_name_;
};

}  // namespace ecq

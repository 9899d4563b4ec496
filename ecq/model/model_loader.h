// Binds the tensors of a checkpoint to the blocks of a model.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ecq/model/model.h"

namespace ecq {

class Model::Loader {
 public:
  Loader(const ModelConfig& config, WeightProvider& weights);

  Status Load(Model* model);

 private:
  Result<std::unique_ptr<Matrix>> LoadMatrix(std::string_view name, uint64_t rows, uint64_t cols);
  Result<Linear> LoadLinear(const std::string& name, uint64_t out, uint64_t in, bool with_bias);
  // None if the architecture has no such norm.
  Result<Norm> LoadNorm(const std::string& prefix, std::string_view name, uint64_t size);
  Result<std::vector<Linear>> LoadQkv(const std::string& prefix);
  Result<std::vector<Linear>> LoadUp(const std::string& prefix);
  Result<Layer> LoadLayer(size_t index);

  const ModelConfig& config_;
  const TensorNames& names_;
  WeightProvider& weights_;
  std::string root_;
};

}  // namespace ecq

// An .ecq file as the weights of a model (coded), and as a source of f32 tensors (dequantized).
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "ecq/backend/packed_matrix.h"
#include "ecq/format/ecq_reader.h"
#include "ecq/import/model_source.h"
#include "ecq/model/model_weights.h"

namespace ecq {

// Matrices stay coded and point into the file, which must outlive everything made from it.
class EcqWeights final : public WeightProvider {
 public:
  explicit EcqWeights(const EcqFile& file) : file_(file) {}

  bool Has(std::string_view name) const override;
  Result<std::unique_ptr<Matrix>> GetMatrix(std::string_view name, uint64_t rows,
                                            uint64_t cols) override;
  Result<std::vector<float>> GetVector(std::string_view name, uint64_t size) override;

 private:
  const EcqFile& file_;
};

// Presents an .ecq as one more model format, so that every command takes it as a source.
Result<std::unique_ptr<ModelSource>> MakeEcqSource(const EcqFile& file, std::string path);

}  // namespace ecq

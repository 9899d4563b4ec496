// The weights of an .ecq file: coded matrices stay coded, plain ones become dense f32.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "ecq/backend/matrix.h"
#include "ecq/format/ecq_reader.h"
#include "ecq/model/model_weights.h"

namespace ecq {

// Coded matrices point into the file's mapping and keep it alive; `file` itself must outlive this object
// only, if EcqFile::Open() made it.
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

}  // namespace ecq

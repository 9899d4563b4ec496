// Looks up matrices and vectors of an .ecq file by name and checks their shapes.
#include "ecq/model/ecq_weights.h"

#include <fmt/format.h>

#include <utility>

#include "ecq/backend/packed_matrix.h"

namespace ecq {

bool EcqWeights::Has(std::string_view name) const {
  return file_.matrix(name).ok() || file_.plain_tensor(name).ok();
}

Result<std::unique_ptr<Matrix>> EcqWeights::GetMatrix(std::string_view name, uint64_t rows,
                                                      uint64_t cols) {
  ECQ_TRY(PackedTensor tensor, file_.matrix(name));
  if (tensor.desc.rows != rows || tensor.desc.cols != cols) {
    return Error{ErrorCode::kBadLayout,
                 fmt::format("matrix {} is [{}, {}], config.json calls for [{}, {}]", name,
                             tensor.desc.rows, tensor.desc.cols, rows, cols)};
  }
  return std::unique_ptr<Matrix>(std::make_unique<PackedMatrix>(std::move(tensor)));
}

Result<std::vector<float>> EcqWeights::GetVector(std::string_view name, uint64_t size) {
  ECQ_TRY(const TensorView view, file_.plain_tensor(name));
  if (view.shape != Shape{size}) {
    return Error{ErrorCode::kBadLayout,
                 fmt::format("tensor {} has shape {}, config.json calls for [{}]", name,
                             ShapeToString(view.shape), size)};
  }
  std::vector<float> values(size);
  ECQ_RETURN_IF_ERROR(ConvertToF32(view, values));
  return values;
}

}  // namespace ecq

// Looks up matrices and vectors of an .ecq file by name and checks their shapes.
#include "ecq/model/ecq_weights.h"

#include <fmt/format.h>

#include <utility>

#include "ecq/backend/dense_matrix.h"
#include "ecq/backend/packed_matrix.h"
#include "ecq/base/aligned_buffer.h"

namespace ecq {
namespace {

Result<std::unique_ptr<Matrix>> Expand(const TensorView& view, std::string_view name, uint64_t rows,
                                       uint64_t cols) {
  if (view.shape != Shape{rows, cols}) {
    return Error{ErrorCode::kBadLayout,
                 fmt::format("matrix {} is {}, config.json calls for [{}, {}]", name,
                             ShapeToString(view.shape), rows, cols)};
  }
  AlignedBuffer<float> weights(rows * cols);
  ECQ_RETURN_IF_ERROR(ConvertToF32(view, weights.span()));
  ECQ_TRY(DenseMatrix matrix, DenseMatrix::Create(rows, cols, std::move(weights)));
  return std::unique_ptr<Matrix>(std::make_unique<DenseMatrix>(std::move(matrix)));
}

}  // namespace

bool EcqWeights::Has(std::string_view name) const {
  return file_.matrix(name).ok() || file_.plain_tensor(name).ok();
}

Result<std::unique_ptr<Matrix>> EcqWeights::GetMatrix(std::string_view name, uint64_t rows,
                                                      uint64_t cols) {
  if (const auto kept = file_.plain_tensor(name); kept.ok()) {
    return Expand(*kept, name, rows, cols);
  }
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

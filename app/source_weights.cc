// Dense weights read from a model in a foreign format.
#include "app/source_weights.h"

#include <fmt/format.h>

#include <new>
#include <utility>

#include "ecq/backend/dense_matrix.h"
#include "ecq/base/aligned_buffer.h"

namespace ecq {
namespace {

Error OutOfMemory(std::string_view name, const Shape& shape) {
  return Error{ErrorCode::kOutOfMemory,
               fmt::format("no memory for tensor {} {} as f32", name, ShapeToString(shape))};
}

}  // namespace

SourceWeights::SourceWeights(const ModelSource& source) : source_(source) {
  const auto& tensors = source.tensors();
  for (size_t i = 0; i < tensors.size(); ++i) index_by_name_.emplace(tensors[i].name, i);
}

bool SourceWeights::Has(std::string_view name) const {
  return index_by_name_.find(name) != index_by_name_.end();
}

Result<size_t> SourceWeights::Find(std::string_view name, const Shape& shape) const {
  const auto it = index_by_name_.find(name);
  if (it == index_by_name_.end()) {
    return Error{ErrorCode::kNotFound, fmt::format("the model has no tensor {}", name)};
  }
  const Shape& stored = source_.tensors()[it->second].shape;
  if (stored != shape) {
    return Error{ErrorCode::kBadLayout,
                 fmt::format("tensor {} has shape {}, config.json calls for {}", name,
                             ShapeToString(stored), ShapeToString(shape))};
  }
  return it->second;
}

Result<std::unique_ptr<Matrix>> SourceWeights::GetMatrix(std::string_view name, uint64_t rows,
                                                         uint64_t cols) {
  const Shape shape{rows, cols};
  ECQ_TRY(const size_t index, Find(name, shape));
  try {
    AlignedBuffer<float> weights(rows * cols);
    ECQ_RETURN_IF_ERROR(source_.ReadF32(index, weights.span()));
    ECQ_TRY(DenseMatrix matrix, DenseMatrix::Create(rows, cols, std::move(weights)));
    return std::unique_ptr<Matrix>(std::make_unique<DenseMatrix>(std::move(matrix)));
  } catch (const std::bad_alloc&) {
    return OutOfMemory(name, shape);
  }
}

Result<std::vector<float>> SourceWeights::GetVector(std::string_view name, uint64_t size) {
  const Shape shape{size};
  ECQ_TRY(const size_t index, Find(name, shape));
  try {
    std::vector<float> values(size);
    ECQ_RETURN_IF_ERROR(source_.ReadF32(index, values));
    return values;
  } catch (const std::bad_alloc&) {
    return OutOfMemory(name, shape);
  }
}

}  // namespace ecq

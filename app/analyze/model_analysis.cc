#include "app/analyze/model_analysis.h"

#include <algorithm>

#include "app/opened_model.h"
#include "app/tensor_type.h"
#include "ecq/base/aligned_buffer.h"

namespace ecq {
namespace {

Result<WeightAnalysis> AnalyzeMatrix(const ModelSource& source, size_t index, ThreadPool& pool) {
  const SourceTensor& tensor = source.tensors()[index];
  constexpr uint64_t kMaxDimension = 0x7fffffff;
  if (tensor.shape[0] == 0 || tensor.shape[1] == 0 || tensor.shape[0] > kMaxDimension ||
      tensor.shape[1] > kMaxDimension) {
    return Error{ErrorCode::kBadLayout, "a matrix of shape " + ShapeToString(tensor.shape)};
  }
  AlignedBuffer<float> values(tensor.shape[0] * tensor.shape[1]);
  ECQ_RETURN_IF_ERROR(source.ReadF32(index, values.span()));
  return AnalyzeWeights({values.data(), static_cast<uint32_t>(tensor.shape[0]),
                         static_cast<uint32_t>(tensor.shape[1])},
                        pool);
}

}  // namespace

Result<ModelAnalysis> AnalyzeModel(const ModelSource& source, ThreadPool& pool,
                                   const AnalyzeProgress& progress) {
  ModelAnalysis out;
  uint64_t all_weights = 0;
  for (const SourceTensor& tensor : source.tensors()) {
    if (IsWeightMatrix(tensor)) {
      all_weights += tensor.shape[0] * tensor.shape[1];
    } else {
      out.other_bytes += tensor.source_bytes;
    }
  }
  for (const SideFile& file : source.side_files()) out.other_bytes += file.contents.size();

  for (size_t i = 0; i < source.tensors().size(); ++i) {
    const SourceTensor& tensor = source.tensors()[i];
    if (!IsWeightMatrix(tensor)) continue;
    const Result<WeightAnalysis> analysis = AnalyzeMatrix(source, i, pool);
    if (!analysis.ok()) {
      return Error{analysis.error().code, tensor.name + ": " + analysis.error().message};
    }
    const std::string type = TensorTypeOf(tensor.name);
    auto found = std::find_if(out.types.begin(), out.types.end(),
                              [&](const auto& known) { return known.first == type; });
    if (found == out.types.end()) found = out.types.insert(found, {type, {}});
    found->second.Merge(*analysis);
    out.total.Merge(*analysis);
    progress(out.total.weights, all_weights, tensor.name);
  }
  if (out.types.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "there is no weight matrix: expected tensors of rank 2 named *.weight"};
  }
  return out;
}

}  // namespace ecq

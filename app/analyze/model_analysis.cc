#include "app/analyze/model_analysis.h"

#include <algorithm>

#include "app/opened_model.h"
#include "ecq/base/aligned_buffer.h"

namespace ecq {
namespace {

std::vector<std::string_view> SplitAtDots(std::string_view name) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t dot = name.find('.');
    parts.push_back(name.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    name.remove_prefix(dot + 1);
  }
}

bool IsNumber(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

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

std::string TensorTypeOf(std::string_view name) {
  std::vector<std::string_view> parts = SplitAtDots(name);
  if (parts.size() > 1 && parts.back() == "weight") parts.pop_back();
  const std::string_view last = parts.back();
  if (last == "embed_tokens" || last == "word_embeddings") return "embedding";
  if (last == "lm_head") return "head";
  if (last != "dense") return std::string(last);
  const auto number = std::find_if(parts.rbegin(), parts.rend(), IsNumber);
  const auto first = number == parts.rend() ? parts.begin() : number.base();
  return std::string(first->data(), last.data() + last.size());
}

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

// Finds the parts of quantized layers by their names.
#include "ecq/import/quantized_checkpoint.h"

#include <fmt/format.h>

#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

namespace ecq {
namespace {

using Method = QuantizationConfig::Method;

// "weight" of "model.norm.weight"; the whole name if there is no dot.
std::string_view LastPart(std::string_view name) { return name.substr(name.rfind('.') + 1); }

// "model.norm" of "model.norm.weight"; empty if there is no dot.
std::string_view PathOf(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(0, dot);
}

class Combiner {
 public:
  Combiner(std::span<const SafetensorsEntry> stored, const QuantizationConfig& config,
           std::string_view directory)
      : stored_(stored), config_(config), directory_(directory) {}

  Result<std::vector<CheckpointTensor>> Run() {
    for (const SafetensorsEntry& entry : stored_) {
      if (!by_name_.emplace(entry.name, &entry.view).second) {
        return Fail(entry.name, {ErrorCode::kBadLayout, "is stored twice"});
      }
    }
    std::vector<CheckpointTensor> tensors;
    for (const SafetensorsEntry& entry : stored_) {
      if (IsPacked(entry)) {
        ECQ_TRY(CheckpointTensor tensor, Combine(PathOf(entry.name)));
        tensors.push_back(std::move(tensor));
      } else if (IsSidePart(entry.name)) {
        const TensorView* packed = Find(PathOf(entry.name), packed_part());
        if (packed == nullptr || !IsPackedType(*packed)) {
          return Fail(entry.name, {ErrorCode::kBadLayout,
                                   fmt::format("no packed {} belongs to it", packed_part())});
        }
      } else {
        tensors.push_back(DenseTensor(entry));
      }
    }
    return tensors;
  }

 private:
  bool is_mlx() const { return config_.method == Method::kMlx; }
  std::string_view packed_part() const { return is_mlx() ? "weight" : "qweight"; }

  Error Fail(std::string_view name, const Error& error) const {
    return Error{error.code, fmt::format("{}: tensor {}: {}", directory_,
                                         nlohmann::json(name).dump(), error.message)};
  }

  // MLX names a packed weight like a dense one, so its element type decides.
  bool IsPackedType(const TensorView& view) const { return !is_mlx() || view.dtype == DType::kU32; }
  bool IsPacked(const SafetensorsEntry& entry) const {
    return LastPart(entry.name) == packed_part() && IsPackedType(entry.view);
  }

  bool IsSidePart(std::string_view name) const {
    const std::string_view part = LastPart(name);
    if (part == "scales") return true;
    if (is_mlx()) return part == "biases";
    return part == "qzeros" || (part == "g_idx" && config_.method == Method::kGptq);
  }

  // Null if it is not there.
  const TensorView* Find(std::string_view path, std::string_view part) const {
    const auto it = by_name_.find(fmt::format("{}.{}", path, part));
    return it == by_name_.end() ? nullptr : it->second;
  }

  Result<TensorView> Need(std::string_view path, std::string_view part) const {
    if (const TensorView* view = Find(path, part)) return *view;
    return Error{ErrorCode::kBadLayout, fmt::format("{}.{} is missing", path, part)};
  }

  Result<MlxFormat> MlxFormatOf(std::string_view path) const {
    const auto it = config_.mlx_overrides.find(path);
    if (it == config_.mlx_overrides.end()) return config_.mlx;
    if (it->second) return *it->second;
    return Error{ErrorCode::kBadLayout, "is packed, but config.json says it is not quantized"};
  }

  // The matrix, its name for users, and the bytes of its parts.
  Result<CheckpointTensor> Combine(std::string_view path) const {
    const std::string name = fmt::format("{}.weight", path);
    Result<CheckpointTensor> tensor = is_mlx() ? CombineMlx(path) : CombineNibbles(path);
    if (!tensor.ok()) return Fail(name, tensor.error());
    tensor->description.name = name;
    tensor->description.shape = std::get<IntegerMatrix>(tensor->data).shape();
    return tensor;
  }

  Result<CheckpointTensor> CombineMlx(std::string_view path) const {
    ECQ_TRY(const MlxFormat format, MlxFormatOf(path));
    ECQ_TRY(const TensorView weight, Need(path, "weight"));
    ECQ_TRY(const TensorView scales, Need(path, "scales"));
    ECQ_TRY(const TensorView biases, Need(path, "biases"));
    ECQ_TRY(IntegerMatrix matrix, IntegerMatrix::Mlx(weight, scales, biases, format));
    return CheckpointTensor{{"",
                             {},
                             fmt::format("MLX{}_G{}", format.bits, format.group_size),
                             weight.bytes.size() + scales.bytes.size() + biases.bytes.size()},
                            std::move(matrix)};
  }

  Result<CheckpointTensor> CombineNibbles(std::string_view path) const {
    const bool is_gptq = config_.method == Method::kGptq;
    if (Find(path, "weight") != nullptr) {
      return Error{ErrorCode::kBadLayout, "is stored both dense and packed"};
    }
    ECQ_TRY(const TensorView weight, Need(path, "qweight"));
    ECQ_TRY(const TensorView zeros, Need(path, "qzeros"));
    ECQ_TRY(const TensorView scales, Need(path, "scales"));
    const TensorView* group_index = is_gptq ? Find(path, "g_idx") : nullptr;
    if (config_.needs_group_index && group_index == nullptr) {
      return Error{ErrorCode::kBadLayout,
                   fmt::format("{}.g_idx is missing, and config.json says desc_act", path)};
    }
    ECQ_TRY(IntegerMatrix matrix,
            is_gptq ? IntegerMatrix::Gptq(weight, zeros, scales, group_index, config_.group_size,
                                          config_.zero_offset)
                    : IntegerMatrix::Awq(weight, zeros, scales, config_.group_size));
    uint64_t bytes = weight.bytes.size() + zeros.bytes.size() + scales.bytes.size();
    if (group_index != nullptr) bytes += group_index->bytes.size();
    return CheckpointTensor{{"", {}, is_gptq ? "GPTQ4" : "AWQ4", bytes}, std::move(matrix)};
  }

  std::span<const SafetensorsEntry> stored_;
  const QuantizationConfig& config_;
  std::string_view directory_;
  std::unordered_map<std::string, const TensorView*> by_name_;
};

}  // namespace

Result<std::vector<CheckpointTensor>> CombineQuantizedTensors(
    std::span<const SafetensorsEntry> stored, const QuantizationConfig& config,
    std::string_view directory) {
  return Combiner(stored, config, directory).Run();
}

CheckpointTensor DenseTensor(const SafetensorsEntry& entry) {
  return {{entry.name, entry.view.shape, std::string(DTypeName(entry.view.dtype)),
           entry.view.bytes.size()},
          entry.view};
}

}  // namespace ecq

#include "app/quantize_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "app/matrix_recipe.h"
#include "app/opened_model.h"
#include "app/rate_control.h"
#include "ecq/base/aligned_buffer.h"
#include "ecq/base/half.h"
#include "ecq/codec/codec.h"
#include "ecq/quant/baseline_grids.h"

namespace ecq {
namespace {

Error InTensor(const std::string& name, Error error) {
  error.message = name + ": " + error.message;
  return error;
}

// The narrowest of BF16, F16 and F32 that holds all values exactly.
DType NarrowestExactType(std::span<const float> values) {
  bool bf16 = true;
  bool f16 = true;
  for (const float v : values) {
    bf16 &= (std::bit_cast<uint32_t>(v) & 0xffffu) == 0;
    f16 &= std::bit_cast<uint32_t>(HalfToFloat(FloatToHalf(v))) == std::bit_cast<uint32_t>(v);
  }
  return bf16 ? DType::kBF16 : f16 ? DType::kF16 : DType::kF32;
}

std::vector<uint8_t> StoreAs(DType type, std::span<const float> values) {
  std::vector<uint8_t> bytes(values.size() * DTypeBytes(type));
  for (size_t i = 0; i < values.size(); ++i) {
    uint8_t* const p = bytes.data() + i * DTypeBytes(type);
    if (type == DType::kF32) StoreLe(p, values[i]);
    if (type == DType::kF16) StoreLe(p, FloatToHalf(values[i]));
    if (type == DType::kBF16) {
      StoreLe(p, static_cast<uint16_t>(std::bit_cast<uint32_t>(values[i]) >> 16));
    }
  }
  return bytes;
}

class Converter {
 public:
  Converter(const ModelSource& source, const QuantizeOptions& options, ThreadPool& pool,
            EcqWriter& writer, const ConversionAids& aids)
      : source_(source), options_(options), pool_(pool), writer_(writer), aids_(aids) {
    order_.resize(source.tensors().size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    if (aids.moments == nullptr) return;
    std::stable_sort(order_.begin(), order_.end(), [&](size_t a, size_t b) {
      return aids.moments->StageOf(source.tensors()[a].name) <
             aids.moments->StageOf(source.tensors()[b].name);
    });
  }

  Result<QuantizeReport> Run(const QuantizeProgress& progress) {
    ECQ_RETURN_IF_ERROR(Plan());
    uint64_t all_weights = 0;
    for (const SourceTensor& tensor : source_.tensors()) {
      if (IsWeightMatrix(tensor)) all_weights += tensor.shape[0] * tensor.shape[1];
    }
    uint64_t done = 0;
    for (const size_t i : order_) {
      const SourceTensor& tensor = source_.tensors()[i];
      const Status status = IsWeightMatrix(tensor) ? ConvertMatrix(i) : CopyPlain(i);
      if (!status.ok()) return InTensor(tensor.name, status.error());
      if (!IsWeightMatrix(tensor)) continue;
      done += tensor.shape[0] * tensor.shape[1];
      progress(done, all_weights, tensor.name);
    }
    for (const SideFile& file : source_.side_files()) {
      const auto* const bytes = reinterpret_cast<const uint8_t*>(file.contents.data());
      ECQ_RETURN_IF_ERROR(writer_.AddFile(file.name, {bytes, file.contents.size()}));
    }
    return std::move(report_);
  }

 private:
  // Settles how each matrix is made, and what rates there are to share.
  Status Plan() {
    std::vector<BudgetedMatrix> budgeted;
    for (const size_t i : order_) {
      const SourceTensor& tensor = source_.tensors()[i];
      if (!IsWeightMatrix(tensor)) continue;
      Result<MatrixRecipe> recipe =
          RecipeOf(options_, options_.rules.empty() ? MatrixRule() : options_.rules[i]);
      if (!recipe.ok()) return InTensor(tensor.name, std::move(recipe).error());
      const double weights = static_cast<double>(tensor.shape[0] * tensor.shape[1]);
      std::optional<double> own_bpw = recipe->bpw;
      if (options_.grid == "ecq" && recipe->fixed()) {
        const Result<uint64_t> bytes = MeasureFixed(i, *recipe);
        if (!bytes.ok()) return InTensor(tensor.name, bytes.error());
        own_bpw = 8.0 * static_cast<double>(*bytes) / weights;
      }
      budgeted.push_back({weights, IsEmbedding(tensor.name), own_bpw});
      recipes_.push_back(*std::move(recipe));
    }
    if (options_.grid != "ecq") return OkStatus();
    ECQ_TRY(rates_,
            RateControl::Create(std::move(budgeted),
                                {options_.bpw, options_.bpw_must_be_met, options_.embedding_bpw}));
    return OkStatus();
  }

  // What a matrix takes that has no rate.
  Result<uint64_t> MeasureFixed(size_t index, const MatrixRecipe& recipe) const {
    ECQ_TRY(const AlignedBuffer<float> values, ReadMatrix(index));
    if (recipe.keep) return values.size() * DTypeBytes(NarrowestExactType(values.span()));
    ECQ_TRY(const MadeMatrix made, MakeMatrix(ViewOf(index, values), recipe, 0, nullptr, pool_));
    return made.packed.total_bytes();
  }

  Result<AlignedBuffer<float>> ReadMatrix(size_t index) const {
    const Shape& shape = source_.tensors()[index].shape;
    constexpr uint64_t kMaxDimension = 0x7fffffff;
    if (shape[0] == 0 || shape[1] == 0 || shape[0] > kMaxDimension || shape[1] > kMaxDimension) {
      return Error{ErrorCode::kBadLayout, "a matrix of shape " + ShapeToString(shape)};
    }
    AlignedBuffer<float> values(shape[0] * shape[1]);
    ECQ_RETURN_IF_ERROR(source_.ReadF32(index, values.span()));
    return values;
  }

  WeightView ViewOf(size_t index, const AlignedBuffer<float>& values) const {
    const Shape& shape = source_.tensors()[index].shape;
    return {values.data(), static_cast<uint32_t>(shape[0]), static_cast<uint32_t>(shape[1])};
  }

  Status ConvertMatrix(size_t index) {
    const SourceTensor& tensor = source_.tensors()[index];
    const size_t matrix = report_.matrices.size();
    const MatrixRecipe& recipe = recipes_[matrix];
    if (recipe.keep) return KeepMatrix(index);
    if (auto done = aids_.log ? aids_.log->Next(tensor) : std::nullopt) {
      return AddMatrix(index, done->packed, done->relative_error, done->stored);
    }
    ECQ_TRY(const AlignedBuffer<float> values, ReadMatrix(index));
    const WeightView weights = ViewOf(index, values);
    const double bpw = rates_ ? rates_->RateOf(matrix) : recipe.bpw.value_or(0);
    if (recipe.grid == "ecq" && bpw < RateControl::kMinRate) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("{:.2f} bits per weight are left for this matrix, at least {} are "
                               "needed; raise --bpw or --size, or lower --embedding-bpw",
                               bpw, RateControl::kMinRate)};
    }
    const InputMoments* moments = nullptr;
    if (aids_.moments != nullptr && !recipe.fixed()) {
      ECQ_TRY(moments, aids_.moments->MomentsOf(tensor.name));
    }
    ECQ_TRY(const MadeMatrix made, MakeMatrix(weights, recipe, bpw, moments, pool_));
    if (!aids_.log) return AddMatrix(index, made.packed, made.relative_error, {});
    ECQ_TRY(const auto logged, aids_.log->Append(tensor.name, made.packed, made.relative_error));
    return AddMatrix(index, logged.packed, made.relative_error, logged.stored);
  }

  // The log has none of these: they are quick.
  Status KeepMatrix(size_t index) {
    const SourceTensor& tensor = source_.tensors()[index];
    ECQ_TRY(const AlignedBuffer<float> values, ReadMatrix(index));
    const DType type = NarrowestExactType(values.span());
    Report(index, DTypeName(type), values.size() * DTypeBytes(type), 0);
    return writer_.AddPlain(tensor.name, type, tensor.shape, StoreAs(type, values.span()));
  }

  Status AddMatrix(size_t index, const PackedTensor& packed, double relative_error,
                   const StoredBytes& stored) {
    Report(index, GetCodec(packed.desc.codec).name, cost_.Add(packed), relative_error);
    return writer_.AddMatrix(source_.tensors()[index].name, packed, stored);
  }

  // Notes what became of a matrix, and takes its bytes from the budget.
  void Report(size_t index, std::string_view codec, uint64_t bytes, double relative_error) {
    const SourceTensor& tensor = source_.tensors()[index];
    if (rates_) rates_->Spend(report_.matrices.size(), 8.0 * static_cast<double>(bytes));
    report_.matrices.push_back(
        {tensor.name, tensor.shape[0], tensor.shape[1], std::string(codec), bytes, relative_error});
  }

  Status CopyPlain(size_t index) {
    const SourceTensor& tensor = source_.tensors()[index];
    const auto size = NumElements(tensor.shape);
    if (!size) return Error{ErrorCode::kBadLayout, "shape " + ShapeToString(tensor.shape)};
    std::vector<float> values(*size);
    ECQ_RETURN_IF_ERROR(source_.ReadF32(index, values));
    const DType type = NarrowestExactType(values);
    return writer_.AddPlain(tensor.name, type, tensor.shape, StoreAs(type, values));
  }

  const ModelSource& source_;
  const QuantizeOptions& options_;
  ThreadPool& pool_;
  EcqWriter& writer_;
  const ConversionAids aids_;
  std::vector<size_t> order_;          // in which tensors are converted
  std::vector<MatrixRecipe> recipes_;  // of the matrices, in that order
  std::optional<RateControl> rates_;   // grid "ecq" only
  FileCost cost_;                      // of the matrices so far
  QuantizeReport report_;
};

}  // namespace

uint64_t QuantizeReport::num_weights() const {
  uint64_t sum = 0;
  for (const MatrixReport& m : matrices) sum += m.rows * m.cols;
  return sum;
}

uint64_t QuantizeReport::matrix_bytes() const {
  uint64_t sum = 0;
  for (const MatrixReport& m : matrices) sum += m.bytes;
  return sum;
}

double QuantizeReport::bits_per_weight() const {
  return 8.0 * static_cast<double>(matrix_bytes()) / static_cast<double>(num_weights());
}

Result<QuantizeMode> ParseQuantizeMode(std::string_view name) {
  for (const QuantizeMode mode :
       {QuantizeMode::kDataFree, QuantizeMode::kDiagonal, QuantizeMode::kZsic}) {
    if (name == QuantizeModeName(mode)) return mode;
  }
  return Error{ErrorCode::kInvalidArgument,
               "mode '" + std::string(name) + "': expected data-free, diagonal or zsic"};
}

std::string_view QuantizeModeName(QuantizeMode mode) {
  switch (mode) {
    case QuantizeMode::kDiagonal:
      return "diagonal";
    case QuantizeMode::kZsic:
      return "zsic";
    default:
      return "data-free";
  }
}

Status CheckGrid(std::string_view grid) {
  if (grid == "ecq" || FindBaselineGrid(grid) != nullptr) return OkStatus();
  std::string known = "ecq";
  for (const BaselineGrid& g : BaselineGrids()) known += ", " + std::string(g.name);
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("grid '{}' is not known; this build knows: {}", grid, known)};
}

Result<QuantizeReport> QuantizeModel(const ModelSource& source, const QuantizeOptions& options,
                                     ThreadPool& pool, EcqWriter& writer,
                                     const QuantizeProgress& progress, const ConversionAids& aids) {
  ECQ_RETURN_IF_ERROR(CheckGrid(options.grid));
  return Converter(source, options, pool, writer, aids).Run(progress);
}

}  // namespace ecq

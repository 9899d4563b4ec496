#include "app/quantize_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <utility>

#include "app/opened_model.h"
#include "ecq/backend/packed_matrix.h"
#include "ecq/base/aligned_buffer.h"
#include "ecq/base/half.h"
#include "ecq/codec/codec.h"
#include "ecq/quant/baseline_grids.h"
#include "ecq/quant/uniform_quantizer.h"

namespace ecq {
namespace {

constexpr double kMinRate = 0.5;

// Distributes a budget of bits over the matrices as they come: embedding and head take their own
// rate, every other matrix an equal share of what is left, so that the total is met whatever single
// matrices do.
class RateControl {
 public:
  RateControl(const std::vector<SourceTensor>& tensors, double bpw, double embedding_bpw)
      : embedding_bpw_(embedding_bpw) {
    for (const SourceTensor& tensor : tensors) {
      if (!IsWeightMatrix(tensor)) continue;
      const double weights = static_cast<double>(tensor.shape[0] * tensor.shape[1]);
      (IsEmbedding(tensor.name) ? embedding_weights_ : linear_weights_) += weights;
    }
    bits_left_ = bpw * (embedding_weights_ + linear_weights_);
  }

  double RateOf(std::string_view name) const {
    if (linear_weights_ <= 0) return bits_left_ / embedding_weights_;
    if (IsEmbedding(name)) return embedding_bpw_;
    return (bits_left_ - embedding_bpw_ * embedding_weights_) / linear_weights_;
  }

  void Spend(std::string_view name, double weights, double bits) {
    (IsEmbedding(name) ? embedding_weights_ : linear_weights_) -= weights;
    bits_left_ -= bits;
  }

 private:
  double embedding_bpw_;
  double embedding_weights_ = 0;
  double linear_weights_ = 0;
  double bits_left_;
};

Error InTensor(const std::string& name, Error error) {
  error.message = name + ": " + error.message;
  return error;
}

double RelativeError(WeightView weights, const QuantizedTensor& quantized, ThreadPool& pool) {
  std::vector<std::pair<double, double>> sums(weights.rows);
  pool.Run(weights.rows, [&](size_t row, size_t) {
    std::vector<float> dequantized(weights.cols);
    quantized.DequantizeRow(static_cast<uint32_t>(row), dequantized.data());
    const float* const w = weights.Row(static_cast<uint32_t>(row));
    for (uint32_t c = 0; c < weights.cols; ++c) {
      const double difference = double{w[c]} - dequantized[c];
      sums[row].first += difference * difference;
      sums[row].second += double{w[c]} * w[c];
    }
  });
  double error = 0;
  double energy = 0;
  for (const auto& [row_error, row_energy] : sums) {
    error += row_error;
    energy += row_energy;
  }
  return energy > 0 ? std::sqrt(error / energy) : 0;
}

// Decodes the codestreams again and compares with what went in.
Status CheckLossless(const PackedTensor& packed, const QuantizedTensor& quantized,
                     ThreadPool& pool) {
  const PackedMatrix matrix(packed);
  const PackedDesc& desc = packed.desc;
  std::atomic<bool> same{true};
  pool.Run(desc.num_tiles, [&](size_t task, size_t) {
    const uint32_t tile = static_cast<uint32_t>(task);
    const uint32_t begin = TileRowBegin(desc, tile);
    const uint32_t end = TileRowEnd(desc, tile);
    const size_t size = size_t{end - begin} * desc.cols;
    std::vector<int32_t> expected(quantized.levels.begin() + size_t{begin} * desc.cols,
                                  quantized.levels.begin() + size_t{begin} * desc.cols + size);
    const auto [first, last] = FixesOfRows(quantized.fixes, begin, end);
    for (const Fix* fix = first; fix != last; ++fix) {
      expected[size_t{fix->row - begin} * desc.cols + fix->col] += fix->delta;
    }
    std::vector<int32_t> decoded(size);
    if (!matrix.DecodeIntegers(begin, end, decoded.data()).ok() || decoded != expected) {
      same.store(false);
    }
  });
  if (same.load()) return OkStatus();
  return Error{ErrorCode::kInternal,
               "the coded integers do not decode to the same ones; please report this"};
}

Result<QuantizedTensor> QuantizeToRate(WeightView weights, double bpw, const PackOptions& options,
                                       ThreadPool& pool) {
  ECQ_TRY(const UniformQuantizer quantizer, UniformQuantizer::Create(weights, pool));
  const auto estimate = [&](const LevelCounts& counts) {
    Histogram histogram;
    histogram.counts = counts;
    return static_cast<double>(EstimatePackedBytes(histogram, weights.rows, weights.cols,
                                                   quantizer.scale_bytes(), options));
  };
  const double target_bytes = bpw / 8 * static_cast<double>(weights.size());
  const double step = FindRelativeStep(quantizer, weights.size(), target_bytes, estimate, pool);
  return quantizer.Quantize(step, pool);
}

Result<QuantizedTensor> QuantizeMatrix(WeightView weights, const QuantizeOptions& options,
                                       double bpw, ThreadPool& pool) {
  if (options.grid == "ecq") return QuantizeToRate(weights, bpw, options.pack, pool);
  return FindBaselineGrid(options.grid)->quantize(weights, pool);
}

// The narrowest of BF16, F16 and F32 that holds all values exactly.
DType NarrowestExactType(const std::vector<float>& values) {
  bool bf16 = true;
  bool f16 = true;
  for (const float v : values) {
    bf16 &= (std::bit_cast<uint32_t>(v) & 0xffffu) == 0;
    f16 &= std::bit_cast<uint32_t>(HalfToFloat(FloatToHalf(v))) == std::bit_cast<uint32_t>(v);
  }
  return bf16 ? DType::kBF16 : f16 ? DType::kF16 : DType::kF32;
}

std::vector<uint8_t> StoreAs(DType type, const std::vector<float>& values) {
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
            EcqWriter& writer, ConversionLog* log)
      : source_(source),
        options_(options),
        pool_(pool),
        writer_(writer),
        log_(log),
        rates_(source.tensors(), options.bpw,
               options.embedding_bpw.value_or(DefaultEmbeddingRate(options.bpw))) {}

  Result<QuantizeReport> Run(const QuantizeProgress& progress) {
    uint64_t all_weights = 0;
    for (const SourceTensor& tensor : source_.tensors()) {
      if (IsWeightMatrix(tensor)) all_weights += tensor.shape[0] * tensor.shape[1];
    }
    uint64_t done = 0;
    for (size_t i = 0; i < source_.tensors().size(); ++i) {
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
  Status ConvertMatrix(size_t index) {
    const SourceTensor& tensor = source_.tensors()[index];
    if (auto done = log_ ? log_->Next(tensor) : std::nullopt) {
      return AddMatrix(tensor.name, done->packed, done->relative_error, done->stored);
    }
    constexpr uint64_t kMaxDimension = 0x7fffffff;
    if (tensor.shape[0] == 0 || tensor.shape[1] == 0 || tensor.shape[0] > kMaxDimension ||
        tensor.shape[1] > kMaxDimension) {
      return Error{ErrorCode::kBadLayout, "a matrix of shape " + ShapeToString(tensor.shape)};
    }
    AlignedBuffer<float> values(tensor.shape[0] * tensor.shape[1]);
    ECQ_RETURN_IF_ERROR(source_.ReadF32(index, values.span()));
    const WeightView weights{values.data(), static_cast<uint32_t>(tensor.shape[0]),
                             static_cast<uint32_t>(tensor.shape[1])};
    const double bpw = rates_.RateOf(tensor.name);
    if (options_.grid == "ecq" && bpw < kMinRate) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("{:.2f} bits per weight are left for this matrix, at least {} are "
                               "needed; raise --bpw or --size, or lower --embedding-bpw",
                               bpw, kMinRate)};
    }
    ECQ_TRY(const QuantizedTensor quantized, QuantizeMatrix(weights, options_, bpw, pool_));
    ECQ_TRY(const PackedTensor packed, Pack(quantized, options_.pack, pool_));
    ECQ_RETURN_IF_ERROR(CheckLossless(packed, quantized, pool_));
    const double error = RelativeError(weights, quantized, pool_);
    if (!log_) return AddMatrix(tensor.name, packed, error, {});
    ECQ_TRY(const auto logged, log_->Append(tensor.name, packed, error));
    return AddMatrix(tensor.name, logged.packed, error, logged.stored);
  }

  Status AddMatrix(const std::string& name, const PackedTensor& packed, double relative_error,
                   const StoredBytes& stored) {
    rates_.Spend(name, static_cast<double>(packed.num_weights()),
                 8.0 * static_cast<double>(packed.total_bytes()));
    report_.matrices.push_back({name, packed.desc.rows, packed.desc.cols,
                                std::string(GetCodec(packed.desc.codec).name), packed.total_bytes(),
                                relative_error});
    return writer_.AddMatrix(name, packed, stored);
  }

  Status CopyPlain(size_t index) {
    const SourceTensor& tensor = source_.tensors()[index];
    const auto size = NumElements(tensor.shape);
    if (!size) return Error{ErrorCode::kBadLayout, "shape " + ShapeToString(tensor.shape)};
    std::vector<float> values(*size);
    ECQ_RETURN_IF_ERROR(source_.ReadF32(index, values));
    const DType type = NarrowestExactType(values);
    const std::vector<uint8_t> bytes = StoreAs(type, values);
    return writer_.AddPlain(tensor.name, type, tensor.shape, bytes);
  }

  const ModelSource& source_;
  const QuantizeOptions& options_;
  ThreadPool& pool_;
  EcqWriter& writer_;
  ConversionLog* const log_;  // or null
  RateControl rates_;
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

Status CheckGrid(std::string_view grid) {
  if (grid == "ecq" || FindBaselineGrid(grid) != nullptr) return OkStatus();
  std::string known = "ecq";
  for (const BaselineGrid& g : BaselineGrids()) known += ", " + std::string(g.name);
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("grid '{}' is not known; this build knows: {}", grid, known)};
}

double DefaultEmbeddingRate(double bpw) { return std::min(6.0, bpw); }

Result<QuantizeReport> QuantizeModel(const ModelSource& source, const QuantizeOptions& options,
                                     ThreadPool& pool, EcqWriter& writer,
                                     const QuantizeProgress& progress, ConversionLog* log) {
  ECQ_RETURN_IF_ERROR(CheckGrid(options.grid));
  return Converter(source, options, pool, writer, log).Run(progress);
}

}  // namespace ecq

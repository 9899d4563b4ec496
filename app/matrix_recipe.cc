#include "app/matrix_recipe.h"

#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <utility>
#include <vector>

#include "ecq/backend/packed_matrix.h"
#include "ecq/codec/codec.h"
#include "ecq/quant/baseline_grids.h"
#include "ecq/quant/uniform_quantizer.h"
#include "ecq/quant/window_quantizer.h"
#include "ecq/quant/window_successive.h"
#include "ecq/quant/zsic_quantizer.h"

namespace ecq {
namespace {

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

Result<QuantizedTensor> QuantizeAgainst(const InputMoments& moments, WeightView weights,
                                        const MatrixRecipe& recipe, double bpw, ThreadPool& pool) {
  FactorOptions factor_options;
  factor_options.diagonal_only = recipe.mode == QuantizeMode::kDiagonal;
  if (recipe.pack.codec == CodecId::kWindow) {
    SuccessiveWindowOptions options;
    options.bpw = bpw;
    options.has_memory = recipe.window_memory;
    options.pays_for_tables = false;  // all matrices share them
    options.factor = factor_options;
    return QuantizeWindowSuccessive(weights, moments, options, "calibration", pool);
  }
  ECQ_TRY(const InputFactor factor, InputFactor::Create(moments, factor_options, "calibration"));
  ECQ_TRY(const ZsicQuantizer quantizer, ZsicQuantizer::Create(weights, factor, {}, pool));
  const auto bytes_of = [&](const QuantizedTensor& tensor) -> Result<double> {
    ECQ_TRY(const PackedTensor packed, Pack(tensor, recipe.pack, pool));
    return static_cast<double>(packed.total_bytes());
  };
  const double target_bytes = bpw / 8 * static_cast<double>(weights.size());
  ECQ_TRY(ZsicQuantizer::Found found, quantizer.FindStep(target_bytes, bytes_of, pool));
  return std::move(found.output.tensor);
}

// moments: null where nothing is known of the inputs.
Result<QuantizedTensor> QuantizeMatrix(WeightView weights, const MatrixRecipe& recipe, double bpw,
                                       const InputMoments* moments, ThreadPool& pool) {
  const bool is_window = recipe.pack.codec == CodecId::kWindow;
  if (recipe.grid != "ecq") {
    if (!is_window) return FindBaselineGrid(recipe.grid)->quantize(weights, pool);
    return Error{ErrorCode::kInvalidArgument,
                 "codec window has a grid of its own; leave out --grid"};
  }
  if (moments != nullptr) return QuantizeAgainst(*moments, weights, recipe, bpw, pool);
  if (is_window) return QuantizeWindow(weights, {bpw, recipe.window_memory}, pool);
  return QuantizeToRate(weights, bpw, recipe.pack, pool);
}

}  // namespace

Result<MatrixRecipe> RecipeOf(const QuantizeOptions& options, const MatrixRule& rule) {
  MatrixRecipe recipe{rule.keep,    options.grid, options.pack, options.window_memory,
                      options.mode, rule.bpw};
  if (rule.bpw) recipe.grid = "ecq";
  if (!rule.grid.empty()) recipe.grid = rule.grid;
  if (rule.codec == "auto") recipe.pack.codec.reset();
  if (!rule.codec.empty() && rule.codec != "auto") {
    ECQ_TRY(recipe.pack.codec, CodecFromName(rule.codec));
  }
  if (options.grid != "ecq" && !recipe.fixed() && !recipe.bpw) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("its rule says grid:ecq, but beside --grid {} there is no rate to "
                             "share; add bpw:RATE to the rule",
                             options.grid)};
  }
  return recipe;
}

Result<MadeMatrix> MakeMatrix(WeightView weights, const MatrixRecipe& recipe, double bpw,
                              const InputMoments* moments, ThreadPool& pool) {
  ECQ_TRY(const QuantizedTensor quantized, QuantizeMatrix(weights, recipe, bpw, moments, pool));
  ECQ_TRY(PackedTensor packed, Pack(quantized, recipe.pack, pool));
  ECQ_RETURN_IF_ERROR(CheckLossless(packed, quantized, pool));
  return MadeMatrix{std::move(packed), RelativeError(weights, quantized, pool)};
}

}  // namespace ecq

// From a model to an .ecq file: which matrix gets which rate, and the loop over tensors.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/conversion_log.h"
#include "app/moments_provider.h"
#include "app/tensor_rules.h"
#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/format/ecq_writer.h"
#include "ecq/import/model_source.h"
#include "ecq/pack/pack.h"

namespace ecq {

// What the quantizer of grid "ecq" knows of the inputs of a matrix.
enum class QuantizeMode : uint8_t {
  kDataFree,
  kDiagonal,  // how large each input is
  kZsic,      // how the inputs are correlated
};
// "data-free", "diagonal" or "zsic". Errors: kInvalidArgument.
Result<QuantizeMode> ParseQuantizeMode(std::string_view name);
std::string_view QuantizeModeName(QuantizeMode mode);

struct QuantizeOptions {
  std::string grid = "ecq";             // "ecq" or a baseline grid
  double bpw = 4.5;                     // total bits per weight over all matrices (grid ecq)
  bool bpw_must_be_met = false;         // also where rules settle every matrix
  std::optional<double> embedding_bpw;  // nothing: as the others, at most 6
  PackOptions pack;
  bool window_memory = true;  // codec window: 12 bits of window rather than 8
  QuantizeMode mode = QuantizeMode::kDataFree;
  std::string calibration;        // names the calibration text and the tokens taken from it
  std::vector<MatrixRule> rules;  // one for each tensor of the source, or none
};

// What became of one matrix.
struct MatrixReport {
  std::string name;
  uint64_t rows;
  uint64_t cols;
  std::string codec;      // of a matrix that is kept, its type: "BF16"
  uint64_t bytes;         // payload, index, scales, fixes, tables
  double relative_error;  // |W - quantized W| / |W|, Frobenius norms

  double bits_per_weight() const {
    return 8.0 * static_cast<double>(bytes) /
           (static_cast<double>(rows) * static_cast<double>(cols));
  }
};

struct QuantizeReport {
  std::vector<MatrixReport> matrices;

  uint64_t num_weights() const;
  uint64_t matrix_bytes() const;
  double bits_per_weight() const;
};

// Refuses a grid that is none of those known, and names them. Errors: kInvalidArgument.
Status CheckGrid(std::string_view grid);

// Quantizes and codes every matrix of `source`, checks that the coded integers decode to the same
// ones, and hands all tensors and side files to `writer`, which is left open. Memory holds one
// tensor at a time. Matrices whose rule fixes their bytes are measured first, so that the others
// can share what is left. progress(done weights, all weights, name) is called after each matrix.
// Errors: those of the source, kInvalidArgument for a rate that cannot be met, those of the writer
// and the log.
struct ConversionAids {
  // Matrices are taken from here as far as it goes, and go into it after that; it must outlive the
  // writer's work.
  ConversionLog* log = nullptr;
  // Needed by all modes but kDataFree.
  MomentsProvider* moments = nullptr;
};
using QuantizeProgress = std::function<void(uint64_t, uint64_t, const std::string&)>;
Result<QuantizeReport> QuantizeModel(const ModelSource& source, const QuantizeOptions& options,
                                     ThreadPool& pool, EcqWriter& writer,
                                     const QuantizeProgress& progress,
                                     const ConversionAids& aids = {});

}  // namespace ecq

// Gaussian matrices for the benchmarks.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "ecq/backend/packed_matrix.h"
#include "ecq/base/rng.h"
#include "ecq/base/thread_pool.h"
#include "ecq/pack/pack.h"
#include "ecq/quant/baseline_grids.h"
#include "ecq/quant/uniform_quantizer.h"

namespace ecq::bench {

inline std::vector<float> GaussianValues(size_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(0.02 * rng.Gaussian());
  return values;
}

// A matrix of Gaussian weights as the ECQ quantizer makes it, with a step that gives about `bits` of
// entropy (the step at which a unit Gaussian has that entropy, at high rate).
inline QuantizedTensor GaussianTensor(uint32_t rows, uint32_t cols, double bits, ThreadPool& pool) {
  const std::vector<float> weights = GaussianValues(size_t{rows} * cols, 1);
  const auto quantizer = UniformQuantizer::Create({weights.data(), rows, cols}, pool);
  auto quantized = quantizer->Quantize(std::exp2(2.047 - bits), pool);
  return std::move(quantized).value();
}

// The 4-bit group grid of the field on the same weights.
inline QuantizedTensor Group4Tensor(uint32_t rows, uint32_t cols, ThreadPool& pool) {
  const std::vector<float> weights = GaussianValues(size_t{rows} * cols, 1);
  return FindBaselineGrid("q4_0")->quantize({weights.data(), rows, cols}, pool);
}

inline PackedTensor PackAs(const QuantizedTensor& tensor, CodecId codec, ThreadPool& pool) {
  PackOptions options;
  options.codec = codec;
  auto packed = Pack(tensor, options, pool);
  if (!packed.ok()) {
    std::fprintf(stderr, "%s\n", packed.error().message.c_str());
    std::exit(1);
  }
  return std::move(packed).value();
}

}  // namespace ecq::bench

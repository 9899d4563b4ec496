// QuantizedTensor -> PackedTensor: tiling, choice of codec and tables, encoding.
#pragma once

#include <optional>

#include "ecq/base/thread_pool.h"
#include "ecq/codec/codec.h"
#include "ecq/pack/packed_tensor.h"

namespace ecq {

struct PackOptions {
  // Nothing: window if there are window codes, else the smallest estimate, ties to the simpler one.
  std::optional<CodecId> codec;
  // Upper limit of the rANS precision. Up to 12 the fast kernels apply.
  uint32_t max_prob_bits = kRansMaxFusedProbBits;
};

// How an (N, K) matrix is cut: as many lanes and as short tiles as keep the states below about
// 0.016 bit per weight.
struct Tiling {
  uint32_t lanes;
  uint32_t blocks_per_tile;
};
Tiling ChooseTiling(uint32_t rows, uint32_t cols, CodecId codec);

// Codes a matrix. The integers come back exactly: level + fixes. Window codes are kept as they are,
// unless options.codec names another codec, which then codes their levels.
// Deterministic: the result does not depend on the number of threads.
// Errors: kInvalidArgument if `tensor` violates its invariants, kUnsupportedCodec if the codec
// asked for cannot code these levels, or is window and there are no window codes.
Result<PackedTensor> Pack(const QuantizedTensor& tensor, const PackOptions& options,
                          ThreadPool& pool);

// The bytes Pack() would need for levels with this histogram, within a fraction of a percent: the
// same plan without encoding. Not for window codes. scale_bytes: of scales and biases together.
uint64_t EstimatePackedBytes(const Histogram& histogram, uint32_t rows, uint32_t cols,
                             uint64_t scale_bytes, const PackOptions& options);

}  // namespace ecq

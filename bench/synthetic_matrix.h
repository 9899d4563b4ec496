// Gaussian matrices for the benchmarks.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "ecq/backend/packed_matrix.h"
#include "ecq/base/half.h"
#include "ecq/base/rng.h"
#include "ecq/base/thread_pool.h"
#include "ecq/pack/pack.h"
#include "ecq/quant/baseline_grids.h"
#include "ecq/quant/uniform_quantizer.h"
#include "ecq/quant/window_tables.h"

namespace ecq::bench {

inline std::vector<float> GaussianValues(size_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(n);
  for (float& v : values) v = static_cast<float>(0.02 * rng.Gaussian());
  return values;
}

// A matrix of Gaussian weights as the ECQ quantizer makes it, with a step that gives about `bits`
// of entropy (the step at which a unit Gaussian has that entropy, at high rate).
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

// Window codes: random bytes and tables, which take as long as any others. One scale a row.
inline PackedTensor RandomWindow(uint32_t rows, uint32_t cols, WindowRate rate, bool has_memory) {
  Rng rng(4);
  PackedTensor packed;
  packed.grid = "random";
  packed.spans = {{0, cols, 0, 0}};
  packed.windows = {WindowTable{rate.raw_bits, 0, {}, rate.code_bits}};
  for (uint32_t i = 0; i < NumWindowEntries(rate.code_bits); ++i) {
    for (int8_t& weight : packed.windows[0].entries[i]) {
      weight = static_cast<int8_t>(static_cast<int32_t>(rng.Below(255)) - 127);
    }
  }
  PackedDesc& d = packed.desc;
  d.rows = rows;
  d.cols = cols;
  d.lanes = kMaxLanes;
  d.blocks_per_tile = 1;
  d.num_tiles = rows / kMaxLanes;
  d.num_spans = 1;
  d.codec = CodecId::kWindow;
  d.has_memory = has_memory ? 1 : 0;
  d.scale_groups = 1;
  d.group_size = cols;
  auto storage = std::make_shared<PackedTensor::Storage>();
  const size_t tile_bytes = size_t{kMaxLanes} * (cols / kWindowGroupCols) *
                            WindowGroupLaneBytes(rate.code_bits, rate.raw_bits);
  storage->payload.resize(d.num_tiles * tile_bytes + kPayloadReadPadding);
  for (uint8_t& byte : storage->payload) byte = static_cast<uint8_t>(rng.Next());
  for (uint32_t tile = 0; tile <= d.num_tiles; ++tile) {
    storage->index.push_back(static_cast<uint32_t>(tile * tile_bytes / kIndexUnitBytes));
  }
  storage->scales.assign(rows, FloatToHalf(0.01f));
  packed.payload = std::span(storage->payload).first(d.num_tiles * tile_bytes);
  packed.index = storage->index;
  packed.scales = storage->scales;
  packed.storage = std::move(storage);
  if (const Status status = ValidatePackedTensor(packed, "window"); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.error().message.c_str());
    std::exit(1);
  }
  return packed;
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

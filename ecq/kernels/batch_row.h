// One row of a batch of activations, laid out as a single vector is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ecq/kernels/packed_view.h"

namespace ecq {

class BatchRow {
 public:
  // For matrices like desc.
  explicit BatchRow(const PackedDesc& desc);

  // Row `row` of x; valid until the next call.
  PackedActivations Take(const PackedBatch& x, size_t row);

 private:
  PackedDesc desc_;
  std::vector<int8_t> q_;
  std::vector<float> q_scales_;
  std::vector<int32_t> q_sums_;
  std::vector<int8_t> q_tuples_;
};

}  // namespace ecq

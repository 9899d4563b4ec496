#include "ecq/kernels/batch_row.h"

#include "ecq/kernels/activations.h"

namespace ecq {

BatchRow::BatchRow(const PackedDesc& desc)
    : desc_(desc),
      q_(PaddedActivations(desc.cols)),
      q_scales_(NumActivationBlocks(desc.cols)),
      q_sums_(q_scales_.size()),
      q_tuples_(desc.codec == CodecId::kWindow ? q_.size() : 0) {}

PackedActivations BatchRow::Take(const PackedBatch& x, size_t row) {
  for (size_t block = 0; block < q_scales_.size(); ++block) {
    const size_t at = PanelBlockIndex(desc_.cols, row, block);
    q_scales_[block] = x.q_scales[at];
    q_sums_[block] = x.q_sums[at];
  }
  const bool tuples = desc_.codec == CodecId::kWindow;
  for (size_t i = 0; i < q_.size(); ++i) {
    q_[i] = x.q[PanelIndex(desc_.cols, row, tuples ? TupleIndex(i) : i)];
    if (tuples) q_tuples_[i] = x.q[PanelIndex(desc_.cols, row, i)];
  }
  const float* const group_sums =
      x.group_sums == nullptr ? nullptr : x.group_sums + row * desc_.scale_groups;
  return {nullptr,        q_.data(),  q_scales_.data(),
          q_sums_.data(), group_sums, tuples ? q_tuples_.data() : nullptr};
}

}  // namespace ecq

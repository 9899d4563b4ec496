// A last block that lacks rows, as a matrix of one whole block.
#include "ecq/kernels/cpu/padded_block.h"

#include <algorithm>
#include <cstddef>

namespace ecq {
namespace {

constexpr uint32_t kBits = 8;
constexpr size_t kWordLevels = sizeof(uint32_t);

// (scale_groups, kMaxLanes) of the rows from `row` on; zeros for rows that are none.
std::vector<float> Padded(const PackedDesc& desc, const float* values, uint32_t row) {
  std::vector<float> padded(size_t{desc.scale_groups} * kMaxLanes);
  for (size_t group = 0; group < desc.scale_groups; ++group) {
    std::copy_n(values + group * desc.rows + row, desc.rows - row, &padded[group * kMaxLanes]);
  }
  return padded;
}

}  // namespace

PaddedBlock::PaddedBlock(const PackedView& w, uint32_t row)
    : num_rows_(w.desc.rows - row),
      levels_(size_t{w.desc.cols} * kMaxLanes),
      payload_(sizeof(uint32_t) * RawBlockWords(w.desc.cols, kBits, kMaxLanes)),
      scales_(Padded(w.desc, w.scales, row)),
      index_{0, RawBlockWords(w.desc.cols, kBits, kMaxLanes)},
      span_{0, w.desc.cols, 0, 0},
      view_{} {
  if (w.biases != nullptr) biases_ = Padded(w.desc, w.biases, row);
  view_.desc = w.desc;
  view_.desc.rows = kMaxLanes;
  view_.desc.blocks_per_tile = 1;
  view_.desc.num_tiles = 1;
  view_.desc.num_spans = 1;
  view_.desc.codec = CodecId::kRaw;
  view_.desc.raw_bits = kBits;
  view_.desc.raw_level_min = 0;  // the symbols are the levels, in two's complement
  view_.payload = payload_.data();
  view_.index = index_;
  view_.spans = &span_;
  view_.scales = scales_.data();
  view_.biases = biases_.empty() ? nullptr : biases_.data();
}

const PackedView& PaddedBlock::View() {
  const size_t cols = view_.desc.cols;
  std::fill(payload_.begin(), payload_.end(), uint8_t{0});
  for (size_t col = 0; col < cols; ++col) {
    const int8_t* const in = &levels_[col * kMaxLanes];
    uint8_t* const out = &payload_[col / kWordLevels * kMaxLanes * kWordLevels + col % kWordLevels];
    for (size_t lane = 0; lane < kMaxLanes; ++lane) {
      out[lane * kWordLevels] = static_cast<uint8_t>(in[lane]);
    }
  }
  return view_;
}

}  // namespace ecq

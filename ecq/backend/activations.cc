// Rotation, order, scales and rounding of the inputs of products.
#include "ecq/backend/activations.h"

#include <algorithm>

#include "ecq/base/bytes.h"
#include "ecq/kernels/activations.h"
#include "ecq/kernels/cpu/activation_kernels.h"
#include "ecq/kernels/cpu/dense_kernels.h"

namespace ecq {
namespace {

template <typename T>
void Grow(AlignedBuffer<T>& buffer, size_t size) {
  if (buffer.size() < size) buffer = AlignedBuffer<T>(size);
}

// Scratch of one thread: memory for `size` values.
template <typename T>
T* ThreadScratch(size_t size) {
  thread_local AlignedBuffer<T> scratch;
  Grow(scratch, size);
  return scratch.data();
}

// Sums of value(c) over groups of columns, each accumulated in f64 and rounded once.
template <typename Value>
void SumGroups(size_t cols, size_t group_size, Value&& value, float* sums) {
  for (size_t begin = 0; begin < cols; begin += group_size) {
    double sum = 0;
    for (size_t c = begin; c < std::min(cols, begin + group_size); ++c) sum += value(c);
    sums[begin / group_size] = static_cast<float>(sum);
  }
}

}  // namespace

void Activations::Reset(size_t m, size_t cols, const float* x) {
  m_ = m;
  cols_ = cols;
  x_ = x;
  stored_for_.reset();
  rounded_for_.reset();
  vector_for_.reset();
  panels_for_.reset();
}

const float* Activations::StoredRow(size_t row, const ColumnLayout& layout, float* out) const {
  const float* x = x_ + row * cols_;
  if (layout.rotation != 0) {
    const bool in_place = layout.col_order.empty();
    float* const rotated = in_place ? out : ThreadScratch<float>(cols_);
    ActiveDenseKernels().rotate(x, cols_, layout.rotation, rotated);
    x = rotated;
  }
  if (layout.col_order.empty() && layout.col_scales.empty()) return x;
  for (size_t c = 0; c < cols_; ++c) {
    const float value = x[layout.col_order.empty() ? c : layout.col_order[c]];
    out[c] = layout.col_scales.empty() ? value : value * layout.col_scales[c];
  }
  return out;
}

const float* Activations::Stored(ThreadPool& pool, const ColumnLayout& layout) {
  if (layout.IsPlain()) return x_;
  if (stored_for_ == layout) return stored_.data();
  Grow(stored_, m_ * cols_);
  pool.Run(m_, [&](size_t row, size_t /*worker*/) {
    StoredRow(row, layout, stored_.data() + row * cols_);
  });
  stored_for_ = layout;
  return stored_.data();
}

const float* Activations::Rounded(ThreadPool& pool, const ColumnLayout& layout) {
  if (rounded_for_ == layout) return rounded_.data();
  Grow(rounded_, m_ * cols_);
  pool.Run(m_, [&](size_t row, size_t /*worker*/) {
    float* const out = rounded_.data() + row * cols_;
    RoundActivations(StoredRow(row, layout, out), cols_, out);
  });
  rounded_for_ = layout;
  return rounded_.data();
}

Activations::Key Activations::KeyFor(const ColumnLayout& layout, const PackedDesc& desc) {
  return {layout, desc.has_bias != 0 ? desc.group_size : 0, desc.codec == CodecId::kWindow};
}

PackedActivations Activations::VectorF32(ThreadPool& pool, const ColumnLayout& layout,
                                         const PackedDesc& desc) {
  PackedActivations vector{Stored(pool, layout), nullptr, nullptr, nullptr, nullptr};
  if (desc.has_bias == 0) return vector;
  vector_for_.reset();  // its sums go
  Grow(group_sums_, desc.scale_groups);
  SumGroups(
      cols_, desc.group_size, [&](size_t c) { return double{vector.x[c]}; }, group_sums_.data());
  vector.group_sums = group_sums_.data();
  return vector;
}

PackedActivations Activations::VectorI8(const ColumnLayout& layout, const PackedDesc& desc) {
  const Key key = KeyFor(layout, desc);
  if (key.group_size != 0) Grow(group_sums_, desc.scale_groups);
  if (vector_for_ != key) QuantizeRow(0, key, vector_, group_sums_.data());
  vector_for_ = key;
  return {nullptr,
          vector_.q.data(),
          vector_.q_scales.data(),
          vector_.q_sums.data(),
          key.group_size != 0 ? group_sums_.data() : nullptr,
          key.tuples ? vector_.q_tuples.data() : nullptr};
}

PackedBatch Activations::BatchI8(ThreadPool& pool, const ColumnLayout& layout,
                                 const PackedDesc& desc) {
  const Key key = KeyFor(layout, desc);
  if (panels_for_ != key) {
    const size_t panels = DivideRoundUp(m_, kPanelRows);
    Grow(q_panels_, panels * kPanelRows * PaddedActivations(cols_));
    Grow(scale_panels_, panels * kPanelRows * NumActivationBlocks(cols_));
    Grow(sum_panels_, panels * kPanelRows * NumActivationBlocks(cols_));
    if (key.group_size != 0) Grow(group_sums_, m_ * desc.scale_groups);
    pool.Run(panels, [&](size_t panel, size_t /*worker*/) {
      thread_local Int8Row quantized;
      const size_t end = std::min(m_, (panel + 1) * kPanelRows);
      for (size_t row = panel * kPanelRows; row < end; ++row) {
        QuantizeRow(row, key, quantized, group_sums_.data() + row * desc.scale_groups);
        StoreInPanels(row, key, quantized);
      }
    });
    panels_for_ = key;
  }
  return {m_, q_panels_.data(), scale_panels_.data(), sum_panels_.data(),
          key.group_size != 0 ? group_sums_.data() : nullptr};
}

void Activations::QuantizeRow(size_t row, const Key& key, Int8Row& to, float* group_sums) const {
  thread_local AlignedBuffer<float> stored;
  const size_t blocks = NumActivationBlocks(cols_);
  Grow(stored, cols_);
  Grow(to.q, PaddedActivations(cols_));
  Grow(to.q_scales, blocks);
  Grow(to.q_sums, blocks);
  int8_t* const q = to.q.data();
  const ActivationKernels& kernels = ActiveActivationKernels();
  kernels.quantize(StoredRow(row, key.layout, stored.data()), cols_, q, to.q_scales.data(),
                   to.q_sums.data());
  if (key.tuples) {
    Grow(to.q_tuples, PaddedActivations(cols_));
    kernels.transpose_tuples(q, cols_, to.q_tuples.data());
  }
  if (key.group_size == 0) return;
  const auto value = [&](size_t c) { return double{to.q_scales[c / kActivationBlock]} * q[c]; };
  SumGroups(cols_, key.group_size, value, group_sums);
}

void Activations::StoreInPanels(size_t row, const Key& key, const Int8Row& from) {
  StoreInPanel(key.tuples ? from.q_tuples.data() : from.q.data(), cols_, row, q_panels_.data());
  for (size_t block = 0; block < NumActivationBlocks(cols_); ++block) {
    const size_t at = PanelBlockIndex(cols_, row, block);
    scale_panels_[at] = from.q_scales[block];
    sum_panels_[at] = from.q_sums[block];
  }
}

}  // namespace ecq

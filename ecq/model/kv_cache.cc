// Keys and values in the layout that attention reads.
#include "ecq/model/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "ecq/kernels/activations.h"
#include "ecq/kernels/cpu/attention_kernels.h"

namespace ecq {
namespace {

// out[i * kKvBlock] = in[i]
template <typename T>
void Spread(const uint8_t* in, size_t n, uint8_t* out) {
  for (size_t i = 0; i < n; ++i)
    StoreLe(out + i * kKvBlock * sizeof(T), LoadLe<T>(in + i * sizeof(T)));
}

}  // namespace

KvCache::KvCache(const ModelConfig& config, size_t capacity, KvFormat format)
    : format_(format),
      num_kv_heads_(config.num_kv_heads),
      head_dim_(config.head_dim),
      capacity_(capacity),
      padded_(AlignUp(capacity, kKvBlock)),
      keys_(config.num_layers * num_kv_heads_ * padded_ * head_dim_ * KvElementBytes(format)),
      values_(config.num_layers * num_kv_heads_ * padded_ * KvValueStride(head_dim_) *
              KvElementBytes(format)),
      key_scales_(format == KvFormat::kI8 ? config.num_layers * num_kv_heads_ * padded_ : 0),
      value_scales_(key_scales_.size()),
      encoded_(head_dim_ * sizeof(float)) {}

KvView KvCache::head(size_t layer, size_t kv_head) const {
  const size_t at = HeadIndex(layer, kv_head) * padded_;
  const size_t bytes = KvElementBytes(format_);
  KvView view{format_,
              head_dim_,
              keys_.data() + at * head_dim_ * bytes,
              values_.data() + at * KvValueStride(head_dim_) * bytes,
              nullptr,
              nullptr};
  if (format_ == KvFormat::kI8) {
    view.key_scales = key_scales_.data() + at;
    view.value_scales = value_scales_.data() + at;
  }
  return view;
}

void KvCache::Append(size_t layer, size_t t, const float* k, const float* v) {
  for (size_t row = 0; row < t; ++row) {
    for (size_t h = 0; h < num_kv_heads_; ++h) {
      const size_t from = (row * num_kv_heads_ + h) * head_dim_;
      StoreKey(HeadIndex(layer, h), length_ + row, k + from);
      StoreValue(HeadIndex(layer, h), length_ + row, v + from);
    }
  }
}

void KvCache::Encode(const float* x, float* scale) {
  switch (format_) {
    case KvFormat::kF32:
      std::memcpy(encoded_.data(), x, head_dim_ * sizeof(float));
      return;
    case KvFormat::kF16:
      ActiveAttentionKernels().encode_f16(x, head_dim_,
                                          reinterpret_cast<uint16_t*>(encoded_.data()));
      return;
    case KvFormat::kI8:
      *scale = QuantizeBlock(x, head_dim_, reinterpret_cast<int8_t*>(encoded_.data()));
      return;
  }
}

void KvCache::StoreKey(size_t head, size_t position, const float* k) {
  const bool has_scale = format_ == KvFormat::kI8;
  const size_t bytes = KvElementBytes(format_);
  const size_t at = head * padded_ + position;
  const size_t block_bytes = head_dim_ * kKvBlock * bytes;
  uint8_t* const block = keys_.data() + at / kKvBlock * block_bytes;
  const size_t in_block = position % kKvBlock;
  if (in_block == 0) {  // attention computes with whole blocks
    std::memset(block, 0, block_bytes);
    if (has_scale) std::fill_n(&key_scales_[at], kKvBlock, 0.0f);
  }
  Encode(k, has_scale ? &key_scales_[at] : nullptr);
  uint8_t* const out = block + in_block * bytes;
  switch (format_) {
    case KvFormat::kF32:
      return Spread<float>(encoded_.data(), head_dim_, out);
    case KvFormat::kF16:
      return Spread<uint16_t>(encoded_.data(), head_dim_, out);
    case KvFormat::kI8:
      return Spread<int8_t>(encoded_.data(), head_dim_, out);
  }
}

void KvCache::StoreValue(size_t head, size_t position, const float* v) {
  const size_t bytes = KvElementBytes(format_);
  const size_t at = head * padded_ + position;
  Encode(v, format_ == KvFormat::kI8 ? &value_scales_[at] : nullptr);
  const size_t stride = KvValueStride(head_dim_) * bytes;
  uint8_t* const out = values_.data() + at * stride;
  std::memcpy(out, encoded_.data(), head_dim_ * bytes);
  std::memset(out + head_dim_ * bytes, 0, stride - head_dim_ * bytes);
}

}  // namespace ecq

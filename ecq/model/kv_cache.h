// Keys and values of the positions a sequence has seen.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ecq/base/aligned_buffer.h"
#include "ecq/kernels/kv_view.h"
#include "ecq/model/config.h"

namespace ecq {

// A forward pass appends the keys and values of its tokens layer by layer, attends to them, and
// advances the length once all layers are done; until then the old length stands.
class KvCache {
 public:
  // Throws std::bad_alloc. Pages are touched as the sequence grows.
  KvCache(const ModelConfig& config, size_t capacity, KvFormat format);

  size_t length() const { return length_; }
  size_t capacity() const { return capacity_; }

  KvView head(size_t layer, size_t kv_head) const;

  // Stores k and v (t, num_kv_heads, head_dim) at the positions length() to length() + t - 1.
  // Pre: length() + t <= capacity().
  void Append(size_t layer, size_t t, const float* k, const float* v);

  void Advance(size_t t) { length_ += t; }
  // Forgets all positions from `length` on. Pre: length <= length().
  void Truncate(size_t length) { length_ = length; }

 private:
  size_t HeadIndex(size_t layer, size_t kv_head) const { return layer * num_kv_heads_ + kv_head; }
  // x (head_dim) as elements of the format, at encoded_. `scale`: of kI8.
  void Encode(const float* x, float* scale);
  void StoreKey(size_t head, size_t position, const float* k);
  void StoreValue(size_t head, size_t position, const float* v);

  KvFormat format_;
  size_t num_kv_heads_;
  size_t head_dim_;
  size_t capacity_;
  size_t padded_;  // positions of whole blocks
  size_t length_ = 0;
  AlignedBuffer<uint8_t> keys_;        // per layer and head as in KvView, `padded_` positions
  AlignedBuffer<uint8_t> values_;      // likewise
  AlignedBuffer<float> key_scales_;    // (num_layers, num_kv_heads, padded), kI8
  AlignedBuffer<float> value_scales_;  // likewise
  AlignedBuffer<uint8_t> encoded_;     // one row
};

}  // namespace ecq

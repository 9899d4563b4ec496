// Keys and values of the positions a sequence has seen, in f32.
#pragma once

#include <algorithm>
#include <cstddef>

#include "ecq/base/aligned_buffer.h"
#include "ecq/model/config.h"

namespace ecq {

// A forward pass appends the keys and values of its tokens layer by layer, attends to them, and
// advances the length once all layers are done; until then the old length stands.
class KvCache {
 public:
  // Throws std::bad_alloc. Pages are touched as the sequence grows.
  KvCache(const ModelConfig& config, size_t capacity)
      : num_kv_heads_(config.num_kv_heads),
        head_dim_(config.head_dim),
        capacity_(capacity),
        keys_(config.num_layers * num_kv_heads_ * capacity * head_dim_),
        values_(keys_.size()) {}

  size_t length() const { return length_; }
  size_t capacity() const { return capacity_; }

  // The rows of one head: (capacity, head_dim).
  const float* keys(size_t layer, size_t kv_head) const { return &keys_[Offset(layer, kv_head)]; }
  const float* values(size_t layer, size_t kv_head) const {
    return &values_[Offset(layer, kv_head)];
  }

  // Stores k and v (t, num_kv_heads, head_dim) at the positions length() to length() + t - 1.
  // Pre: length() + t <= capacity().
  void Append(size_t layer, size_t t, const float* k, const float* v) {
    for (size_t row = 0; row < t; ++row) {
      for (size_t h = 0; h < num_kv_heads_; ++h) {
        const size_t from = (row * num_kv_heads_ + h) * head_dim_;
        const size_t to = Offset(layer, h) + (length_ + row) * head_dim_;
        std::copy_n(k + from, head_dim_, &keys_[to]);
        std::copy_n(v + from, head_dim_, &values_[to]);
      }
    }
  }

  void Advance(size_t t) { length_ += t; }
  // Forgets all positions from `length` on. Pre: length <= length().
  void Truncate(size_t length) { length_ = length; }

 private:
  size_t Offset(size_t layer, size_t kv_head) const {
    return (layer * num_kv_heads_ + kv_head) * capacity_ * head_dim_;
  }

  size_t num_kv_heads_;
  size_t head_dim_;
  size_t capacity_;
  size_t length_ = 0;
  AlignedBuffer<float> keys_;  // (num_layers, num_kv_heads, capacity, head_dim)
  AlignedBuffer<float> values_;
};

}  // namespace ecq

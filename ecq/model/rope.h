// Rotary position embedding in the half-split order of Hugging Face.
#pragma once

#include <cstddef>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/thread_pool.h"

namespace ecq {

// Rotates the pair (i, i + head_dim / 2) of every head by the angle position * theta^(-2 i /
// head_dim). Source: Su et al., arXiv:2104.09864.
class RopeTable {
 public:
  // Pre: head_dim is even.
  RopeTable(size_t num_positions, size_t head_dim, double theta);

  // Rotates x (t, num_heads, head_dim) in place; row r stands at position first_position + r.
  // Pre: first_position + t <= num_positions.
  void Rotate(ThreadPool& pool, size_t first_position, size_t t, size_t num_heads, float* x) const;

 private:
  size_t half_;               // head_dim / 2
  AlignedBuffer<float> cos_;  // (num_positions, half)
  AlignedBuffer<float> sin_;
};

}  // namespace ecq

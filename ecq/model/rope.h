// Rotary position embedding in the half-split order of Hugging Face.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/thread_pool.h"

namespace ecq {

struct RopeConfig {
  double theta = 0;
  uint32_t dims = 0;  // of a head, the first ones, are rotated; even; 0 for no rotation
  // (dims / 2): what the frequency of each pair is divided by. Empty: 1.
  std::vector<double> divisors;
  // The same for contexts of more than short_context positions. Empty: as `divisors`.
  std::vector<double> long_divisors;
  uint32_t short_context = 0;
  double magnitude = 1;  // cosines and sines are multiplied by it
};

// theta^(-2 pair / dims)
double RopeFrequency(double theta, uint32_t pair, uint32_t dims);

// Rotates the pair (i, i + dims / 2) of every head by the angle position * theta^(-2 i / dims) /
// divisor[i]. Source: Su et al., arXiv:2104.09864.
class RopeTable {
 public:
  // For a context of num_positions. Pre: config.dims <= head_dim.
  RopeTable(size_t num_positions, size_t head_dim, const RopeConfig& config);

  // Rotates x (t, num_heads, head_dim) in place; row r stands at position first_position + r.
  // Pre: first_position + t <= num_positions.
  void Rotate(ThreadPool& pool, size_t first_position, size_t t, size_t num_heads, float* x) const;

 private:
  size_t head_dim_;
  size_t half_;               // dims / 2
  AlignedBuffer<float> cos_;  // (num_positions, half)
  AlignedBuffer<float> sin_;
};

}  // namespace ecq

// Rotary position embedding.
#include "ecq/model/rope.h"

#include <cmath>

namespace ecq {

RopeTable::RopeTable(size_t num_positions, size_t head_dim, double theta)
    : half_(head_dim / 2), cos_(num_positions * half_), sin_(num_positions * half_) {
  for (size_t i = 0; i < half_; ++i) {
    const double frequency =
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    for (size_t position = 0; position < num_positions; ++position) {
      const double angle = static_cast<double>(position) * frequency;
      cos_[position * half_ + i] = static_cast<float>(std::cos(angle));
      sin_[position * half_ + i] = static_cast<float>(std::sin(angle));
    }
  }
}

void RopeTable::Rotate(ThreadPool& pool, size_t first_position, size_t t, size_t num_heads,
                       float* x) const {
  pool.Run(t, [&](size_t row, size_t /*worker*/) {
    const float* cos = cos_.data() + (first_position + row) * half_;
    const float* sin = sin_.data() + (first_position + row) * half_;
    for (size_t h = 0; h < num_heads; ++h) {
      float* a = x + (row * num_heads + h) * 2 * half_;
      float* b = a + half_;
      for (size_t i = 0; i < half_; ++i) {
        const float rotated = a[i] * cos[i] - b[i] * sin[i];
        b[i] = b[i] * cos[i] + a[i] * sin[i];
        a[i] = rotated;
      }
    }
  });
}

}  // namespace ecq

// Rotary position embedding.
#include "ecq/model/rope.h"

#include <cmath>

#include "ecq/kernels/cpu/dense_kernels.h"

namespace ecq {

double RopeFrequency(double theta, uint32_t pair, uint32_t dims) {
  return std::pow(theta, -2.0 * pair / dims);
}

RopeTable::RopeTable(size_t num_positions, size_t head_dim, const RopeConfig& config)
    : head_dim_(head_dim),
      half_(config.dims / 2),
      cos_(num_positions * half_),
      sin_(num_positions * half_) {
  const bool is_long = num_positions > config.short_context && !config.long_divisors.empty();
  const std::vector<double>& divisors = is_long ? config.long_divisors : config.divisors;
  for (uint32_t i = 0; i < half_; ++i) {
    const double frequency =
        RopeFrequency(config.theta, i, config.dims) / (divisors.empty() ? 1 : divisors[i]);
    for (size_t position = 0; position < num_positions; ++position) {
      const double angle = static_cast<double>(position) * frequency;
      cos_[position * half_ + i] = static_cast<float>(config.magnitude * std::cos(angle));
      sin_[position * half_ + i] = static_cast<float>(config.magnitude * std::sin(angle));
    }
  }
}

void RopeTable::Rotate(ThreadPool& pool, size_t first_position, size_t t, size_t num_heads,
                       float* x) const {
  if (half_ == 0) return;
  const DenseKernels& kernels = ActiveDenseKernels();
  pool.Run(t, [&](size_t row, size_t /*worker*/) {
    const float* cos = cos_.data() + (first_position + row) * half_;
    const float* sin = sin_.data() + (first_position + row) * half_;
    for (size_t h = 0; h < num_heads; ++h) {
      float* a = x + (row * num_heads + h) * head_dim_;
      kernels.rotate_pairs(a, a + half_, cos, sin, half_);
    }
  });
}

}  // namespace ecq

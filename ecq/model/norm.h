// Normalization of rows.
#pragma once

#include <cstddef>
#include <span>

#include "ecq/base/thread_pool.h"

namespace ecq {

// out[t, i] = weight[i] * x[t, i] / sqrt(mean_i(x[t, i]^2) + eps), in f32.
// x and out (t, weight.size()); out may be x.
void RmsNorm(ThreadPool& pool, std::span<const float> weight, float eps, size_t t, const float* x,
             float* out);

// out[t, i] = weight[i] * (x[t, i] - mean) / sqrt(variance + eps) + bias[i], over i; sums in f64.
// Pre: bias.size() == weight.size().
void LayerNorm(ThreadPool& pool, std::span<const float> weight, std::span<const float> bias,
               float eps, size_t t, const float* x, float* out);

}  // namespace ecq

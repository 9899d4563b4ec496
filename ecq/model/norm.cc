// Normalization of rows.
#include "ecq/model/norm.h"

#include <cmath>

#include "ecq/kernels/cpu/dense_kernels.h"

namespace ecq {

void RmsNorm(ThreadPool& pool, std::span<const float> weight, float eps, size_t t, const float* x,
             float* out) {
  const size_t size = weight.size();
  const DenseKernels& kernels = ActiveDenseKernels();
  pool.Run(t, [&](size_t row, size_t /*worker*/) {
    kernels.rms_norm(x + row * size, weight.data(), size, eps, out + row * size);
  });
}

void LayerNorm(ThreadPool& pool, std::span<const float> weight, std::span<const float> bias,
               float eps, size_t t, const float* x, float* out) {
  const size_t size = weight.size();
  pool.Run(t, [&](size_t row, size_t /*worker*/) {
    const float* in = x + row * size;
    double sum = 0;
    for (size_t i = 0; i < size; ++i) sum += in[i];
    const double mean = sum / static_cast<double>(size);
    double sum_squares = 0;
    for (size_t i = 0; i < size; ++i) sum_squares += (in[i] - mean) * (in[i] - mean);
    const double inverse = 1 / std::sqrt(sum_squares / static_cast<double>(size) + eps);
    for (size_t i = 0; i < size; ++i) {
      out[row * size + i] = weight[i] * static_cast<float>((in[i] - mean) * inverse) + bias[i];
    }
  });
}

}  // namespace ecq

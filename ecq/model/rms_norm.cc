// Root mean square normalization.
#include "ecq/model/rms_norm.h"

#include <cmath>

#include "ecq/kernels/cpu/dense_kernels.h"

namespace ecq {

void RmsNorm(ThreadPool& pool, std::span<const float> weight, float eps, size_t t, const float* x,
             float* out) {
  const size_t size = weight.size();
  const DenseKernels& kernels = ActiveDenseKernels();
  pool.Run(t, [&](size_t row, size_t /*worker*/) {
    const float* in = x + row * size;
    float sum_squares;
    kernels.gemv(in, 1, size, in, &sum_squares);
    const float inverse = 1.0f / std::sqrt(sum_squares / static_cast<float>(size) + eps);
    for (size_t i = 0; i < size; ++i) out[row * size + i] = weight[i] * (in[i] * inverse);
  });
}

}  // namespace ecq

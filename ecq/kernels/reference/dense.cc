// Dense f32 operations in plain scalar code.
#include "ecq/kernels/reference/dense.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ecq/base/hadamard.h"

namespace ecq::reference {

void Gemv(const float* w, size_t rows, size_t cols, const float* x, float* y) {
  for (size_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (size_t k = 0; k < cols; ++k) sum += static_cast<double>(w[r * cols + k]) * x[k];
    y[r] = static_cast<float>(sum);
  }
}

void SiluMul(float* gate, const float* up, size_t n) {
  for (size_t i = 0; i < n; ++i) gate[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

void GeluTanh(float* x, size_t n) {
  const double root = std::sqrt(2 / std::numbers::pi);
  for (size_t i = 0; i < n; ++i) {
    const double v = x[i];
    x[i] = static_cast<float>(v / 2 * (1 + std::tanh(root * (v + 0.044715 * v * v * v))));
  }
}

void AddTo(float* x, const float* delta, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] += delta[i];
}

void RmsNorm(const float* x, const float* weight, size_t n, float eps, float* out) {
  float sum_squares;
  Gemv(x, 1, n, x, &sum_squares);
  const float inverse = 1.0f / std::sqrt(sum_squares / static_cast<float>(n) + eps);
  for (size_t i = 0; i < n; ++i) out[i] = weight[i] * (x[i] * inverse);
}

void RotatePairs(float* a, float* b, const float* cos, const float* sin, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const float rotated = a[i] * cos[i] - b[i] * sin[i];
    b[i] = b[i] * cos[i] + a[i] * sin[i];
    a[i] = rotated;
  }
}

void Rotate(const float* x, size_t size, uint32_t block, float* out) {
  if (out != x) std::copy_n(x, size, out);
  RotateHadamard(out, size, block);
}

}  // namespace ecq::reference

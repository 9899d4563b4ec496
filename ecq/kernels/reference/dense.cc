// Dense f32 operations in plain scalar code.
#include "ecq/kernels/reference/dense.h"

#include <cmath>
#include <numbers>

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

}  // namespace ecq::reference

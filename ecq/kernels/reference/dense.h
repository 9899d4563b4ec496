// Dense f32 operations in plain scalar code: what the fast variants are compared with.
#pragma once

#include <cstddef>

namespace ecq::reference {

// Contracts as in DenseKernels (ecq/kernels/cpu/dense_kernels.h); sums are accumulated in f64.
void Gemv(const float* w, size_t rows, size_t cols, const float* x, float* y);
void SiluMul(float* gate, const float* up, size_t n);
void GeluTanh(float* x, size_t n);

}  // namespace ecq::reference

// Dense f32 operations in plain scalar code: what the fast variants are compared with.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ecq::reference {

// Contracts as in DenseKernels (ecq/kernels/cpu/dense_kernels.h); sums are accumulated in f64.
void Gemv(const float* w, size_t rows, size_t cols, const float* x, float* y);
void SiluMul(float* gate, const float* up, size_t n);
void GeluTanh(float* x, size_t n);
void AddTo(float* x, const float* delta, size_t n);
void RmsNorm(const float* x, const float* weight, size_t n, float eps, float* out);
void RotatePairs(float* a, float* b, const float* cos, const float* sin, size_t n);
void Rotate(const float* x, size_t size, uint32_t block, float* out);

}  // namespace ecq::reference

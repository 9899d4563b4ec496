// Dense f32 operations of a forward pass, one table of functions per CPU target.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ecq/base/cpu_target.h"

namespace ecq {

// All matrices are row-major without gaps. Pointers may have any alignment and must not overlap.
// Results agree between targets up to f32 rounding and the order of summation; a row's result does
// not depend on the rows computed with it. NaN in gives NaN out.
struct DenseKernels {
  // y[r] = sum_k w[r, k] x[k]. w (rows, cols), x (cols), y (rows).
  void (*gemv)(const float* w, size_t rows, size_t cols, const float* x, float* y);
  // gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i].
  void (*silu_mul)(float* gate, const float* up, size_t n);
  // x[i] = x[i] / 2 * (1 + tanh(sqrt(2 / pi) * (x[i] + 0.044715 x[i]^3))).
  void (*gelu_tanh)(float* x, size_t n);
  // x[i] += delta[i].
  void (*add_to)(float* x, const float* delta, size_t n);
  // out[i] = weight[i] * x[i] / sqrt(mean_i(x[i]^2) + eps). out may be x.
  void (*rms_norm)(const float* x, const float* weight, size_t n, float eps, float* out);
  // (a[i], b[i]) = (a[i] cos[i] - b[i] sin[i], b[i] cos[i] + a[i] sin[i]). The same bits
  // everywhere.
  void (*rotate_pairs)(float* a, float* b, const float* cos, const float* sin, size_t n);
  // out = RotateHadamard(x), the same bits everywhere. out may be x. Pre: as there.
  void (*rotate)(const float* x, size_t size, uint32_t block, float* out);
};

// Pre: CpuTargetSupported(target).
const DenseKernels& DenseKernelsFor(CpuTarget target);
inline const DenseKernels& ActiveDenseKernels() { return DenseKernelsFor(ActiveCpuTarget()); }

}  // namespace ecq

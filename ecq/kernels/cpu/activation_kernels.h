// What is made of activations before a product, one table of functions per CPU target.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ecq/base/cpu_target.h"

namespace ecq {

// Results are the same bits on every target.
struct ActivationKernels {
  // QuantizeActivations() of ecq/kernels/activations.h, and the sum of each block of q.
  void (*quantize)(const float* x, size_t k, int8_t* q, float* scales, int32_t* sums);
  // TransposeTuples() of ecq/kernels/activations.h.
  void (*transpose_tuples)(const int8_t* q, size_t k, int8_t* q_tuples);
};

// Pre: CpuTargetSupported(target).
const ActivationKernels& ActivationKernelsFor(CpuTarget target);
inline const ActivationKernels& ActiveActivationKernels() {
  return ActivationKernelsFor(ActiveCpuTarget());
}

}  // namespace ecq

// A weight matrix as the model sees it: something that multiplies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ecq/backend/activations.h"
#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"

namespace ecq {

// How a product treats its activations.
enum class ActivationMode : uint8_t {
  kF32,  // exact: x stays f32
  kI8,   // x is rounded to int8 with one scale per 32 values, as ggml does for its Q8_0 products
};

// Weights W (N, K), resident in whatever form they are kept: dense f32 or entropy-coded.
// Immutable after construction. Products with one matrix may not run concurrently on one pool.
class Matrix {
 public:
  virtual ~Matrix() = default;

  virtual uint64_t rows() const = 0;  // N = out_features
  virtual uint64_t cols() const = 0;  // K = in_features

  // y = x W^T with x (M, K) and y (M, N), both row-major f32 and dense.
  // M == 1 streams the weights once (GEMV); larger M decodes a tile once and uses it for all rows
  // of x. What is made of x on the way stays in `x` for the next matrix. Pre: x.cols() == K.
  // Errors: kCorrupt if the coded weights turn out to be damaged; y is then unspecified.
  virtual Status Multiply(ThreadPool& pool, ActivationMode mode, Activations& x,
                          float* y) const = 0;
  // The same for an x (m, K) that meets this matrix only.
  Status Multiply(ThreadPool& pool, ActivationMode mode, size_t m, const float* x, float* y) const;

  // out (ids.size(), K) = the dequantized rows `ids` of W: an embedding look-up.
  // Pre: every id < rows(). Errors: kCorrupt.
  virtual Status GatherRows(ThreadPool& pool, std::span<const uint32_t> ids, float* out) const = 0;

  // Bytes of the resident representation, everything a product reads included.
  virtual uint64_t resident_bytes() const = 0;
};

}  // namespace ecq

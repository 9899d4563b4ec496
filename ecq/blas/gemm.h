// Single-threaded dense f32 matrix products (OpenBLAS).
#pragma once

#include <cstddef>

namespace ecq {

// A row-major matrix whose rows start `stride` floats apart.
struct ConstRows {
  const float* data;
  size_t stride;
};
struct MutableRows {
  float* data;
  size_t stride;
};

// c = scale * a b^T with a (m, k), b (n, k), c (m, n). Runs on the calling thread only and may be
// called from many threads at once. Pre: every size and stride fits an int.
void GemmTransposed(size_t m, size_t n, size_t k, float scale, ConstRows a, ConstRows b,
                    MutableRows c);

// c = a b with a (m, k), b (k, n), c (m, n); otherwise as above.
void Gemm(size_t m, size_t n, size_t k, ConstRows a, ConstRows b, MutableRows c);

// c += a b; otherwise as above.
void AddGemm(size_t m, size_t n, size_t k, ConstRows a, ConstRows b, MutableRows c);

// c = a^T b with a (k, m), b (k, n), c (m, n); otherwise as above.
void GemmOfColumns(size_t m, size_t n, size_t k, ConstRows a, ConstRows b, MutableRows c);

// The lower triangle of c = a^T a with a (k, n), c (n, n); otherwise as above.
void LowerGram(size_t n, size_t k, ConstRows a, MutableRows c);

}  // namespace ecq

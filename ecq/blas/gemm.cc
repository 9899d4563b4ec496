// Matrix products through the CBLAS interface.
#include "ecq/blas/gemm.h"

#include <cblas.h>

#include "ecq/blas/single_thread.h"

namespace ecq {
namespace {

void CallSgemm(CBLAS_TRANSPOSE transpose_a, CBLAS_TRANSPOSE transpose_b, size_t m, size_t n,
               size_t k, float scale, ConstRows a, ConstRows b, float scale_c, MutableRows c) {
  KeepBlasSingleThreaded();
  cblas_sgemm(CblasRowMajor, transpose_a, transpose_b, static_cast<int>(m), static_cast<int>(n),
              static_cast<int>(k), scale, a.data, static_cast<int>(a.stride), b.data,
              static_cast<int>(b.stride), scale_c, c.data, static_cast<int>(c.stride));
}

}  // namespace

void GemmTransposed(size_t m, size_t n, size_t k, float scale, ConstRows a, ConstRows b,
                    MutableRows c) {
  CallSgemm(CblasNoTrans, CblasTrans, m, n, k, scale, a, b, 0.0f, c);
}

void Gemm(size_t m, size_t n, size_t k, ConstRows a, ConstRows b, MutableRows c) {
  CallSgemm(CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, a, b, 0.0f, c);
}

void AddGemm(size_t m, size_t n, size_t k, ConstRows a, ConstRows b, MutableRows c) {
  CallSgemm(CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, a, b, 1.0f, c);
}

void GemmOfColumns(size_t m, size_t n, size_t k, ConstRows a, ConstRows b, MutableRows c) {
  CallSgemm(CblasTrans, CblasNoTrans, m, n, k, 1.0f, a, b, 0.0f, c);
}

void LowerGram(size_t n, size_t k, ConstRows a, MutableRows c) {
  KeepBlasSingleThreaded();
  cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, static_cast<int>(n), static_cast<int>(k), 1.0f,
              a.data, static_cast<int>(a.stride), 0.0f, c.data, static_cast<int>(c.stride));
}

}  // namespace ecq

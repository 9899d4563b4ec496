// Bodies of the dense kernels over the vector vocabulary of dense_simd_<isa>.h.
// Included once per target file, inside its target region, with ECQ_TARGET naming the namespace.

// In this order; none stands alone.
// clang-format off
#include "ecq/kernels/cpu/dense_exp-inl.h"
#include "ecq/kernels/cpu/dense_hadamard-inl.h"
// clang-format on

namespace ecq::ECQ_TARGET {

static float Dot(const float* a, const float* b, size_t n) {
  F32 sum[4] = {Set(0), Set(0), Set(0), Set(0)};
  size_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (size_t j = 0; j < 4; ++j) {
      sum[j] = MulAdd(Load(a + i + j * kLanes), Load(b + i + j * kLanes), sum[j]);
    }
  }
  for (; i + kLanes <= n; i += kLanes) sum[0] = MulAdd(Load(a + i), Load(b + i), sum[0]);
  if (i < n) sum[1] = MulAdd(LoadFirst(a + i, n - i), LoadFirst(b + i, n - i), sum[1]);
  return SumLanes(Add(Add(sum[0], sum[1]), Add(sum[2], sum[3])));
}

static void Gemv(const float* w, size_t rows, size_t cols, const float* x, float* y) {
  for (size_t r = 0; r < rows; ++r) y[r] = Dot(w + r * cols, x, cols);
}

inline F32 SiluMulVector(F32 gate, F32 up) {
  const F32 sigmoid_inverse = Add(Set(1.0f), Exp(Sub(Set(0), gate)));
  return Mul(Div(gate, sigmoid_inverse), up);
}

static void SiluMul(float* gate, const float* up, size_t n) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Store(gate + i, SiluMulVector(Load(gate + i), Load(up + i)));
  }
  if (i < n) {
    StoreFirst(gate + i, n - i,
               SiluMulVector(LoadFirst(gate + i, n - i), LoadFirst(up + i, n - i)));
  }
}

// (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)), and -2 u = x (a + b x^2).
inline F32 GeluTanhVector(F32 x) {
  const F32 slope = MulAdd(Mul(x, x), Set(-0.0713548163f), Set(-1.59576912f));
  return Div(x, Add(Set(1.0f), Exp(Mul(x, slope))));
}

static void GeluTanh(float* x, size_t n) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(x + i, GeluTanhVector(Load(x + i)));
  if (i < n) StoreFirst(x + i, n - i, GeluTanhVector(LoadFirst(x + i, n - i)));
}

static void AddTo(float* x, const float* delta, size_t n) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(x + i, Add(Load(x + i), Load(delta + i)));
  if (i < n) StoreFirst(x + i, n - i, Add(LoadFirst(x + i, n - i), LoadFirst(delta + i, n - i)));
}

static void RmsNorm(const float* x, const float* weight, size_t n, float eps, float* out) {
  const float mean_square = Dot(x, x, n) / static_cast<float>(n);
  const F32 inverse = Set(1.0f / std::sqrt(mean_square + eps));
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Store(out + i, Mul(Load(weight + i), Mul(Load(x + i), inverse)));
  }
  if (i < n) {
    const F32 scaled = Mul(LoadFirst(x + i, n - i), inverse);
    StoreFirst(out + i, n - i, Mul(LoadFirst(weight + i, n - i), scaled));
  }
}

static void RotatePairs(float* a, float* b, const float* cos, const float* sin, size_t n) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const F32 x = Load(a + i), y = Load(b + i), c = Load(cos + i), s = Load(sin + i);
    Store(a + i, Sub(Mul(x, c), Mul(y, s)));
    Store(b + i, Add(Mul(y, c), Mul(x, s)));
  }
  reference::RotatePairs(a + i, b + i, cos + i, sin + i, n - i);
}

const DenseKernels kDenseKernels{Gemv, SiluMul, GeluTanh, AddTo, RmsNorm, RotatePairs, Rotate};

}  // namespace ecq::ECQ_TARGET

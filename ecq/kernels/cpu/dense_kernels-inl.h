// Bodies of the dense kernels over the vector vocabulary of dense_simd_<isa>.h.
// Included once per target file, inside its target region, with ECQ_TARGET naming the namespace.

namespace ecq::ECQ_TARGET {

// exp(x) to a relative error of 2e-7 for x in [-87.3, 88]; clamps below and above; NaN gives NaN.
//
// x = n ln 2 + r with |r| <= ln(2) / 2, exp(x) = 2^n exp(r). The Taylor polynomial of degree 7
// leaves r^8 / 8! <= 6e-9. ln 2 is subtracted in two parts; n times the first (9 bits) is exact.
inline F32 Exp(F32 x) {
  x = Min(Set(88.0f), Max(Set(-87.3f), x));
  const F32 n = RoundToInteger(Mul(x, Set(1.44269504f)));
  F32 r = MulAdd(n, Set(-0x1.63p-1f), x);
  r = MulAdd(n, Set(0x1.bd0106p-13f), r);
  F32 p = Set(1.0f / 5040);
  p = MulAdd(p, r, Set(1.0f / 720));
  p = MulAdd(p, r, Set(1.0f / 120));
  p = MulAdd(p, r, Set(1.0f / 24));
  p = MulAdd(p, r, Set(1.0f / 6));
  p = MulAdd(p, r, Set(0.5f));
  p = MulAdd(p, r, Set(1.0f));
  p = MulAdd(p, r, Set(1.0f));
  return Mul(p, PowerOfTwo(n));
}

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

static void WeightedRowSum(const float* p, const float* v, size_t rows, size_t cols, float* y) {
  size_t c = 0;
  for (; c + 4 * kLanes <= cols; c += 4 * kLanes) {
    F32 sum[4] = {Set(0), Set(0), Set(0), Set(0)};
    for (size_t r = 0; r < rows; ++r) {
      const F32 weight = Set(p[r]);
      for (size_t j = 0; j < 4; ++j) {
        sum[j] = MulAdd(weight, Load(v + r * cols + c + j * kLanes), sum[j]);
      }
    }
    for (size_t j = 0; j < 4; ++j) Store(y + c + j * kLanes, sum[j]);
  }
  for (; c + kLanes <= cols; c += kLanes) {
    F32 sum = Set(0);
    for (size_t r = 0; r < rows; ++r) sum = MulAdd(Set(p[r]), Load(v + r * cols + c), sum);
    Store(y + c, sum);
  }
  if (c < cols) {
    F32 sum = Set(0);
    for (size_t r = 0; r < rows; ++r) {
      sum = MulAdd(Set(p[r]), LoadFirst(v + r * cols + c, cols - c), sum);
    }
    StoreFirst(y + c, cols - c, sum);
  }
}

static float MaxOf(const float* x, size_t n) {
  float max = x[0];
  size_t i = 0;
  if (n >= kLanes) {
    F32 lanes = Load(x);
    for (i = kLanes; i + kLanes <= n; i += kLanes) lanes = Max(lanes, Load(x + i));
    max = MaxLanes(lanes);
  }
  for (; i < n; ++i) max = x[i] > max ? x[i] : max;
  return max;
}

static void Softmax(float* x, size_t n, float scale) {
  const F32 shift = Set(MaxOf(x, n));
  const F32 scales = Set(scale);
  F32 sums = Set(0);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const F32 e = Exp(Mul(Sub(Load(x + i), shift), scales));
    sums = Add(sums, e);
    Store(x + i, e);
  }
  if (i < n) {
    // The store leaves the lanes after n alone; loading them back as zeros keeps them out of the
    // sum.
    StoreFirst(x + i, n - i, Exp(Mul(Sub(LoadFirst(x + i, n - i), shift), scales)));
    sums = Add(sums, LoadFirst(x + i, n - i));
  }
  const float inverse = 1.0f / SumLanes(sums);
  for (i = 0; i + kLanes <= n; i += kLanes) Store(x + i, Mul(Load(x + i), Set(inverse)));
  for (; i < n; ++i) x[i] *= inverse;
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

const DenseKernels kDenseKernels{Gemv, WeightedRowSum, Softmax, SiluMul, GeluTanh};

}  // namespace ecq::ECQ_TARGET

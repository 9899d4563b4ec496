// The exponential function over the vector vocabulary of dense_simd_<isa>.h.
// Included inside a target region, with ECQ_TARGET naming the namespace.

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

}  // namespace ecq::ECQ_TARGET

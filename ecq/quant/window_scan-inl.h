// Bodies of the scans; included once per instruction set level, where the compiler vectorizes them.

namespace ecq::ECQ_TARGET {

static void ScanWindowEntries(const float* __restrict planes, const float* __restrict norms,
                              uint32_t count, const float* y, float base, int32_t label,
                              float* __restrict best, int32_t* __restrict from) {
  const float y0 = -2 * y[0];
  const float y1 = -2 * y[1];
  const float y2 = -2 * y[2];
  const float y3 = -2 * y[3];
  const float* const p0 = planes;
  const float* const p1 = planes + kWindowEntries;
  const float* const p2 = planes + 2 * kWindowEntries;
  const float* const p3 = planes + 3 * kWindowEntries;
  count = count / kScanBatch * kScanBatch;  // tells the compiler
  for (uint32_t i = 0; i < count; ++i) {
    const float cost = base + norms[i] + (y0 * p0[i] + y1 * p1[i]) + (y2 * p2[i] + y3 * p3[i]);
    const bool better = cost < best[i];
    best[i] = better ? cost : best[i];
    from[i] = better ? label : from[i];
  }
}

static void ScanWindowPairs(const float* __restrict planes, const float* y, float base,
                            int32_t label, float* __restrict best, int32_t* __restrict from) {
  constexpr uint32_t kHigh = kTupleCols * kWindowEntries;
  for (uint32_t i = 0; i < kWindowEntries; ++i) {
    float cost = base;
    for (uint32_t j = 0; j < kTupleCols; ++j) {
      const float low = y[j] - planes[j * kWindowEntries + i];
      const float high = y[j] - planes[kHigh + j * kWindowEntries + i];
      const float a = low * low;
      const float b = high * high;
      cost += a < b ? a : b;
    }
    const bool better = cost < best[i];
    best[i] = better ? cost : best[i];
    from[i] = better ? label : from[i];
  }
}

static void ScanWindowFormPairs(const float* __restrict planes, const TupleForm& form,
                                const float* y, float base, int32_t label, float* __restrict best,
                                int32_t* __restrict from) {
  static_assert(kTupleCols == 4);
  constexpr uint32_t kHigh = kTupleCols * kWindowEntries;
  const float f32 = form.feed[3][2];
  const float f31 = form.feed[3][1];
  const float f30 = form.feed[3][0];
  const float f21 = form.feed[2][1];
  const float f20 = form.feed[2][0];
  const float f10 = form.feed[1][0];
  // What is left of t by the nearer of two magnitudes, with the sign of t.
  const auto left = [planes](float t, uint32_t j, uint32_t i) {
    const float magnitude = __builtin_fabsf(t);
    const float low = magnitude - planes[j * kWindowEntries + i];
    const float high = magnitude - planes[kHigh + j * kWindowEntries + i];
    const float nearer = low * low < high * high ? low : high;
    return nearer * __builtin_copysignf(1.0f, t);
  };
  for (uint32_t i = 0; i < kWindowEntries; ++i) {
    const float r3 = left(y[3], 3, i);
    const float r2 = left(y[2] + f32 * r3, 2, i);
    const float r1 = left(y[1] + f31 * r3 + f21 * r2, 1, i);
    const float r0 = left(y[0] + f30 * r3 + f20 * r2 + f10 * r1, 0, i);
    const float cost = base + (form.weight[0] * r0 * r0 + form.weight[1] * r1 * r1) +
                       (form.weight[2] * r2 * r2 + form.weight[3] * r3 * r3);
    const bool better = cost < best[i];
    best[i] = better ? cost : best[i];
    from[i] = better ? label : from[i];
  }
}

inline constexpr WindowScan kWindowScan{ScanWindowEntries, ScanWindowPairs, ScanWindowFormPairs};

}  // namespace ecq::ECQ_TARGET

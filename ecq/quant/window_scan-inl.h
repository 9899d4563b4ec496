// Bodies of the scans; included once per instruction set level, where the compiler vectorizes them.

namespace ecq::ECQ_TARGET {

static void ScanWindowEntries(const float* __restrict planes, const float* __restrict norms,
                              uint32_t count, const float* y, float base, int32_t label,
                              float* __restrict best, int32_t* __restrict from) {
  const float y0 = -2 * y[0];
  const float y1 = -2 * y[1];
  const float y2 = -2 * y[2];
  const float y3 = -2 * y[3];
  base += y[0] * y[0] + y[1] * y[1] + y[2] * y[2] + y[3] * y[3];
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

inline constexpr WindowScan kWindowScan{ScanWindowEntries, ScanWindowPairs};

}  // namespace ecq::ECQ_TARGET

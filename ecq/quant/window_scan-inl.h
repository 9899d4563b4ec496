// Bodies of the scans; included once per instruction set level, which decides how many registers a
// vector of a batch takes.

namespace ecq::ECQ_TARGET {

typedef float Floats __attribute__((vector_size(kScanBatch * sizeof(float))));
typedef int32_t Ints __attribute__((vector_size(kScanBatch * sizeof(int32_t))));
// The same at any address.
typedef float LooseFloats
    __attribute__((vector_size(kScanBatch * sizeof(float)), aligned(alignof(float))));

static void ScanWindowEntries(const float* planes, uint32_t count, std::span<const ScanTurn> turns,
                              float* best, int32_t* from) {
  for (uint32_t i = 0; i < count; i += kScanBatch) {
    const Floats p0 = *reinterpret_cast<const Floats*>(planes + i);
    const Floats p1 = *reinterpret_cast<const Floats*>(planes + kWindowEntries + i);
    const Floats p2 = *reinterpret_cast<const Floats*>(planes + 2 * kWindowEntries + i);
    const Floats p3 = *reinterpret_cast<const Floats*>(planes + 3 * kWindowEntries + i);
    Floats least = Floats{} + std::numeric_limits<float>::infinity();
    Ints label = {};
    for (const ScanTurn& turn : turns) {
      const Floats norms = *reinterpret_cast<const LooseFloats*>(turn.norms + i);
      const Floats cost = turn.base + norms + (-2 * turn.y[0] * p0 + -2 * turn.y[1] * p1) +
                          (-2 * turn.y[2] * p2 + -2 * turn.y[3] * p3);
      label = cost < least ? Ints{} + turn.label : label;
      least = cost < least ? cost : least;
    }
    *reinterpret_cast<Floats*>(best + i) = least;
    *reinterpret_cast<Ints*>(from + i) = label;
  }
}

static void ScanWindowPairs(const float* planes, uint32_t count, std::span<const ScanTurn> turns,
                            float* best, int32_t* from) {
  constexpr uint32_t kHigh = kTupleCols * kWindowEntries;
  for (uint32_t i = 0; i < count; i += kScanBatch) {
    Floats least = Floats{} + std::numeric_limits<float>::infinity();
    Ints label = {};
    for (const ScanTurn& turn : turns) {
      Floats cost = Floats{} + turn.base;
      for (uint32_t j = 0; j < kTupleCols; ++j) {
        const float* const plane = planes + j * kWindowEntries + i;
        const Floats low = turn.y[j] - *reinterpret_cast<const Floats*>(plane);
        const Floats high = turn.y[j] - *reinterpret_cast<const Floats*>(plane + kHigh);
        const Floats a = low * low;
        const Floats b = high * high;
        cost += a < b ? a : b;
      }
      label = cost < least ? Ints{} + turn.label : label;
      least = cost < least ? cost : least;
    }
    *reinterpret_cast<Floats*>(best + i) = least;
    *reinterpret_cast<Ints*>(from + i) = label;
  }
}

template <bool kHasPairs>
static void ScanWindowForm(const float* planes, uint32_t count, std::span<const ScanTurn> turns,
                           float* best, int32_t* from) {
  constexpr uint32_t kHigh = kTupleCols * kWindowEntries;
  constexpr int32_t kSign = std::numeric_limits<int32_t>::min();
  for (uint32_t i = 0; i < count; i += kScanBatch) {
    Floats least = Floats{} + std::numeric_limits<float>::infinity();
    Ints label = {};
    for (const ScanTurn& turn : turns) {
      const TupleForm& form = *turn.form;
      Floats cost = Floats{} + turn.base;
      Floats left[kTupleCols];  // r of TupleForm
      for (uint32_t j = kTupleCols; j-- > 0;) {
        Floats target = Floats{} + turn.y[j];
        for (uint32_t k = j + 1; k < kTupleCols; ++k) target += form.feed[k][j] * left[k];
        const Ints bits = reinterpret_cast<Ints>(target);
        const Ints magnitude_bits = bits & ~kSign;
        const Floats magnitude = reinterpret_cast<Floats>(magnitude_bits);
        const float* const plane = planes + j * kWindowEntries + i;
        Floats nearer = magnitude - *reinterpret_cast<const Floats*>(plane);
        if constexpr (kHasPairs) {
          const Floats high = magnitude - *reinterpret_cast<const Floats*>(plane + kHigh);
          nearer = nearer * nearer < high * high ? nearer : high;
        }
        const Ints left_bits = reinterpret_cast<Ints>(nearer) ^ (bits & kSign);
        left[j] = reinterpret_cast<Floats>(left_bits);
        cost += form.weight[j] * (nearer * nearer);
      }
      label = cost < least ? Ints{} + turn.label : label;
      least = cost < least ? cost : least;
    }
    *reinterpret_cast<Floats*>(best + i) = least;
    *reinterpret_cast<Ints*>(from + i) = label;
  }
}

static void ScanWindowStates(const float* best, uint32_t count, float* costs, int32_t* codes) {
  Floats least = *reinterpret_cast<const Floats*>(best);
  Ints first = {};
  for (uint32_t n = kScanBatch; n < count; n += kScanBatch) {
    const Floats cost = *reinterpret_cast<const Floats*>(best + n);
    first = cost < least ? Ints{} + static_cast<int32_t>(n) : first;
    least = cost < least ? cost : least;
  }
  for (uint32_t state = 0; state < kScanBatch; ++state) {
    costs[state] = least[state];
    codes[state] = first[state] + static_cast<int32_t>(state);
  }
}

inline constexpr WindowScan kWindowScan{ScanWindowEntries, ScanWindowPairs, ScanWindowForm<false>,
                                        ScanWindowForm<true>, ScanWindowStates};

}  // namespace ecq::ECQ_TARGET

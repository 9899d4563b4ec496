// Bodies of the activation kernels over the vector vocabulary of dense_simd_<isa>.h and
// activation_simd_<isa>.h. Included once per target file, inside its target region, with ECQ_TARGET
// naming the namespace. Every value is computed as ecq/base/hadamard.cc and
// ecq/kernels/activations.cc do, operation by operation.

namespace ecq::ECQ_TARGET {

// ---- Rotation ---------------------------------------------------------------------------------

// The rounds of the transform inside a vector, from half a block of kHalf on.
template <size_t kHalf>
inline F32 TransformInside(F32 v) {
  if constexpr (kHalf == kLanes) {
    return v;
  } else {
    return TransformInside<2 * kHalf>(Butterfly<kHalf>(v));
  }
}

// One round: sums and differences of values `half` apart, in all blocks of 2 * half.
inline void TransformRound(float* x, size_t block, size_t half) {
  for (size_t begin = 0; begin < block; begin += 2 * half) {
    for (size_t i = begin; i < begin + half; i += kLanes) {
      const F32 a = Load(x + i);
      const F32 b = Load(x + i + half);
      Store(x + i, Add(a, b));
      Store(x + i + half, Sub(a, b));
    }
  }
}

static void Rotate(float* x, size_t size, uint32_t block) {
  if (block < kLanes) return RotateHadamard(x, size, block);
  const F32 scale = Set(1.0f / std::sqrt(static_cast<float>(block)));
  for (size_t begin = 0; begin < size; begin += block) {
    float* const values = x + begin;
    for (size_t i = 0; i < block; i += kLanes) {
      const F32 v = FlipSigns(Load(values + i), static_cast<uint32_t>(begin + i));
      Store(values + i, TransformInside<1>(v));
    }
    for (size_t half = kLanes; half < block; half *= 2) TransformRound(values, block, half);
    for (size_t i = 0; i < block; i += kLanes) Store(values + i, Mul(Load(values + i), scale));
  }
}

// ---- Rounding to int8 -------------------------------------------------------------------------

// A whole block; returns its scale.
inline float QuantizeBlock(const float* x, int8_t* q, int32_t* sum) {
  constexpr size_t kBlockVecs = kActivationBlock / kLanes;
  F32 v[kBlockVecs];
  F32 most = Set(0);
  for (size_t i = 0; i < kBlockVecs; ++i) {
    v[i] = Load(x + i * kLanes);
    most = MaxBits(most, Magnitude(v[i]));
  }
  const float max = MaxLanesBits(most);
  if (!(max >= kSmallestBlockMax && max <= std::numeric_limits<float>::max())) {
    *sum = 0;
    float scale;
    QuantizeActivations(x, kActivationBlock, q, &scale);
    return scale;
  }
  const F32 inverse = Set(127.0f / max);
  *sum = 0;
  for (size_t i = 0; i < kBlockVecs; ++i) {
    *sum += StoreRounded(q + i * kLanes, Mul(v[i], inverse));
  }
  return max / 127.0f;
}

static void Quantize(const float* x, size_t k, int8_t* q, float* scales, int32_t* sums) {
  const size_t whole = k / kActivationBlock;
  for (size_t b = 0; b < whole; ++b) {
    scales[b] = QuantizeBlock(x + b * kActivationBlock, q + b * kActivationBlock, sums + b);
  }
  if (const size_t rest = k % kActivationBlock; rest != 0) {
    float padded[kActivationBlock] = {};
    for (size_t i = 0; i < rest; ++i) padded[i] = x[whole * kActivationBlock + i];
    scales[whole] = QuantizeBlock(padded, q + whole * kActivationBlock, sums + whole);
  }
}

static void TransposeTuples(const int8_t* q, size_t k, int8_t* q_tuples) {
  for (size_t i = 0; i < k; i += kActivationBlock) TransposeTupleBlock(q + i, q_tuples + i);
}

const ActivationKernels kActivationKernels{Rotate, Quantize, TransposeTuples};

}  // namespace ecq::ECQ_TARGET

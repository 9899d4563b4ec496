// Bodies of the activation kernels over the vector vocabulary of dense_simd_<isa>.h and
// activation_simd_<isa>.h. Included once per target file, inside its target region, with ECQ_TARGET
// naming the namespace. Every value is computed as ecq/kernels/activations.cc
// does, operation by operation.

namespace ecq::ECQ_TARGET {

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

const ActivationKernels kActivationKernels{Quantize, TransposeTuples};

}  // namespace ecq::ECQ_TARGET

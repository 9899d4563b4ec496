// The signed Hadamard rotation (base/hadamard.h) over the vector vocabulary of dense_simd_<isa>.h.
// Included inside a target region, with ECQ_TARGET naming the namespace.
//
// Rounds in the order of the scalar code, so the bits are the same: inside vectors, between the
// vectors that the registers hold, then through memory.

namespace ecq::ECQ_TARGET {

inline constexpr size_t kRotateVecs = kLanes == 16 ? 16 : 8;

template <size_t kHalf>
inline F32 ButterfliesUpTo(F32 v) {
  if constexpr (kHalf > 1) v = ButterfliesUpTo<kHalf / 2>(v);
  return Butterfly<kHalf>(v);
}

// All rounds of kVecs vectors, signs in front and the scale behind. `index` is that of x[0].
template <size_t kVecs>
inline void RotateVectors(const float* x, size_t index, F32 scale, float* out) {
  F32 v[kVecs];
  for (size_t i = 0; i < kVecs; ++i) {
    const uint32_t first = static_cast<uint32_t>(index + i * kLanes) * kHadamardSigns;
    v[i] = ButterfliesUpTo<kLanes / 2>(NegateWhere(Load(x + i * kLanes), first, kHadamardSigns));
  }
  for (size_t half = 1; half < kVecs; half *= 2) {
    for (size_t i = 0; i < kVecs; ++i) {
      if ((i & half) != 0) continue;
      const F32 low = v[i];
      v[i] = Add(low, v[i + half]);
      v[i + half] = Sub(low, v[i + half]);
    }
  }
  for (size_t i = 0; i < kVecs; ++i) Store(out + i * kLanes, Mul(v[i], scale));
}

template <size_t kVecs>
inline void RotateBlocks(const float* x, size_t size, F32 scale, float* out) {
  for (size_t i = 0; i < size; i += kVecs * kLanes) {
    RotateVectors<kVecs>(x + i, i, scale, out + i);
  }
}

// The largest kVecs whose vectors a block fills.
template <size_t kVecs>
inline size_t RotateInRegisters(const float* x, size_t size, uint32_t block, float scale,
                                float* out) {
  if constexpr (kVecs > 1) {
    if (block < kVecs * kLanes) {
      return RotateInRegisters<kVecs / 2>(x, size, block, scale, out);
    }
  }
  RotateBlocks<kVecs>(x, size, Set(block == kVecs * kLanes ? scale : 1.0f), out);
  return kVecs * kLanes;
}

static void Rotate(const float* x, size_t size, uint32_t block, float* out) {
  if (block < kLanes) return reference::Rotate(x, size, block, out);
  const float scale = 1.0f / std::sqrt(static_cast<float>(block));
  for (size_t half = RotateInRegisters<kRotateVecs>(x, size, block, scale, out); half < block;
       half *= 2) {
    const F32 factor = Set(2 * half == block ? scale : 1.0f);
    for (size_t begin = 0; begin < size; begin += 2 * half) {
      for (size_t i = begin; i < begin + half; i += kLanes) {
        const F32 low = Load(out + i);
        const F32 high = Load(out + half + i);
        Store(out + i, Mul(Add(low, high), factor));
        Store(out + half + i, Mul(Sub(low, high), factor));
      }
    }
  }
}

}  // namespace ecq::ECQ_TARGET

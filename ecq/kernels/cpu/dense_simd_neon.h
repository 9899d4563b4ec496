// The vector vocabulary of the dense kernels in NEON. Included inside a target region.
//
// A vector is two registers: more independent work for each broadcast, and window kernels load
// their tables half as often.
#pragma once

namespace ecq::neon {

struct F32 {
  float32x4_t v[2];
};
inline constexpr size_t kLanes = 8;

inline F32 Set(float value) { return {{vdupq_n_f32(value), vdupq_n_f32(value)}}; }
inline F32 Load(const float* p) { return {{vld1q_f32(p), vld1q_f32(p + 4)}}; }
inline void Store(float* p, F32 v) {
  vst1q_f32(p, v.v[0]);
  vst1q_f32(p + 4, v.v[1]);
}
// The first n < kLanes values; other lanes are zero on load and untouched on store.
inline F32 LoadFirst(const float* p, size_t n) {
  float lanes[kLanes] = {};
  for (size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return Load(lanes);
}
inline void StoreFirst(float* p, size_t n, F32 v) {
  float lanes[kLanes];
  Store(lanes, v);
  for (size_t i = 0; i < n; ++i) p[i] = lanes[i];
}

inline F32 Add(F32 a, F32 b) { return {{vaddq_f32(a.v[0], b.v[0]), vaddq_f32(a.v[1], b.v[1])}}; }
inline F32 Sub(F32 a, F32 b) { return {{vsubq_f32(a.v[0], b.v[0]), vsubq_f32(a.v[1], b.v[1])}}; }
inline F32 Mul(F32 a, F32 b) { return {{vmulq_f32(a.v[0], b.v[0]), vmulq_f32(a.v[1], b.v[1])}}; }
inline F32 Div(F32 a, F32 b) { return {{vdivq_f32(a.v[0], b.v[0]), vdivq_f32(a.v[1], b.v[1])}}; }
inline F32 MulAdd(F32 a, F32 b, F32 c) {
  return {{vfmaq_f32(c.v[0], a.v[0], b.v[0]), vfmaq_f32(c.v[1], a.v[1], b.v[1])}};
}
// a NaN in either is the result.
inline F32 Max(F32 a, F32 b) { return {{vmaxq_f32(a.v[0], b.v[0]), vmaxq_f32(a.v[1], b.v[1])}}; }
inline F32 Min(F32 a, F32 b) { return {{vminq_f32(a.v[0], b.v[0]), vminq_f32(a.v[1], b.v[1])}}; }

inline F32 RoundToInteger(F32 v) { return {{vrndnq_f32(v.v[0]), vrndnq_f32(v.v[1])}}; }
// 2^n for integral n in [-126, 127].
inline F32 PowerOfTwo(F32 n) {
  const auto of_four = [](float32x4_t four) {
    const int32x4_t biased = vaddq_s32(vcvtq_s32_f32(four), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(biased, 23));
  };
  return {{of_four(n.v[0]), of_four(n.v[1])}};
}

// One round of a Hadamard transform: lanes i and i + kHalf become their sum and difference.
template <size_t kHalf>
inline F32 Butterfly(F32 v) {
  static_assert(kHalf == 1 || kHalf == 2 || kHalf == 4);
  if constexpr (kHalf == 4) {
    return {{vaddq_f32(v.v[0], v.v[1]), vsubq_f32(v.v[0], v.v[1])}};
  }
  const uint32x4_t upper = kHalf == 1 ? uint32x4_t{0, UINT32_MAX, 0, UINT32_MAX}
                                      : uint32x4_t{0, 0, UINT32_MAX, UINT32_MAX};
  for (float32x4_t& four : v.v) {
    const float32x4_t other = kHalf == 1 ? vrev64q_f32(four) : vextq_f32(four, four, 2);
    four = vbslq_f32(upper, vsubq_f32(other, four), vaddq_f32(four, other));
  }
  return v;
}
// Negates the lanes l where bit 31 of first + l * step is set.
inline F32 NegateWhere(F32 v, uint32_t first, uint32_t step) {
  for (uint32_t i = 0; i < 2; ++i) {
    const uint32x4_t lanes = vaddq_u32(uint32x4_t{0, 1, 2, 3}, vdupq_n_u32(4 * i));
    const uint32x4_t bits = vmlaq_u32(vdupq_n_u32(first), lanes, vdupq_n_u32(step));
    const uint32x4_t signs = vandq_u32(bits, vdupq_n_u32(0x80000000u));
    v.v[i] = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(v.v[i]), signs));
  }
  return v;
}

inline float SumLanes(F32 v) { return vaddvq_f32(vaddq_f32(v.v[0], v.v[1])); }
inline float MaxLanes(F32 v) { return vmaxvq_f32(vmaxq_f32(v.v[0], v.v[1])); }

}  // namespace ecq::neon

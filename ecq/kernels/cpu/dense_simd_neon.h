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

inline float SumLanes(F32 v) { return vaddvq_f32(vaddq_f32(v.v[0], v.v[1])); }
inline float MaxLanes(F32 v) { return vmaxvq_f32(vmaxq_f32(v.v[0], v.v[1])); }

}  // namespace ecq::neon

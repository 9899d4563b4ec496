// The integer vocabulary of the coded kernels in NEON. Included inside a target region, after
// dense_simd_neon.h.
#pragma once

namespace ecq::neon {

// The states and sums of one tile fill the registers; those of a second would live in memory.
inline constexpr size_t kTilesInFlight = 1;

struct U32 {  // kLanes lanes of 32 bits, also where they hold signed numbers
  uint32x4_t v[2];
};

inline U32 SetU32(uint32_t value) { return {{vdupq_n_u32(value), vdupq_n_u32(value)}}; }
inline U32 LoadU32(const uint8_t* p) {
  return {{vreinterpretq_u32_u8(vld1q_u8(p)), vreinterpretq_u32_u8(vld1q_u8(p + 16))}};
}
inline void StoreU32(uint8_t* p, U32 v) {
  vst1q_u8(p, vreinterpretq_u8_u32(v.v[0]));
  vst1q_u8(p + 16, vreinterpretq_u8_u32(v.v[1]));
}
inline U32 AndU32(U32 a, U32 b) { return {{vandq_u32(a.v[0], b.v[0]), vandq_u32(a.v[1], b.v[1])}}; }
inline U32 OrU32(U32 a, U32 b) { return {{vorrq_u32(a.v[0], b.v[0]), vorrq_u32(a.v[1], b.v[1])}}; }
inline U32 XorU32(U32 a, U32 b) { return {{veorq_u32(a.v[0], b.v[0]), veorq_u32(a.v[1], b.v[1])}}; }
inline U32 AddU32(U32 a, U32 b) { return {{vaddq_u32(a.v[0], b.v[0]), vaddq_u32(a.v[1], b.v[1])}}; }
inline U32 MulU32(U32 a, U32 b) { return {{vmulq_u32(a.v[0], b.v[0]), vmulq_u32(a.v[1], b.v[1])}}; }
template <int kCount>
inline U32 ShiftRight(U32 v) {
  return {{vshrq_n_u32(v.v[0], kCount), vshrq_n_u32(v.v[1], kCount)}};
}
template <int kCount>
inline U32 ShiftLeft(U32 v) {
  return {{vshlq_n_u32(v.v[0], kCount), vshlq_n_u32(v.v[1], kCount)}};
}
// Counts of 32 and more give 0. Pre: count < 128.
inline U32 ShiftLeftBy(U32 v, uint32_t count) {
  const int32x4_t counts = vdupq_n_s32(static_cast<int32_t>(count));
  return {{vshlq_u32(v.v[0], counts), vshlq_u32(v.v[1], counts)}};
}
inline U32 ShiftRightBy(U32 v, uint32_t count) {
  const int32x4_t counts = vdupq_n_s32(-static_cast<int32_t>(count));
  return {{vshlq_u32(v.v[0], counts), vshlq_u32(v.v[1], counts)}};
}

// There is no gather: four loads, with two indexes moved at a time.
inline uint32x4_t GatherFour(const uint32_t* table, uint32x4_t index) {
  const uint64_t low = vgetq_lane_u64(vreinterpretq_u64_u32(index), 0);
  const uint64_t high = vgetq_lane_u64(vreinterpretq_u64_u32(index), 1);
  return uint32x4_t{table[static_cast<uint32_t>(low)], table[low >> 32],
                    table[static_cast<uint32_t>(high)], table[high >> 32]};
}
inline U32 Gather(const uint32_t* table, U32 index) {
  return {{GatherFour(table, index.v[0]), GatherFour(table, index.v[1])}};
}

// bytes[mask]: which two bytes of the next words a lane takes, twice the number of lanes below it
// that are set in the mask and the byte after.
struct SpreadTable {
  alignas(16) uint8_t bytes[256][16];
};
inline constexpr SpreadTable kSpread = [] {
  SpreadTable table{};
  for (uint32_t mask = 0; mask < 256; ++mask) {
    uint8_t byte = 0;
    for (uint32_t lane = 0; lane < 8; ++lane) {
      table.bytes[mask][2 * lane] = byte;
      table.bytes[mask][2 * lane + 1] = static_cast<uint8_t>(byte + 1);
      byte = static_cast<uint8_t>(byte + 2 * (mask >> lane & 1));
    }
  }
  return table;
}();

// The states at `p`, of 32 or 16 bits.
template <typename State>
inline U32 LoadStates(const uint8_t* p) {
  if constexpr (sizeof(State) == 4) return LoadU32(p);
  const uint16x8_t words = vreinterpretq_u16_u8(vld1q_u8(p));
  return {{vmovl_u16(vget_low_u16(words)), vmovl_high_u16(words)}};
}

// Works on the low and the high words of all lanes.
inline U32 RefillWords(U32 states, const uint8_t*& next) {
  const uint16x8_t first = vreinterpretq_u16_u32(states.v[0]);
  const uint16x8_t second = vreinterpretq_u16_u32(states.v[1]);
  const uint16x8_t low = vuzp1q_u16(first, second);
  const uint16x8_t high = vuzp2q_u16(first, second);
  const uint16x8_t needy = vceqzq_u16(high);
  // The sum has the mask of needy lanes in its low byte and the bytes that they take above it.
  const uint16x8_t marks = {0x201, 0x202, 0x204, 0x208, 0x210, 0x220, 0x240, 0x280};
  const uint32_t sum = vaddvq_u16(vandq_u16(needy, marks));
  const uint16x8_t words =
      vreinterpretq_u16_u8(vqtbl1q_u8(vld1q_u8(next), vld1q_u8(kSpread.bytes[sum & 0xff])));
  next += sum >> 8;
  const uint16x8_t new_low = vbslq_u16(needy, words, low);
  const uint16x8_t new_high = vbslq_u16(needy, low, high);
  return {{vreinterpretq_u32_u16(vzip1q_u16(new_low, new_high)),
           vreinterpretq_u32_u16(vzip2q_u16(new_low, new_high))}};
}

// States of 16 bits.
inline U32 RefillBytes(U32 states, const uint8_t*& next) {
  const uint16x8_t low =
      vuzp1q_u16(vreinterpretq_u16_u32(states.v[0]), vreinterpretq_u16_u32(states.v[1]));
  const uint16x8_t needy = vcltq_u16(low, vdupq_n_u16(256));
  const uint16x8_t marks = {0x101, 0x102, 0x104, 0x108, 0x110, 0x120, 0x140, 0x180};
  const uint32_t sum = vaddvq_u16(vandq_u16(needy, marks));
  const uint16x8_t spread = vreinterpretq_u16_u8(vld1q_u8(kSpread.bytes[sum & 0xff]));
  const uint8x8_t picks = vshr_n_u8(vmovn_u16(spread), 1);
  const uint16x8_t bytes = vmovl_u8(vtbl1_u8(vld1_u8(next), picks));
  next += sum >> 8;
  const uint16x8_t refilled = vbslq_u16(needy, vorrq_u16(vshlq_n_u16(low, 8), bytes), low);
  return {{vmovl_u16(vget_low_u16(refilled)), vmovl_high_u16(refilled)}};
}

// Lanes with no bits above those of a Unit (of 16 or 8) are shifted up by one and take, in lane
// order, the next units at `next`, which advances past them. Reads 8 units.
template <typename Unit>
inline U32 Refill(U32 states, const uint8_t*& next) {
  return sizeof(Unit) == 2 ? RefillWords(states, next) : RefillBytes(states, next);
}

// Bit l of `bits` as the number in lane l.
inline U32 BitsOfLanes(uint32_t bits) {
  const uint32x4_t all = vdupq_n_u32(bits);
  const uint32x4_t one = vdupq_n_u32(1);
  return {{vandq_u32(vshlq_u32(all, int32x4_t{0, -1, -2, -3}), one),
           vandq_u32(vshlq_u32(all, int32x4_t{-4, -5, -6, -7}), one)}};
}

inline bool AllEqual(U32 a, U32 b) {
  return vminvq_u32(vandq_u32(vceqq_u32(a.v[0], b.v[0]), vceqq_u32(a.v[1], b.v[1]))) != 0;
}

// The lowest byte of each lane, a two's complement number, as f32: the byte at the top of a fixed
// point number with 24 binary digits after the point.
inline F32 LowByteToF32(U32 v) {
  return {{vcvtq_n_f32_s32(vreinterpretq_s32_u32(vshlq_n_u32(v.v[0], 24)), 24),
           vcvtq_n_f32_s32(vreinterpretq_s32_u32(vshlq_n_u32(v.v[1], 24)), 24)}};
}
inline F32 I32ToF32(U32 v) {
  return {
      {vcvtq_f32_s32(vreinterpretq_s32_u32(v.v[0])), vcvtq_f32_s32(vreinterpretq_s32_u32(v.v[1]))}};
}

// Stores the lowest byte of each lane: kLanes bytes.
inline void StoreLowBytes(int8_t* p, U32 v) {
  const int8x16_t even = vuzp1q_s8(vreinterpretq_s8_u32(v.v[0]), vreinterpretq_s8_u32(v.v[1]));
  vst1_s8(p, vget_low_s8(vuzp1q_s8(even, even)));
}

// sum + the products of four signed bytes of `a` with four of `b`, for each lane.
inline uint32x4_t DotBytes(uint32x4_t sum, int8x16_t a, int8x16_t b) {
#if defined(__clang__) && !defined(__ARM_FEATURE_DOTPROD)
  // Clang before 16 has the intrinsic only where the whole file may use the instruction.
  asm("sdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(a), "w"(b));
  return sum;
#else
  return vreinterpretq_u32_s32(vdotq_s32(vreinterpretq_s32_u32(sum), a, b));
#endif
}
inline constexpr int32_t kDotOffset = 0;
inline U32 Dot4(U32 sum, U32 a, U32 b) {
  return {{DotBytes(sum.v[0], vreinterpretq_s8_u32(a.v[0]), vreinterpretq_s8_u32(b.v[0])),
           DotBytes(sum.v[1], vreinterpretq_s8_u32(a.v[1]), vreinterpretq_s8_u32(b.v[1]))}};
}

}  // namespace ecq::neon

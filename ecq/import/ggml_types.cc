// Expansion of ggml blocks to f32; layouts as in ggml's block_q* structures.
#include "ecq/import/ggml_types.h"

#include <array>

#include "ecq/base/bytes.h"
#include "ecq/base/half.h"

namespace ecq {
namespace {

float LoadHalf(const uint8_t* p) { return HalfToFloat(LoadLe<uint16_t>(p)); }

void DequantizeF32(const uint8_t* in, size_t n, float* out) {
  if (n > 0) std::memcpy(out, in, n * sizeof(float));
}

void DequantizeF16(const uint8_t* in, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = LoadHalf(in + 2 * i);
}

void DequantizeBF16(const uint8_t* in, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = BFloat16ToFloat(LoadLe<uint16_t>(in + 2 * i));
}

// Formats of 32 weights: byte j of the nibbles holds weight j below and weight j + 16 above.

// {f16 d, nibbles[16]}: d * (q - 8)
void DequantizeQ4_0(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 18, out += 32) {
    const float d = LoadHalf(in);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>((in[2 + j] & 15) - 8);
      out[j + 16] = d * static_cast<float>((in[2 + j] >> 4) - 8);
    }
  }
}

// {f16 d, f16 m, nibbles[16]}: d * q + m
void DequantizeQ4_1(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 20, out += 32) {
    const float d = LoadHalf(in);
    const float m = LoadHalf(in + 2);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>(in[4 + j] & 15) + m;
      out[j + 16] = d * static_cast<float>(in[4 + j] >> 4) + m;
    }
  }
}

// The fifth bit of weight j is bit j of `high`.
int FiveBits(int nibble, uint32_t high, int j) {
  return nibble | static_cast<int>(high >> j & 1u) << 4;
}

// {f16 d, u32 high, nibbles[16]}: d * (q - 16)
void DequantizeQ5_0(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 22, out += 32) {
    const float d = LoadHalf(in);
    const uint32_t high = LoadLe<uint32_t>(in + 2);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>(FiveBits(in[6 + j] & 15, high, j) - 16);
      out[j + 16] = d * static_cast<float>(FiveBits(in[6 + j] >> 4, high, j + 16) - 16);
    }
  }
}

// {f16 d, f16 m, u32 high, nibbles[16]}: d * q + m
void DequantizeQ5_1(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 24, out += 32) {
    const float d = LoadHalf(in);
    const float m = LoadHalf(in + 2);
    const uint32_t high = LoadLe<uint32_t>(in + 4);
    for (int j = 0; j < 16; ++j) {
      out[j] = d * static_cast<float>(FiveBits(in[8 + j] & 15, high, j)) + m;
      out[j + 16] = d * static_cast<float>(FiveBits(in[8 + j] >> 4, high, j + 16)) + m;
    }
  }
}

// {f16 d, i8 q[32]}: d * q
void DequantizeQ8_0(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 34, out += 32) {
    const float d = LoadHalf(in);
    for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(static_cast<int8_t>(in[2 + j]));
  }
}

// Values of the 4-bit codes of IQ4_NL and IQ4_XS.
constexpr std::array<float, 16> kIQ4Values{-127, -104, -83, -65, -49, -35, -22, -10,
                                           1,    13,   25,  38,  53,  69,  89,  113};

// One run of 32 weights: 16 low nibbles, then 16 high nibbles.
void DequantizeIQ4Run(const uint8_t* nibbles, float scale, float* out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = scale * kIQ4Values[nibbles[j] & 15];
    out[j + 16] = scale * kIQ4Values[nibbles[j] >> 4];
  }
}

// {f16 d, nibbles[16]}: d * value
void DequantizeIQ4_NL(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 18, out += 32) DequantizeIQ4Run(in + 2, LoadHalf(in), out);
}

// Formats of 256 weights ("super-blocks").

// Q2_K and Q3_K keep two bits of each weight alike: each half of 128 weights is four runs of 32;
// run r takes bits 2r and 2r + 1 of the 32 bytes of its half. `weight` is 0 to 255.
int TwoBits(const uint8_t* low, int weight) {
  return low[32 * (weight / 128) + weight % 32] >> 2 * (weight % 128 / 32) & 3;
}

// {nibble pairs scales[16], low[64], f16 d, f16 dmin}: (d * scale) * q - dmin * min, per 16 weights
// a scale in the low and a minimum in the high nibble.
void DequantizeQ2_K(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 84, out += 256) {
    const float d = LoadHalf(in + 80);
    const float dmin = LoadHalf(in + 82);
    for (int i = 0; i < 256; ++i) {
      const int packed = in[i / 16];
      const float scale = d * static_cast<float>(packed & 15);
      const float min = dmin * static_cast<float>(packed >> 4);
      out[i] = scale * static_cast<float>(TwoBits(in + 16, i)) - min;
    }
  }
}

// Six-bit scale of sub-block j (0 to 15) from the 12 packed bytes of Q3_K.
int SubBlockScale(const uint8_t* packed, int j) {
  return (packed[j % 8] >> 4 * (j / 8) & 15) | (packed[8 + j % 4] >> 2 * (j / 4) & 3) << 4;
}

// {high[32], low[64], scales[12], f16 d}: (d * (scale - 32)) * q, one scale per 16 weights. Bit r
// of high[l] belongs to weight l of the r-th run of 32; where it is clear, q is 4 less.
void DequantizeQ3_K(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 110, out += 256) {
    const float d = LoadHalf(in + 108);
    for (int i = 0; i < 256; ++i) {
      const float scale = d * static_cast<float>(SubBlockScale(in + 96, i / 16) - 32);
      const int high = in[i % 32] >> (i / 32) & 1;
      out[i] = scale * static_cast<float>(TwoBits(in + 32, i) + 4 * high - 4);
    }
  }
}

// {f16 d, u16 scales_high, scales_low[4], nibbles[128]}: (d * (scale - 32)) * value, per 32
// weights.
void DequantizeIQ4_XS(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 136, out += 256) {
    const float d = LoadHalf(in);
    const int scales_high = LoadLe<uint16_t>(in + 2);
    for (int j = 0; j < 8; ++j) {
      const int scale = (in[4 + j / 2] >> 4 * (j % 2) & 15) | (scales_high >> 2 * j & 3) << 4;
      DequantizeIQ4Run(in + 8 + 16 * j, d * static_cast<float>(scale - 32), out + 32 * j);
    }
  }
}

// Six-bit scale and minimum of sub-block j (0 to 7) from the 12 packed bytes of Q4_K and Q5_K.
struct ScaleMin {
  float scale;
  float min;
};
ScaleMin SubBlockScaleMin(const uint8_t* packed, int j) {
  if (j < 4) {
    return {static_cast<float>(packed[j] & 63), static_cast<float>(packed[j + 4] & 63)};
  }
  return {static_cast<float>((packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4),
          static_cast<float>((packed[j + 4] >> 4) | (packed[j] >> 6) << 4)};
}

// {f16 d, f16 dmin, scales[12], nibbles[128]}: (d * scale) * q - dmin * min.
// Of each 32 bytes the low nibbles are one sub-block, the high nibbles the next.
void DequantizeQ4_K(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 144, out += 256) {
    const float d = LoadHalf(in);
    const float dmin = LoadHalf(in + 2);
    for (int j = 0; j < 8; ++j) {
      const ScaleMin s = SubBlockScaleMin(in + 4, j);
      const float scale = d * s.scale;
      const float min = dmin * s.min;
      const uint8_t* q = in + 16 + 32 * (j / 2);
      const int shift = 4 * (j % 2);
      for (int l = 0; l < 32; ++l) {
        out[32 * j + l] = scale * static_cast<float>(q[l] >> shift & 15) - min;
      }
    }
  }
}

// {f16 d, f16 dmin, scales[12], high[32], nibbles[128]}: as Q4_K; bit j of high[l] is the fifth bit
// of weight l of sub-block j.
void DequantizeQ5_K(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 176, out += 256) {
    const float d = LoadHalf(in);
    const float dmin = LoadHalf(in + 2);
    const uint8_t* high = in + 16;
    for (int j = 0; j < 8; ++j) {
      const ScaleMin s = SubBlockScaleMin(in + 4, j);
      const float scale = d * s.scale;
      const float min = dmin * s.min;
      const uint8_t* q = in + 48 + 32 * (j / 2);
      const int shift = 4 * (j % 2);
      for (int l = 0; l < 32; ++l) {
        const int value = (q[l] >> shift & 15) | (high[l] >> j & 1) << 4;
        out[32 * j + l] = scale * static_cast<float>(value) - min;
      }
    }
  }
}

// {low[128], high[64], i8 scales[16], f16 d}: (d * scale) * (q - 32), one scale per 16 weights.
// Each half of 128 weights is four runs of 32: runs 0 and 1 are the low nibbles of its 64 bytes,
// runs 2 and 3 the high nibbles; run r takes bits 2r and 2r + 1 of its 32 bytes of high.
void DequantizeQ6_K(const uint8_t* in, size_t n, float* out) {
  for (; n > 0; --n, in += 210, out += 256) {
    const float d = LoadHalf(in + 208);
    for (int run = 0; run < 8; ++run) {
      const int r = run % 4;
      const uint8_t* low = in + 64 * (run / 4) + 32 * (r % 2);
      const uint8_t* high = in + 128 + 32 * (run / 4);
      const int shift = 4 * (r / 2);
      for (int sub = 0; sub < 2; ++sub) {
        const float scale = d * static_cast<float>(static_cast<int8_t>(in[192 + 2 * run + sub]));
        for (int l = 16 * sub; l < 16 * sub + 16; ++l) {
          const int value = (low[l] >> shift & 15) | (high[l] >> 2 * r & 3) << 4;
          out[32 * run + l] = scale * static_cast<float>(value - 32);
        }
      }
    }
  }
}

constexpr std::array<GgmlType, 15> kTypes{{
    {0, "F32", 1, 4, DequantizeF32},
    {1, "F16", 1, 2, DequantizeF16},
    {30, "BF16", 1, 2, DequantizeBF16},
    {2, "Q4_0", 32, 18, DequantizeQ4_0},
    {3, "Q4_1", 32, 20, DequantizeQ4_1},
    {6, "Q5_0", 32, 22, DequantizeQ5_0},
    {7, "Q5_1", 32, 24, DequantizeQ5_1},
    {8, "Q8_0", 32, 34, DequantizeQ8_0},
    {20, "IQ4_NL", 32, 18, DequantizeIQ4_NL},
    {10, "Q2_K", 256, 84, DequantizeQ2_K},
    {11, "Q3_K", 256, 110, DequantizeQ3_K},
    {12, "Q4_K", 256, 144, DequantizeQ4_K},
    {13, "Q5_K", 256, 176, DequantizeQ5_K},
    {14, "Q6_K", 256, 210, DequantizeQ6_K},
    {23, "IQ4_XS", 256, 136, DequantizeIQ4_XS},
}};

struct TypeName {
  uint32_t id;
  std::string_view name;
};
constexpr std::array<TypeName, 19> kUnreadTypes{{
    {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {24, "I8"},     {25, "I16"},
    {26, "I32"},   {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},  {34, "TQ1_0"},
    {35, "TQ2_0"}, {39, "MXFP4"}, {40, "NVFP4"},   {41, "Q1_0"},
}};

}  // namespace

const GgmlType* FindGgmlType(uint32_t id) {
  for (const GgmlType& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

std::string GgmlTypeName(uint32_t id) {
  if (const GgmlType* type = FindGgmlType(id)) return std::string(type->name);
  for (const TypeName& type : kUnreadTypes) {
    if (type.id == id) return std::string(type.name);
  }
  return "type " + std::to_string(id);
}

std::string KnownGgmlTypes() {
  std::string names;
  for (const GgmlType& type : kTypes) {
    if (!names.empty()) names += ", ";
    names += type.name;
  }
  return names;
}

}  // namespace ecq

// How the keys and values of one head lie in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ecq/base/bytes.h"

namespace ecq {

enum class KvFormat : uint8_t {
  kF32,  // float
  kF16,  // binary16
  kI8,   // int8 with one scale for each position
};

constexpr size_t KvElementBytes(KvFormat format) {
  return format == KvFormat::kF32 ? sizeof(float) : format == KvFormat::kF16 ? 2 : 1;
}

// Keys lie in blocks of this many positions, dimension by dimension: a vector holds one dimension
// of neighbouring positions, so that a score is a lane and needs no sum across lanes.
inline constexpr size_t kKvBlock = 32;

// Elements of one row of values: the head's dimensions, and zeros.
constexpr size_t KvValueStride(size_t head_dim) { return AlignUp(head_dim, kKvBlock); }

struct KvView {
  KvFormat format;
  size_t head_dim;
  const uint8_t* keys;        // elements (position / kKvBlock, head_dim, position % kKvBlock)
  const uint8_t* values;      // elements (position, KvValueStride(head_dim))
  const float* key_scales;    // (position), kI8
  const float* value_scales;  // (position), kI8
};

}  // namespace ecq

#include "ecq/base/hadamard.h"

#include <cmath>

namespace ecq {
namespace {

void ApplySigns(float* x, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    const uint32_t hash = static_cast<uint32_t>(i) * kHadamardSigns;
    x[i] = (hash >> 31) != 0 ? -x[i] : x[i];
  }
}

// The fast Walsh-Hadamard transform of each block: log2(block) rounds of sums and differences.
void Transform(float* x, size_t size, uint32_t block) {
  for (uint32_t half = 1; half < block; half *= 2) {
    for (size_t begin = 0; begin < size; begin += 2 * size_t{half}) {
      float* const low = x + begin;
      float* const high = low + half;
      for (uint32_t i = 0; i < half; ++i) {
        const float a = low[i];
        const float b = high[i];
        low[i] = a + b;
        high[i] = a - b;
      }
    }
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(block));
  for (size_t i = 0; i < size; ++i) x[i] *= scale;
}

}  // namespace

uint32_t LargestHadamardBlock(size_t size, uint32_t most) {
  uint32_t largest = 0;
  for (uint32_t block = 2; block <= most; block *= 2) {
    if (IsHadamardBlock(size, block)) largest = block;
  }
  return largest;
}

void RotateHadamard(float* x, size_t size, uint32_t block) {
  ApplySigns(x, size);
  Transform(x, size, block);
}

void UnrotateHadamard(float* x, size_t size, uint32_t block) {
  Transform(x, size, block);
  ApplySigns(x, size);
}

}  // namespace ecq

// Orthonormal rotation of blocks of a vector by signed Hadamard matrices.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ecq {

inline constexpr uint32_t kMaxHadamardBlock = 4096;

// Value i of a vector is negated where bit 31 of i * kHadamardSigns (mod 2^32) is set.
inline constexpr uint32_t kHadamardSigns = 0x9e3779b1u;

// Whether vectors of `size` values can be rotated in blocks of `block`: a power of two that divides
// size, 2 to kMaxHadamardBlock.
constexpr bool IsHadamardBlock(size_t size, uint32_t block) {
  return block >= 2 && block <= kMaxHadamardBlock && (block & (block - 1)) == 0 &&
         size % block == 0;
}

// The largest such block up to `most`; 0 if there is none.
uint32_t LargestHadamardBlock(size_t size, uint32_t most);

// x (size) becomes H S x: S negates values as kHadamardSigns says, H multiplies every block by
// the Sylvester matrix H(j, i) = (-1)^popcount(j & i) / sqrt(block). A product of two rotated
// vectors is that of the vectors. Pre: IsHadamardBlock(size, block).
void RotateHadamard(float* x, size_t size, uint32_t block);
// The inverse, S H x.
void UnrotateHadamard(float* x, size_t size, uint32_t block);

}  // namespace ecq

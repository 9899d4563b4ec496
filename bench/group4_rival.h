// The strongest rival we could write: a 4-bit group format for AVX-512 VNNI, made for speed alone.
#pragma once

#include <cstdint>
#include <vector>

#include "ecq/base/aligned_buffer.h"

namespace ecq::bench {

// W (rows, cols) with levels -8 to 7 in groups of 32 columns, a binary16 scale each: 4.5 bits a
// weight. A block of 32 rows holds, for each group, [32 scales][4 words][32 rows] of dwords; the
// low nibbles of word k are columns 8 k .. 8 k + 3, the high nibbles 8 k + 4 .. 8 k + 7. Filled
// with random bytes and equal scales. rows and cols are multiples of 32.
class Group4Rival {
 public:
  Group4Rival(uint32_t rows, uint32_t cols);

  static bool Supported();
  // y = W x, x rounded to int8 in groups of 32. Pre: Supported().
  void Multiply(const float* x, float* y) const;

  uint64_t rows() const { return rows_; }
  uint64_t cols() const { return cols_; }
  uint64_t resident_bytes() const { return payload_.size(); }

 private:
  uint32_t rows_;
  uint32_t cols_;
  AlignedBuffer<uint8_t> payload_;
};

}  // namespace ecq::bench

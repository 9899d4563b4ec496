// What distinguishes the two rANS coders, for decoders written once for both.
#pragma once

#include <cstdint>

#include "ecq/base/bytes.h"
#include "ecq/portable/rans.h"
#include "ecq/portable/rans16.h"

namespace ecq {

struct Rans32Coder {
  using State = uint32_t;
  using Unit = uint16_t;  // of renormalisation
  static constexpr bool kHasLowBits = false;
  static constexpr uint32_t kLowerBound = kRansLowerBound;
};

struct Rans16Coder {
  using State = uint16_t;
  using Unit = uint8_t;
  static constexpr bool kHasLowBits = true;
  static constexpr uint32_t kLowerBound = kRans16LowerBound;
};

// Whether a codestream that was read up to `next` may end at `end`: but for zeros that align it.
inline bool OnlyPaddingLeft(const uint8_t* next, const uint8_t* end) {
  if (next > end || end - next >= 4) return false;
  for (; next < end; ++next) {
    if (*next != 0) return false;
  }
  return true;
}

}  // namespace ecq

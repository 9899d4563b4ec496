// Draws numbers from the bytes of a fuzz input; zeros once they are used up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

namespace ecq {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(data, size) {}

  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }
  uint32_t Word() { return Byte() | Byte() << 8; }
  // In [0, bound), bound <= 2^16.
  uint32_t Below(uint32_t bound) { return Word() % bound; }
  std::span<const uint8_t> rest() const { return rest_; }

 private:
  std::span<const uint8_t> rest_;
};

// Unlike assert(), also in builds without it.
inline void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace ecq

// Little-endian access, alignment and overflow-checked size arithmetic.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>

namespace ecq {

static_assert(std::endian::native == std::endian::little,
              "ECQ files are little-endian and are mapped into memory as they are");

// Loads a trivially copyable T from an address of any alignment.
template <typename T>
T LoadLe(const void* p) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

template <typename T>
void StoreLe(void* p, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(p, &value, sizeof(T));
}

constexpr uint64_t DivideRoundUp(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }
constexpr uint64_t AlignUp(uint64_t a, uint64_t b) { return DivideRoundUp(a, b) * b; }

// a * b and a + b, or nothing if the result does not fit 64 bits: for sizes read from files.
inline std::optional<uint64_t> CheckedMul(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_mul_overflow(a, b, &r)) return std::nullopt;
  return r;
}
inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_add_overflow(a, b, &r)) return std::nullopt;
  return r;
}

}  // namespace ecq

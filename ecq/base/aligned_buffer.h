// A heap array aligned for vector loads.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <type_traits>

#include "ecq/base/bytes.h"

namespace ecq {

inline constexpr size_t kCacheLineBytes = 64;

// Owns `size` objects of a trivial type at a 64-byte boundary. Contents start uninitialised; call
// Fill() where that matters. Throws std::bad_alloc, as the standard containers do.
template <typename T>
class AlignedBuffer {
 public:
  static_assert(std::is_trivially_copyable_v<T>);

  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size) : size_(size) {
    if (size == 0) return;
    const auto bytes = CheckedMul(size, sizeof(T));
    void* p =
        bytes ? std::aligned_alloc(kCacheLineBytes, AlignUp(*bytes, kCacheLineBytes)) : nullptr;
    if (p == nullptr) throw std::bad_alloc();
    data_.reset(static_cast<T*>(p));
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  T& operator[](size_t i) { return data_.get()[i]; }
  const T& operator[](size_t i) const { return data_.get()[i]; }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }
  std::span<T> span() { return {data(), size_}; }
  std::span<const T> span() const { return {data(), size_}; }

  void Fill(T value) {
    for (T& x : *this) x = value;
  }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T, Free> data_;
  size_t size_ = 0;
};

}  // namespace ecq

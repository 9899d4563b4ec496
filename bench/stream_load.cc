// stream_load [SECONDS]: reads memory as fast as one core can, to leave less bandwidth for what is
// measured beside it, and prints the GB/s it took.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "ecq/base/aligned_buffer.h"

int main(int argc, char** argv) {
  constexpr size_t kWords = size_t{1} << 27;  // 1 GiB: far beyond any cache
  const double seconds = argc > 1 ? std::atof(argv[1]) : 10;
  ecq::AlignedBuffer<uint64_t> memory(kWords);
  memory.Fill(1);
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  uint64_t sum = 0;
  double elapsed = 0;
  double bytes = 0;
  while (elapsed < seconds) {
    for (size_t i = 0; i < kWords; ++i) sum += memory[i];
    bytes += kWords * sizeof(uint64_t);
    elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  }
  std::printf("%.1f GB/s (checksum %llu)\n", bytes / elapsed / 1e9,
              static_cast<unsigned long long>(sum));
  return 0;
}

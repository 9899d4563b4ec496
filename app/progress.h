// Progress of long work on standard error: one moving line on a terminal, else a plain line
// every ten seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace ecq {

class Progress {
 public:
  // `total` counts units of work, whatever they are.
  Progress(std::string_view what, uint64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Call with non-decreasing `done`. `detail` is shown behind the percentage.
  void Update(uint64_t done, std::string_view detail = "");

 private:
  double Seconds() const;

  std::string what_;
  uint64_t total_;
  bool terminal_;
  double last_drawn_ = -1;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace ecq

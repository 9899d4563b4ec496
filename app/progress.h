// Progress of long work on standard error: one moving line on a terminal, else a plain line every
// ten seconds. Both have the rate and the time left.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace ecq {

// "Quantizing 40 %, 0:10 elapsed, 0:15 left, 5.2 M weights/s". Pre: done <= total, total > 0.
std::string ProgressText(std::string_view what, uint64_t done, uint64_t total,
                         std::string_view unit, double seconds);

class Progress {
 public:
  // `unit` is what work is counted in: "weights".
  Progress(std::string_view what, std::string_view unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Call with non-decreasing `done`, at most `total`. A terminal shows `detail` too.
  void Update(uint64_t done, uint64_t total, std::string_view detail = "");

 private:
  double Seconds() const;

  std::string what_;
  std::string unit_;
  bool terminal_;
  double last_drawn_ = -1;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace ecq

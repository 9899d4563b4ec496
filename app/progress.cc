#include "app/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "app/units.h"

namespace ecq {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kPlainSeconds = 10;

}  // namespace

Progress::Progress(std::string_view what, uint64_t total)
    : what_(what),
      total_(std::max<uint64_t>(1, total)),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  if (terminal_ && last_drawn_ >= 0) fmt::print(stderr, "\r\033[K");
}

double Progress::Seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Progress::Update(uint64_t done, std::string_view detail) {
  const double seconds = Seconds();
  const double share = static_cast<double>(done) / static_cast<double>(total_);
  const std::string left =
      done > 0 && done < total_ ? FormatDuration(seconds * (1 - share) / share) + " left" : "";
  if (terminal_) {
    if (seconds - last_drawn_ < kRedrawSeconds && done < total_) return;
    last_drawn_ = seconds;
    fmt::print(stderr, "\r\033[K{} {:3.0f} %  {}  {}", what_, 100 * share, left, Printable(detail));
    std::fflush(stderr);
    return;
  }
  if (seconds - last_drawn_ < kPlainSeconds) return;
  last_drawn_ = seconds;
  fmt::print(stderr, "{} {:.0f} %, {} elapsed{}{}\n", what_, 100 * share, FormatDuration(seconds),
             left.empty() ? "" : ", ", left);
}

}  // namespace ecq

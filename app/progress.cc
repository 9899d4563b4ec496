#include "app/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "app/units.h"

namespace ecq {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kPlainSeconds = 10;

}  // namespace

std::string ProgressText(std::string_view what, uint64_t done, uint64_t total,
                         std::string_view unit, double seconds) {
  const double share = static_cast<double>(done) / static_cast<double>(total);
  std::string text =
      fmt::format("{} {:.0f} %, {} elapsed", what, 100 * share, FormatDuration(seconds));
  if (done == 0 || seconds <= 0) return text;
  if (done < total) text += ", " + FormatDuration(seconds * (1 - share) / share) + " left";
  return text + fmt::format(", {} {}/s", FormatCount(static_cast<double>(done) / seconds), unit);
}

Progress::Progress(std::string_view what, std::string_view unit)
    : what_(what),
      unit_(unit),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  if (terminal_ && last_drawn_ >= 0) fmt::print(stderr, "\r\033[K");
}

double Progress::Seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Progress::Update(uint64_t done, uint64_t total, std::string_view detail) {
  const double seconds = Seconds();
  const double pause = terminal_ ? kRedrawSeconds : kPlainSeconds;
  if (seconds - last_drawn_ < pause && !(terminal_ && done >= total)) return;
  last_drawn_ = seconds;
  const std::string text = ProgressText(what_, done, total, unit_, seconds);
  if (!terminal_) {
    fmt::print(stderr, "{}\n", text);
    return;
  }
  fmt::print(stderr, "\r\033[K{}  {}", text, Printable(detail));
  std::fflush(stderr);
}

}  // namespace ecq

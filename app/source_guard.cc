#include "app/source_guard.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "app/units.h"

namespace ecq {
namespace {

// For the handler of the signal, which may only read and write.
std::array<char, 1024> bus_message;
size_t bus_message_bytes = 0;

void OnBusError(int signal, siginfo_t* info, void*) {
  if (info->si_code != BUS_ADRERR) {  // no matter of files: as without a handler
    ::signal(signal, SIG_DFL);
    return;
  }
  static_cast<void>(::write(STDERR_FILENO, bus_message.data(), bus_message_bytes) == 0);
  ::_exit(1);
}

bool SameTime(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

struct stat InfoOf(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) info = {};
  return info;
}

}  // namespace

SourceGuard::SourceGuard(const std::string& model, const std::vector<std::string>& paths,
                         std::string_view what_to_do) {
  for (const std::string& path : paths) files_.push_back({path, InfoOf(path)});
  const std::string message = fmt::format(
      "{}ecq: {}: the model was cut short, or cannot be read any more, while it was being read; "
      "{}\n",
      ::isatty(STDERR_FILENO) != 0 ? "\r\033[K" : "", Printable(model), what_to_do);
  bus_message_bytes = std::min(message.size(), bus_message.size());
  std::copy_n(message.begin(), bus_message_bytes, bus_message.begin());
  struct sigaction action {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

SourceGuard::~SourceGuard() { ::signal(SIGBUS, SIG_DFL); }

Status SourceGuard::Check() const {
  for (const Seen& file : files_) {
    const struct stat now = InfoOf(file.path);
    if (now.st_dev == file.info.st_dev && now.st_ino == file.info.st_ino &&
        now.st_size == file.info.st_size && SameTime(now.st_mtim, file.info.st_mtim)) {
      continue;
    }
    return Error{ErrorCode::kIo,
                 fmt::format("{}: {} while it was being read; put it back", file.path,
                             now.st_ino == 0 ? "went away" : "was changed")};
  }
  return OkStatus();
}

}  // namespace ecq

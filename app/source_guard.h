// Notices when the files of a model change or go away while they are being read.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"

namespace ecq {

// Sources are mapped: a read behind the end of a file that was cut, or from a disk that fails, is
// no error but SIGBUS. While an object of this class lives, that signal ends the process with exit
// code 1 and one line on standard error. One object at a time.
class SourceGuard {
 public:
  // `what_to_do` ends the line of the signal.
  SourceGuard(const std::string& model, const std::vector<std::string>& paths,
              std::string_view what_to_do);
  ~SourceGuard();
  SourceGuard(const SourceGuard&) = delete;
  SourceGuard& operator=(const SourceGuard&) = delete;

  // Whether the files are what they were at the start. Errors: kIo, naming the first that is not.
  Status Check() const;

 private:
  struct Seen {
    std::string path;
    struct stat info;  // all zero if there was none
  };

  std::vector<Seen> files_;
};

}  // namespace ecq

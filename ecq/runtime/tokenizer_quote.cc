// Makes names from files safe to print.
#include "ecq/runtime/tokenizer_quote.h"

#include <cstddef>

namespace ecq {

std::string Quote(std::string_view name) {
  constexpr size_t kMaxBytes = 60;
  std::string quoted = "\"";
  for (const char c : name.substr(0, kMaxBytes)) quoted += c >= ' ' && c <= '~' ? c : '?';
  if (name.size() > kMaxBytes) quoted += "...";
  return quoted + '"';
}

}  // namespace ecq

// Names from files inside error messages.
#pragma once

#include <string>
#include <string_view>

namespace ecq {

// `name` in double quotes, at most 60 bytes of it, with '?' for everything but printable ASCII, so
// that a message stays one line.
std::string Quote(std::string_view name);

}  // namespace ecq

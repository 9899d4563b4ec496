// What this program was built from and with.
#pragma once

#include <string>

namespace ecq {

// What `ecq --version` prints, without the last line break: version, commit, compiler, instruction
// sets of this machine, libraries. The first line is "ecq VERSION".
std::string BuildInfo();

}  // namespace ecq

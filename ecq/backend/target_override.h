// The user's choice of an instruction set through the environment variable ECQ_TARGET.
#pragma once

#include "ecq/base/result.h"

namespace ecq {

// Makes the target named by ECQ_TARGET ("scalar", "avx2", "avx512", "neon") the active one; unset
// or empty: changes nothing. The only place where the library reads the environment; programs call
// it once, first thing. Errors: kInvalidArgument for an unknown or unsupported name.
Status ApplyTargetOverride();

}  // namespace ecq

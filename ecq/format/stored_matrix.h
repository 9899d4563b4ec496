// What a matrix in a file must satisfy; the same check guards writing and reading.
#pragma once

#include <string>

#include "ecq/base/result.h"
#include "ecq/pack/packed_tensor.h"

namespace ecq {

// ValidatePackedTensor(), and what only the file format demands: the number of weights, the size
// of the payload and the range of fixes. `where` starts every message.
// Errors: kBadLayout, kBadTable, kUnsupportedCodec.
Status ValidateStoredMatrix(const PackedTensor& matrix, const std::string& where);

}  // namespace ecq

// What a matrix in a file must satisfy, and its record; the same check guards writing and reading.
#pragma once

#include <string>

#include "ecq/base/result.h"
#include "ecq/format/metadata.h"
#include "ecq/pack/packed_tensor.h"

namespace ecq {

// ValidatePackedTensor(), and what only the file format demands: the number of weights, the size
// of the payload and the range of fixes. `where` starts every message.
// Errors: kBadLayout, kBadTable, kUnsupportedCodec.
Status ValidateStoredMatrix(const PackedTensor& matrix, const std::string& where);

// What a file says of a matrix, with the tables counted as the matrix counts them.
MatrixRecord RecordOf(const PackedTensor& matrix);

}  // namespace ecq

#include "ecq/format/stored_matrix.h"

#include <fmt/format.h>

#include "ecq/base/bytes.h"
#include "ecq/format/ecq_format.h"

namespace ecq {

Status ValidateStoredMatrix(const PackedTensor& matrix, const std::string& where) {
  ECQ_RETURN_IF_ERROR(ValidatePackedTensor(matrix, where));
  if (matrix.num_weights() > kMaxWeights) {
    return Error{ErrorCode::kBadLayout, where + ": expected less than 2^40 weights"};
  }
  const uint64_t payload_bytes = AlignUp(matrix.index.back() * kIndexUnitBytes, kPayloadAlignment);
  if (matrix.payload.size() != payload_bytes) {
    return Error{ErrorCode::kBadLayout, fmt::format("{}: expected a payload of {} bytes, got {}",
                                                    where, payload_bytes, matrix.payload.size())};
  }
  return OkStatus();
}

MatrixRecord RecordOf(const PackedTensor& matrix) {
  MatrixRecord record;
  record.grid = matrix.grid;
  record.desc = matrix.desc;
  record.scale_kind = matrix.scale_kind;
  record.scale_exponent = matrix.scale_exponent;
  record.spans = matrix.spans;
  return record;
}

}  // namespace ecq

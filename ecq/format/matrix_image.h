// One coded matrix as a run of bytes that the same version of ECQ reads back, for logs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/result.h"
#include "ecq/pack/packed_tensor.h"

namespace ecq {

struct MatrixImage {
  std::string name;
  std::span<const uint8_t> note;  // what the caller wants to remember of it
  PackedTensor matrix;
};

// Errors: kInvalidArgument for a name or grid that is no UTF-8.
Result<AlignedBuffer<uint8_t>> EncodeMatrixImage(std::string_view name,
                                                 std::span<const uint8_t> note,
                                                 const PackedTensor& matrix);

// Reads an image of `size` bytes at the front of `buffer`; the result points into it and, in its
// matrix, keeps it alive. Bytes are hostile: all that ValidateStoredMatrix() asks for is checked.
// Pre: kPayloadReadPadding bytes follow the image in the buffer.
// Errors: kBadHeader, kBadLayout, kBadTable, kTruncated, kUnsupportedCodec, kUnsupportedVersion.
Result<MatrixImage> DecodeMatrixImage(std::shared_ptr<const AlignedBuffer<uint8_t>> buffer,
                                      size_t size, const std::string& where);

}  // namespace ecq

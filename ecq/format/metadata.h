// The JSON texts in the metadata of an .ecq file (docs/format.md, 2 and 3).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/format/ecq_format.h"
#include "ecq/portable/layout.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

// The record of one matrix: everything but its tensors.
struct MatrixRecord {
  std::string grid;
  PackedDesc desc{};  // has_bias is 0: the tensors tell
  ScaleKind scale_kind = ScaleKind::kRow;
  int32_t scale_exponent = 0;
  // Columns in order. `table` counts the records of the file's ecq.tables; prob_bits is 0. One span
  // over all columns for raw.
  std::vector<ColumnSpan> spans;
};

using MatrixRecords = std::map<std::string, MatrixRecord, std::less<>>;
using TensorHashes = std::map<std::string, uint64_t, std::less<>>;  // XXH3-64

// `text` as a JSON string with its quotes. Errors: kInvalidArgument if it is no UTF-8.
Result<std::string> JsonString(std::string_view text);
// Pre: record.grid is UTF-8.
std::string MatrixRecordText(const MatrixRecord& record);
// Errors: kInvalidArgument if a string is no UTF-8.
Result<std::string> SourceText(const EcqFileInfo& info);
std::string HashText(uint64_t hash);  // 16 hex digits

// `where` starts every message. Geometry is checked as far as the record alone tells.
// Errors: kBadHeader, kBadLayout, kUnsupportedCodec, kUnsupportedVersion for unknown members.
Result<MatrixRecords> ParseMatrixRecords(std::string_view text, const std::string& where);
// Fills source_kind and source_files. Errors: kBadHeader.
Status ParseSource(std::string_view text, const std::string& where, EcqFileInfo* info);
// Errors: kBadHeader.
Result<TensorHashes> ParseHashes(std::string_view text, const std::string& where);

}  // namespace ecq

// The records of ecq.tables, of whichever kind (docs/format.md, 5).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/codec/frequency_table.h"
#include "ecq/pack/packed_tensor.h"
#include "ecq/portable/window.h"

namespace ecq {

using TableRecord = std::variant<FrequencyTable, WindowTable>;

// Reads one record from the front of `bytes` and drops it from there. Errors: kTruncated,
// kBadTable.
Result<TableRecord> ParseTableRecord(std::span<const uint8_t>& bytes);
// Appends the record that ParseTableRecord() reads. Pre: a window table is valid.
void AppendTableRecord(const TableRecord& table, std::vector<uint8_t>& out);

// Codecs with a table for each span.
bool HasTables(CodecId codec);
// Pre: HasTables(matrix.desc.codec).
TableRecord TableOfSpan(const PackedTensor& matrix, size_t span);
// Gives the next span of the matrix, one after the other, its table.
// Errors: kBadTable, after `where`, if it is of a kind that belongs to another codec.
Status AddTable(const TableRecord& table, const std::string& where, PackedTensor* matrix);

}  // namespace ecq

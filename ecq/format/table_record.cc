// The first byte of a record tells its kind.
#include "ecq/format/table_record.h"

#include <utility>

#include "ecq/codec/window_table.h"

namespace ecq {

Result<TableRecord> ParseTableRecord(std::span<const uint8_t>& bytes) {
  if (!bytes.empty() && bytes[0] == kWindowTableKind) {
    ECQ_TRY(const WindowTable table, ParseWindowTable(bytes));
    return TableRecord(table);
  }
  ECQ_TRY(FrequencyTable table, FrequencyTable::Parse(bytes));
  return TableRecord(std::move(table));
}

void AppendTableRecord(const TableRecord& table, std::vector<uint8_t>& out) {
  if (const auto* const window = std::get_if<WindowTable>(&table)) {
    AppendWindowTable(*window, out);
  } else {
    std::get<FrequencyTable>(table).AppendTo(out);
  }
}

bool HasTables(CodecId codec) { return codec != CodecId::kRaw; }

TableRecord TableOfSpan(const PackedTensor& matrix, size_t span) {
  if (matrix.desc.codec == CodecId::kWindow) return matrix.windows[span];
  return matrix.tables[span];
}

Status AddTable(const TableRecord& table, const std::string& where, PackedTensor* matrix) {
  const auto* const window = std::get_if<WindowTable>(&table);
  if ((window != nullptr) != (matrix->desc.codec == CodecId::kWindow)) {
    return Error{ErrorCode::kBadTable,
                 where + ": a table is of a kind that belongs to another codec"};
  }
  const size_t number = matrix->tables.size() + matrix->windows.size();
  ColumnSpan& span = matrix->spans[number];
  span.table = static_cast<uint32_t>(number);
  if (window != nullptr) {
    matrix->windows.push_back(*window);
  } else {
    matrix->tables.push_back(std::get<FrequencyTable>(table));
    span.prob_bits = matrix->tables.back().prob_bits();
  }
  return OkStatus();
}

}  // namespace ecq

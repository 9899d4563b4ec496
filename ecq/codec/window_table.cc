// Rules, records and tuples of window tables.
#include "ecq/codec/window_table.h"

#include <cstring>
#include <string>

#include "ecq/base/bytes.h"

namespace ecq {
namespace {

constexpr int32_t kMaxWindowLevel = 127;
constexpr uint32_t kMaxLowStep = 2 * kMaxWindowLevel;
constexpr size_t kHeaderBytes = 4;

constexpr size_t EntryBytes(uint32_t code_bits) { return NumWindowEntries(code_bits) * kTupleCols; }

Error BadTable(const std::string& what) {
  return Error{ErrorCode::kBadTable, "window table: " + what};
}

}  // namespace

Status CheckWindowTable(const WindowTable& table) {
  if (!IsWindowCode(table.code_bits, table.raw_bits)) {
    return BadTable(
        "expected a code of 8 bits with 0, 2, 4, 6 or 8 raw bits or of 4 or 6 bits without any, "
        "got " +
        std::to_string(table.code_bits) + " and " + std::to_string(table.raw_bits));
  }
  const uint32_t max_low_step = HasLowBits(table.raw_bits) ? kMaxLowStep : 0;
  if (table.low_step > max_low_step) {
    return BadTable("expected a low step of at most " + std::to_string(max_low_step) + " with " +
                    std::to_string(table.raw_bits) + " raw bits, got " +
                    std::to_string(table.low_step));
  }
  const uint32_t num_entries = NumWindowEntries(table.code_bits);
  for (uint32_t i = 0; i < kWindowEntries; ++i) {
    const int32_t most = kMaxWindowLevel - static_cast<int32_t>(table.low_step);
    const int32_t min_entry = i < num_entries ? -kMaxWindowLevel : 0;
    const int32_t max_entry = i < num_entries ? most : 0;
    for (const int8_t weight : table.entries[i]) {
      if (weight >= min_entry && weight <= max_entry) continue;
      return BadTable("entry " + std::to_string(i) + ": expected weights in [" +
                      std::to_string(min_entry) + ", " + std::to_string(max_entry) + "], got " +
                      std::to_string(weight));
    }
  }
  return OkStatus();
}

Result<WindowTable> ParseWindowTable(std::span<const uint8_t>& bytes) {
  constexpr const char* kTooShort = "window table: the record ends too early";
  if (bytes.size() < kHeaderBytes) return Error{ErrorCode::kTruncated, kTooShort};
  const uint32_t code_bits = kWindowByteBits - bytes[3];
  if (bytes[0] != kWindowTableKind || !IsWindowCode(code_bits, bytes[1])) {
    return BadTable("expected kind 3, then bits of a code that exists, got the bytes " +
                    std::to_string(bytes[0]) + ", " + std::to_string(bytes[1]) + " and, at 3, " +
                    std::to_string(bytes[3]));
  }
  const size_t record_bytes = kHeaderBytes + EntryBytes(code_bits);
  if (bytes.size() < record_bytes) return Error{ErrorCode::kTruncated, kTooShort};
  WindowTable table{
      .raw_bits = bytes[1], .low_step = bytes[2], .entries = {}, .code_bits = code_bits};
  std::memcpy(table.entries, bytes.data() + kHeaderBytes, EntryBytes(code_bits));
  ECQ_RETURN_IF_ERROR(CheckWindowTable(table));
  bytes = bytes.subspan(record_bytes);
  return table;
}

void AppendWindowTable(const WindowTable& table, std::vector<uint8_t>& out) {
  const uint8_t header[kHeaderBytes] = {kWindowTableKind, static_cast<uint8_t>(table.raw_bits),
                                        static_cast<uint8_t>(table.low_step),
                                        static_cast<uint8_t>(kWindowByteBits - table.code_bits)};
  out.insert(out.end(), header, header + kHeaderBytes);
  const auto* const entries = reinterpret_cast<const uint8_t*>(table.entries);
  out.insert(out.end(), entries, entries + EntryBytes(table.code_bits));
}

uint64_t WindowTableBytes(const WindowTable& table) {
  return kHeaderBytes + EntryBytes(table.code_bits);
}

WindowTuple DecodeWindowTuple(const WindowTable& table, uint8_t code, uint8_t above, uint8_t raw) {
  const uint32_t entry = code % NumWindowEntries(table.code_bits);
  return DecodeEntry(WindowTuple{LoadLe<uint32_t>(table.entries[entry])}, code, above, raw,
                     table.code_bits, table.raw_bits, table.low_step);
}

}  // namespace ecq

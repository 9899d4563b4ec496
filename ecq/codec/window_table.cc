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
constexpr size_t kEntryBytes = sizeof(WindowTable::entries);

Error BadTable(const std::string& what) {
  return Error{ErrorCode::kBadTable, "window table: " + what};
}

}  // namespace

Status CheckWindowTable(const WindowTable& table) {
  if (!IsWindowRawBits(table.raw_bits)) {
    return BadTable("expected 0, 2, 4 or 8 raw bits, got " + std::to_string(table.raw_bits));
  }
  const uint32_t max_low_step = table.raw_bits == kWindowMaxRawBits ? kMaxLowStep : 0;
  if (table.low_step > max_low_step) {
    return BadTable("expected a low step of at most " + std::to_string(max_low_step) + " with " +
                    std::to_string(table.raw_bits) + " raw bits, got " +
                    std::to_string(table.low_step));
  }
  const int32_t max_entry = kMaxWindowLevel - static_cast<int32_t>(table.low_step);
  for (uint32_t i = 0; i < kWindowEntries; ++i) {
    for (const int8_t weight : table.entries[i]) {
      if (weight >= -kMaxWindowLevel && weight <= max_entry) continue;
      return BadTable("entry " + std::to_string(i) + ": expected weights in [-127, " +
                      std::to_string(max_entry) + "], got " + std::to_string(weight));
    }
  }
  return OkStatus();
}

Result<WindowTable> ParseWindowTable(std::span<const uint8_t>& bytes) {
  if (bytes.size() < kHeaderBytes + kEntryBytes) {
    return Error{ErrorCode::kTruncated, "window table: the record ends too early"};
  }
  if (bytes[0] != kWindowTableKind || bytes[3] != 0) {
    return BadTable("expected kind 3 and a last header byte of 0, got " + std::to_string(bytes[0]) +
                    " and " + std::to_string(bytes[3]));
  }
  WindowTable table{.raw_bits = bytes[1], .low_step = bytes[2], .entries = {}};
  std::memcpy(table.entries, bytes.data() + kHeaderBytes, kEntryBytes);
  ECQ_RETURN_IF_ERROR(CheckWindowTable(table));
  bytes = bytes.subspan(kHeaderBytes + kEntryBytes);
  return table;
}

void AppendWindowTable(const WindowTable& table, std::vector<uint8_t>& out) {
  const uint8_t header[kHeaderBytes] = {kWindowTableKind, static_cast<uint8_t>(table.raw_bits),
                                        static_cast<uint8_t>(table.low_step), 0};
  out.insert(out.end(), header, header + kHeaderBytes);
  const auto* const entries = reinterpret_cast<const uint8_t*>(table.entries);
  out.insert(out.end(), entries, entries + kEntryBytes);
}

uint64_t WindowTableBytes() { return kHeaderBytes + kEntryBytes; }

WindowTuple DecodeWindowTuple(const WindowTable& table, uint8_t byte, uint8_t above, uint8_t raw) {
  const WindowTuple entry{LoadLe<uint32_t>(table.entries[byte % kWindowEntries])};
  return ApplyRawBits(TurnEntry(entry, byte, above, table.raw_bits), raw, table.raw_bits,
                      table.low_step);
}

}  // namespace ecq

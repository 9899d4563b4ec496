// Tables of the window code (portable/window.h): their rules, their records in a file, their
// tuples.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/portable/window.h"

namespace ecq {

inline constexpr uint8_t kWindowTableKind = 3;  // first byte of a record (docs/format.md, 5.3)

// Every level that a tuple of the table can decode to lies in [-127, 127].
// Errors: kBadTable for numbers of bits that do not exist, a low step that nothing adds, entries
// that could lead out of that range, and entries after the last one.
Status CheckWindowTable(const WindowTable& table);

// Reads one table record from the front of `bytes` and drops it from there.
// Errors: kTruncated, kBadTable.
Result<WindowTable> ParseWindowTable(std::span<const uint8_t>& bytes);
// Appends the record that ParseWindowTable() reads. Pre: CheckWindowTable().
void AppendWindowTable(const WindowTable& table, std::vector<uint8_t>& out);
uint64_t WindowTableBytes(const WindowTable& table);  // of its record

// The levels of a tuple: its code, the code above it (0 where none counts) and its raw bits.
WindowTuple DecodeWindowTuple(const WindowTable& table, uint8_t code, uint8_t above, uint8_t raw);

}  // namespace ecq

// How a file keeps fixes and orders of columns: in few bytes where it can (docs/format.md, 3).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

// Fixes as pairs of u16: how many places, in row-major order, lie between the fix before and this
// one, and the delta in two's complement. Nothing if a delta needs more than 16 bits.
// Pre: sorted by (row, col), all inside a matrix of `cols` columns.
std::optional<std::vector<uint16_t>> ShortFixes(std::span<const Fix> fixes, uint32_t cols);
// The fixes of a matrix (rows, cols). `where` starts the message.
// Errors: kBadLayout for bytes that ShortFixes() does not make.
Result<std::vector<Fix>> ParseShortFixes(std::span<const uint8_t> bytes, uint32_t rows,
                                         uint32_t cols, const std::string& where);
// What they take in a file.
uint64_t StoredFixBytes(std::span<const Fix> fixes, uint32_t cols);

// The classes, one in each half of a byte, whose columns `order` puts one class after the other,
// each in natural order. Nothing if it takes more than 16.
std::optional<std::vector<uint8_t>> ColumnClasses(std::span<const uint32_t> order);
// The order that they give. `where` starts the message.
// Errors: kBadLayout for other than ceil(cols / 2) bytes, or a class after the last column.
Result<std::vector<uint32_t>> ParseColumnClasses(std::span<const uint8_t> bytes, uint32_t cols,
                                                 const std::string& where);

// The largest number of columns whose order takes 16 bits a column.
inline constexpr uint32_t kMaxShortOrderCols = 1 << 16;
// What an order takes in a file; 0 if it is empty.
uint64_t StoredOrderBytes(std::span<const uint32_t> order);

}  // namespace ecq

// A weight matrix as integers and scales, before any coding.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/portable/window.h"

namespace ecq {

// Which weights share a scale.
enum class ScaleKind : uint8_t {
  kTensor,  // one for the matrix
  kRow,     // one for each row
  kGroup,   // one for each group_size consecutive columns of a row
};

// An integer that does not fit where it stands: value(row, col) = level + delta.
struct Fix {
  static constexpr int32_t kMaxDelta = 1 << 24;  // level + delta stays exact in binary32

  uint32_t row;
  uint32_t col;
  int32_t delta;

  bool operator==(const Fix&) const = default;
};
// What one takes in a file, but for few: those after a long way without any, and those of a matrix
// with one of more than 16 bits (pack/stored_form.h).
inline constexpr uint32_t kStoredFixBits = 32;
inline constexpr int32_t kMaxShortDelta = 32767;  // on both sides of 0

// How the levels of a matrix stand in a window code (portable/window.h); made by the quantizer,
// since not every row of levels has a code. Tuples are counted in stored columns, and every row
// has TuplesPerRow() of them, those after the last column included.
struct WindowCodes {
  bool has_memory = false;          // the code above counts
  std::vector<WindowTable> tables;  // one for each span
  std::vector<uint8_t> bytes;       // (N, TuplesPerRow): the code of each tuple
  std::vector<uint8_t> raw;         // (N, TuplesPerRow): the raw bits of each tuple

  static uint32_t TuplesPerRow(uint32_t cols) {
    return (cols + kWindowGroupCols - 1) / kWindowGroupCols * kWindowGroupTuples;
  }
};

// weight(r, order[c]) = (scale * (level(r, c) + fixes) [+ bias]) [* col_scale[c]], the scale and
// bias those of (r, c). Columns are counted in *stored* order everywhere but in `order`.
//
// Scales and biases are binary16 numbers times 2^scale_exponent, kept as the file keeps them:
// one for kTensor, rows for kRow, group-major (group, row) for kGroup, so that the scales of
// neighbouring rows are neighbours.
struct QuantizedTensor {
  uint32_t rows = 0;  // N
  uint32_t cols = 0;  // K
  std::string grid;   // the quantizer that made it: "ecq", "q4_0", ...

  std::vector<int8_t> levels;  // row-major (N, K)
  std::vector<Fix> fixes;      // sorted by (row, col), no two alike

  ScaleKind scale_kind = ScaleKind::kRow;
  uint32_t group_size = 0;  // kGroup only
  int32_t scale_exponent = 0;
  std::vector<uint16_t> scales;
  std::vector<uint16_t> biases;  // empty, or as many as scales

  // 0, or the block of a Hadamard rotation (base/hadamard.h): then all of this describes the rows
  // of W rotated, and products need x rotated.
  uint32_t rotation = 0;
  std::vector<uint16_t> col_scales;  // binary16, one for each stored column; empty means 1
  std::vector<uint32_t> col_order;   // a permutation of the columns; empty means the natural order
  // Ends of runs of stored columns with one distribution, the last one `cols`; empty means one run.
  // With window codes, multiples of 32 but for the last.
  std::vector<uint32_t> span_ends;
  std::optional<WindowCodes> window;  // if so, `levels` are what it decodes to

  uint32_t ScaleGroups() const {
    return scale_kind == ScaleKind::kGroup ? (cols + group_size - 1) / group_size : 1;
  }
  // Number of scales this matrix must have.
  uint64_t NumScales() const {
    return scale_kind == ScaleKind::kTensor ? 1 : uint64_t{rows} * ScaleGroups();
  }

  // Scale and bias of weight (row, stored column) as f32, without the column's own scale.
  float ScaleAt(uint32_t row, uint32_t col) const;
  float BiasAt(uint32_t row, uint32_t col) const;
  // Writes row `row`, dequantized, to out[0 .. cols), in the natural order of columns.
  void DequantizeRow(uint32_t row, float* out) const;
};

// The fixes of rows [row_begin, row_end).
std::pair<const Fix*, const Fix*> FixesOfRows(const std::vector<Fix>& fixes, uint32_t row_begin,
                                              uint32_t row_end);

}  // namespace ecq

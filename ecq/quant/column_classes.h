// Sorts the columns of a matrix of integers into classes, each to have a table of its own.
#pragma once

#include <cstdint>
#include <vector>

#include "ecq/base/thread_pool.h"

namespace ecq {

struct ColumnClasses {
  std::vector<uint32_t> order;      // the columns, class by class; empty: one class
  std::vector<uint32_t> span_ends;  // as QuantizedTensor has them
  double bits = 0;                  // entropy of the levels, tables and order of columns included
};

// Columns are sorted by the rms of their levels and cut into cells of 32, or a few times that; runs
// of cells become classes so that entropy and tables together are smallest, at most max_classes of
// them. Within a class, columns stay in their order. One class, if that is cheaper than storing the
// order. So spans are multiples of 32 columns but for the last, as fast kernels want them.
//
// levels: column-major, (K, N); each row stands for row_weight rows of the matrix that `bits` is
// about. Pre: N = rows > 0, K > 0, max_classes > 0.
ColumnClasses ClassifyColumns(const std::vector<int8_t>& levels, uint32_t rows, double row_weight,
                              uint32_t max_classes, ThreadPool& pool);

}  // namespace ecq

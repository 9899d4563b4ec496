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

// Columns whose levels have an rms within the same half octave start as one class; neighbouring
// classes are then merged so that entropy and tables together are smallest, at most max_classes of
// them. Within a class, columns stay in their order. One class, if that is cheaper than storing the
// order.
//
// levels: column-major, (K, N); each row stands for row_weight rows of the matrix that `bits` is
// about. Pre: N = rows > 0, K > 0, max_classes > 0.
ColumnClasses ClassifyColumns(const std::vector<int8_t>& levels, uint32_t rows, double row_weight,
                              uint32_t max_classes, ThreadPool& pool);

}  // namespace ecq

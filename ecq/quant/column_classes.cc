#include "ecq/quant/column_classes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "ecq/base/bytes.h"

namespace ecq {
namespace {

// Fast kernels want spans of whole groups of columns.
constexpr uint32_t kGroupCols = 32;
constexpr uint32_t kMaxCells = 64;
constexpr int32_t kMinLevel = -128;
// A Gaussian table record with its span in the metadata.
constexpr double kTableBits = 8 * 16;
constexpr double kOrderBitsPerColumn = 4;

using Counts = std::array<uint64_t, 256>;

double EntropyBits(const Counts& counts) {
  double bits = 0;
  double total = 0;
  for (const uint64_t count : counts) {
    if (count == 0) continue;
    const double n = static_cast<double>(count);
    total += n;
    bits -= n * std::log2(n);
  }
  return total > 0 ? bits + total * std::log2(total) : 0;
}

// Which cells share a table: ends[s] is the end of the s-th run of them.
struct Partition {
  std::vector<uint32_t> ends;
  double bits = 0;
};

// The cheapest partition into at most max_classes runs, by dynamic programming over their ends.
Partition MergeCells(const std::vector<Counts>& counts, double row_weight, uint32_t max_classes) {
  const uint32_t n = static_cast<uint32_t>(counts.size());
  const auto at = [n](uint32_t begin, uint32_t end) { return size_t{begin} * (n + 1) + end; };
  std::vector<double> run_bits(size_t{n + 1} * (n + 1));
  for (uint32_t begin = 0; begin < n; ++begin) {
    Counts sum{};
    for (uint32_t end = begin + 1; end <= n; ++end) {
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += counts[end - 1][i];
      run_bits[at(begin, end)] = row_weight * EntropyBits(sum) + kTableBits;
    }
  }
  // best[s][end]: of [0, end) in s runs; from: where the last of them begins.
  const uint32_t max_runs = std::min(n, max_classes);
  constexpr double kNone = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> best(max_runs + 1, std::vector<double>(n + 1, kNone));
  std::vector<std::vector<uint32_t>> from(max_runs + 1, std::vector<uint32_t>(n + 1, 0));
  best[0][0] = 0;
  uint32_t runs = 1;
  for (uint32_t s = 1; s <= max_runs; ++s) {
    for (uint32_t end = s; end <= n; ++end) {
      for (uint32_t begin = s - 1; begin < end; ++begin) {
        const double bits = best[s - 1][begin] + run_bits[at(begin, end)];
        if (bits < best[s][end]) {
          best[s][end] = bits;
          from[s][end] = begin;
        }
      }
    }
    if (best[s][n] < best[runs][n]) runs = s;
  }
  Partition partition{std::vector<uint32_t>(runs), best[runs][n]};
  uint32_t end = n;
  for (uint32_t s = runs; s > 0; --s) {
    partition.ends[s - 1] = end;
    end = from[s][end];
  }
  return partition;
}

}  // namespace

ColumnClasses ClassifyColumns(const std::vector<int8_t>& levels, uint32_t rows, double row_weight,
                              uint32_t max_classes, ThreadPool& pool) {
  const uint32_t cols = static_cast<uint32_t>(levels.size() / rows);
  std::vector<uint64_t> energies(cols);
  pool.Run(cols, [&](size_t c, size_t) {
    const int8_t* const column = levels.data() + c * rows;
    for (uint32_t r = 0; r < rows; ++r) energies[c] += static_cast<uint64_t>(column[r] * column[r]);
  });
  std::vector<uint32_t> by_energy(cols);
  std::iota(by_energy.begin(), by_energy.end(), 0u);
  std::stable_sort(by_energy.begin(), by_energy.end(),
                   [&](uint32_t a, uint32_t b) { return energies[a] < energies[b]; });

  const uint32_t cell_cols =
      kGroupCols * static_cast<uint32_t>(DivideRoundUp(cols, uint64_t{kGroupCols} * kMaxCells));
  std::vector<Counts> counts(DivideRoundUp(cols, cell_cols));
  pool.Run(counts.size(), [&](size_t cell, size_t) {
    const size_t end = std::min<size_t>(cols, (cell + 1) * cell_cols);
    for (size_t i = cell * cell_cols; i < end; ++i) {
      const int8_t* const column = levels.data() + size_t{by_energy[i]} * rows;
      for (uint32_t r = 0; r < rows; ++r)
        ++counts[cell][static_cast<size_t>(column[r] - kMinLevel)];
    }
  });
  Counts all{};
  for (const Counts& cell : counts) {
    for (size_t i = 0; i < all.size(); ++i) all[i] += cell[i];
  }

  ColumnClasses classes;
  classes.bits = row_weight * EntropyBits(all) + kTableBits;
  const Partition partition = MergeCells(counts, row_weight, max_classes);
  const double bits = partition.bits + kOrderBitsPerColumn * cols;
  if (partition.ends.size() == 1 || bits >= classes.bits) return classes;

  classes.bits = bits;
  classes.order = std::move(by_energy);
  uint32_t begin = 0;
  for (const uint32_t cell : partition.ends) {
    const uint32_t end = std::min(cols, cell * cell_cols);
    std::sort(classes.order.begin() + begin, classes.order.begin() + end);
    classes.span_ends.push_back(end);
    begin = end;
  }
  return classes;
}

}  // namespace ecq

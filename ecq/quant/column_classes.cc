#include "ecq/quant/column_classes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace ecq {
namespace {

// Class 0: columns of zeros. The others: half octaves of the rms, from 2^-8.5 to 2^7.
constexpr uint32_t kNumHalfOctaves = 33;
constexpr long kHalfOctaveOfOne = 18;
constexpr int32_t kMinLevel = -128;
// A Gaussian table record with its span in the metadata.
constexpr double kTableBits = 8 * 16;
constexpr double kOrderBitsPerColumn = 32;

using Counts = std::array<uint64_t, 256>;

uint32_t HalfOctave(const int8_t* levels, uint32_t rows) {
  uint64_t squares = 0;
  for (uint32_t r = 0; r < rows; ++r) squares += static_cast<uint64_t>(levels[r] * levels[r]);
  if (squares == 0) return 0;
  const long half_octave = std::lround(std::log2(static_cast<double>(squares) / rows));
  return static_cast<uint32_t>(
      std::clamp(half_octave + kHalfOctaveOfOne, 1L, long{kNumHalfOctaves} - 1));
}

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

// Which half octaves share a table: ends[s] is the end of the s-th run of them.
struct Partition {
  std::vector<uint32_t> ends;
  double bits = 0;
};

// The cheapest partition into at most max_classes runs, by dynamic programming over their ends.
Partition MergeHalfOctaves(const std::vector<Counts>& counts, double row_weight,
                           uint32_t max_classes) {
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
  std::vector<uint32_t> half_octaves(cols);
  std::vector<std::vector<Counts>> partial(pool.num_threads(),
                                           std::vector<Counts>(kNumHalfOctaves));
  pool.Run(cols, [&](size_t c, size_t worker) {
    const int8_t* const column = levels.data() + c * rows;
    half_octaves[c] = HalfOctave(column, rows);
    Counts& counts = partial[worker][half_octaves[c]];
    for (uint32_t r = 0; r < rows; ++r) ++counts[static_cast<size_t>(column[r] - kMinLevel)];
  });

  std::vector<uint32_t> columns_of(kNumHalfOctaves);
  for (const uint32_t half_octave : half_octaves) ++columns_of[half_octave];
  std::vector<uint32_t> used;  // half octaves that occur
  std::vector<Counts> counts;
  Counts all{};
  for (uint32_t h = 0; h < kNumHalfOctaves; ++h) {
    if (columns_of[h] == 0) continue;
    used.push_back(h);
    Counts& sum = counts.emplace_back();
    for (const auto& worker : partial) {
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += worker[h][i];
    }
    for (size_t i = 0; i < sum.size(); ++i) all[i] += sum[i];
  }

  ColumnClasses classes;
  classes.bits = row_weight * EntropyBits(all) + kTableBits;
  const Partition partition = MergeHalfOctaves(counts, row_weight, max_classes);
  const double bits = partition.bits + kOrderBitsPerColumn * cols;
  if (partition.ends.size() == 1 || bits >= classes.bits) return classes;

  classes.bits = bits;
  uint32_t next = 0;
  for (const uint32_t end : partition.ends) {
    const uint32_t first = used[next];
    const uint32_t last = used[end - 1];
    for (uint32_t c = 0; c < cols; ++c) {
      if (half_octaves[c] >= first && half_octaves[c] <= last) classes.order.push_back(c);
    }
    classes.span_ends.push_back(static_cast<uint32_t>(classes.order.size()));
    next = end;
  }
  return classes;
}

}  // namespace ecq

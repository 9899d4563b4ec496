// Window codes for columns as successive quantization hands them out, a tuple at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ecq/base/thread_pool.h"
#include "ecq/quant/successive.h"
#include "ecq/quant/window_search.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

// What a fix takes in a file: 16 bits of value and 16 of position.
inline constexpr double kFixBits = kStoredFixBits;

// When a weight that its code misses becomes a fix.
struct FixRule {
  bool enabled = true;
  // Cost that a bit saves elsewhere, for a row of mean energy: a fix must save kFixBits times that.
  double slope = 0;
  // Fixes to be expected in each position. Positions coded early leave the later ones theirs.
  std::vector<double> expected;
  uint64_t most = 0;  // of the matrix
};

// Codes groups of up to kTupleCols positions. Targets are in units of the row scales, which out has
// already; it needs col_scales, levels, span_ends and window tables and codes of the right sizes,
// whose contents are set here, and gets its fixes from TakeFixes().
//
// A column is divided by the rms of its targets without outliers, and searched for in the metric of
// its tuple, so that a table for a unit Gaussian fits. Its scale is then the gain that minimises
// the squared error, outliers left out, as binary16. Then come the fixes, so that later columns
// correct what even they leave.
class WindowColumnCoder final : public ColumnCoder {
 public:
  WindowColumnCoder(const InputFactor& factor, std::span<const float> row_scales, FixRule rule,
                    QuantizedTensor& out, ThreadPool& pool);

  void Code(uint32_t begin, uint32_t end, const float* targets, float* coded) override;
  // Sorted by row and column.
  std::vector<Fix> TakeFixes();

 private:
  // Of the group at work.
  struct Group {
    uint32_t begin;
    uint32_t cols;
    const float* targets;
    size_t span;
    float sigma[kTupleCols];    // rms of a column's targets without outliers
    float inverse[kTupleCols];  // 1 / sigma, or 0
  };

  float SigmaOf(const float* targets) const;
  TupleMetric MetricOf(const Group& group) const;
  void CodeBlock(const Group& group, uint32_t block, WindowSearch& search);
  void FinishColumn(const Group& group, uint32_t j, float* coded);
  void AddFixes(const Group& group, uint32_t j, float scale, float* coded);

  uint32_t rows() const { return out_.rows; }

  const InputFactor& factor_;
  FixRule rule_;
  QuantizedTensor& out_;
  ThreadPool& pool_;
  uint32_t live_rows_ = 0;
  std::vector<float> energy_;                        // of each row, its scale squared, mean 1
  std::vector<std::vector<WindowSearch>> searches_;  // [worker][span]
  std::vector<float> column_;                        // targets of one column with all its feedback
  std::vector<float> errors_;                        // [column of the group][row]
  std::vector<int8_t> levels_;                       // [column of the group][row]
  std::vector<Fix> fixes_;
  double expected_left_ = 0;  // in positions not yet coded
};

}  // namespace ecq

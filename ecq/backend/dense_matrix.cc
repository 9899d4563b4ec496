// Dense products: own kernels for a few activations, BLAS for many.
#include "ecq/backend/dense_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "ecq/blas/gemm.h"
#include "ecq/kernels/cpu/dense_kernels.h"

namespace ecq {
namespace {

// Up to here streaming the weights once per activation row from cache beats packing them for a
// GEMM.
constexpr size_t kMaxGemvActivations = 3;

// Work of one task: enough to hide the cost of claiming it, little enough to balance the threads.
constexpr uint64_t kGemvTaskWeights = 64 * 1024;
// A multiple of every BLAS kernel's row tile; each task packs all of x again.
constexpr uint64_t kGemmRowGranule = 64;
constexpr uint64_t kGemmTasksPerThread = 4;

// Calls fn(row_begin, row_end) for pieces of `rows_per_task` rows.
template <typename F>
void ForRowRanges(ThreadPool& pool, uint64_t rows, uint64_t rows_per_task, F&& fn) {
  pool.Run(DivideRoundUp(rows, rows_per_task), [&](size_t task, size_t /*worker*/) {
    const uint64_t begin = task * rows_per_task;
    fn(begin, std::min(rows, begin + rows_per_task));
  });
}

}  // namespace

Result<DenseMatrix> DenseMatrix::Create(uint64_t rows, uint64_t cols,
                                        AlignedBuffer<float> weights) {
  const auto size = CheckedMul(rows, cols);
  constexpr uint64_t kMaxDimension = std::numeric_limits<int>::max();
  if (!size || *size == 0 || *size != weights.size() || rows > kMaxDimension ||
      cols > kMaxDimension) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("dense matrix [{}, {}] of {} weights", rows, cols, weights.size())};
  }
  return DenseMatrix(rows, cols, std::move(weights));
}

Status DenseMatrix::Multiply(ThreadPool& pool, ActivationMode mode, Activations& activations,
                             float* y) const {
  const size_t m = activations.m();
  const float* const x =
      mode == ActivationMode::kI8 ? activations.Rounded(pool, {}) : activations.x();
  const float* w = weights_.data();
  if (m <= kMaxGemvActivations) {
    const DenseKernels& kernels = ActiveDenseKernels();
    const uint64_t rows_per_task = std::max<uint64_t>(1, kGemvTaskWeights / cols_);
    ForRowRanges(pool, rows_, rows_per_task, [&](uint64_t begin, uint64_t end) {
      for (size_t i = 0; i < m; ++i) {
        kernels.gemv(w + begin * cols_, end - begin, cols_, x + i * cols_, y + i * rows_ + begin);
      }
    });
    return OkStatus();
  }
  const uint64_t tasks = pool.num_threads() * kGemmTasksPerThread;
  const uint64_t rows_per_task = AlignUp(DivideRoundUp(rows_, tasks), kGemmRowGranule);
  ForRowRanges(pool, rows_, rows_per_task, [&](uint64_t begin, uint64_t end) {
    GemmTransposed(m, end - begin, cols_, 1.0f, {x, cols_}, {w + begin * cols_, cols_},
                   {y + begin, rows_});
  });
  return OkStatus();
}

Status DenseMatrix::GatherRows(ThreadPool& /*pool*/, std::span<const uint32_t> ids,
                               float* out) const {
  for (size_t i = 0; i < ids.size(); ++i) {
    std::copy_n(weights_.data() + ids[i] * cols_, cols_, out + i * cols_);
  }
  return OkStatus();
}

}  // namespace ecq

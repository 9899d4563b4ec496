#include "app/analyze/synthetic_weights.h"

#include <cmath>

#include "ecq/base/rng.h"

namespace ecq {
namespace {

double Draw(SyntheticKind kind, Rng& rng) {
  switch (kind) {
    case SyntheticKind::kGaussian:
      return rng.Gaussian();
    case SyntheticKind::kLaplace: {
      const double u = rng.Uniform() - 0.5;
      const double magnitude = -std::log1p(-2 * std::abs(u)) * std::sqrt(0.5);  // variance 2 b^2
      return u < 0 ? -magnitude : magnitude;
    }
    case SyntheticKind::kStudent5: {
      double chi_square = 0;
      for (int i = 0; i < 5; ++i) {
        const double z = rng.Gaussian();
        chi_square += z * z;
      }
      return rng.Gaussian() / std::sqrt(chi_square / 3);  // t is over chi_square / 5, variance 5/3
    }
  }
  return 0;
}

}  // namespace

std::optional<SyntheticKind> SyntheticKindFromName(std::string_view name) {
  if (name == "gaussian") return SyntheticKind::kGaussian;
  if (name == "laplace") return SyntheticKind::kLaplace;
  if (name == "student5") return SyntheticKind::kStudent5;
  return std::nullopt;
}

AlignedBuffer<float> MakeSyntheticWeights(SyntheticKind kind, uint32_t rows, uint32_t cols,
                                          uint64_t seed, ThreadPool& pool) {
  AlignedBuffer<float> weights(size_t{rows} * cols);
  const uint64_t stream = Rng(seed).Next();
  pool.Run(rows, [&](size_t row, size_t) {
    Rng rng(Rng(stream + row).Next());
    for (uint32_t c = 0; c < cols; ++c) {
      weights[row * cols + c] = static_cast<float>(Draw(kind, rng));
    }
  });
  return weights;
}

}  // namespace ecq

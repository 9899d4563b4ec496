// How far the calibrated quantizer is from the rate-distortion bound, and how fast it is.
//
//   bench_quantizers gap     Gaussian weights, synthetic moments: bits above the bound
//   bench_quantizers speed   CPU seconds on one thread for the shapes of real layers
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

#include "ecq/pack/pack.h"
#include "ecq/quant/moments_for_test.h"
#include "ecq/quant/uniform_quantizer.h"
#include "ecq/quant/zsic_quantizer.h"

namespace ecq {
namespace {

double CpuSeconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

InputFactor Factor(const InputMoments& moments, bool diagonal_only) {
  FactorOptions options;
  options.diagonal_only = diagonal_only;
  return std::move(InputFactor::Create(moments, options, "bench")).value();
}

// Bits per weight of the levels, each class of columns with the best table of its own.
double EntropyBits(const QuantizedTensor& t) {
  std::vector<uint32_t> ends = t.span_ends;
  if (ends.empty()) ends = {t.cols};
  double bits = 0;
  uint32_t begin = 0;
  for (const uint32_t end : ends) {
    LevelCounts counts{};
    for (uint32_t r = 0; r < t.rows; ++r) {
      for (uint32_t c = begin; c < end; ++c) {
        ++counts[static_cast<size_t>(t.levels[size_t{r} * t.cols + c] + 128)];
      }
    }
    const double total = static_cast<double>(t.rows) * (end - begin);
    for (const uint64_t count : counts) {
      if (count == 0) continue;
      bits += static_cast<double>(count) * std::log2(total / static_cast<double>(count));
    }
    begin = end;
  }
  return bits / static_cast<double>(t.levels.size());
}

// Eigenvalues of a symmetric matrix by Jacobi rotations.
std::vector<double> Eigenvalues(const InputMoments& moments) {
  const size_t n = moments.cols;
  std::vector<double> a(moments.sums.begin(), moments.sums.end());
  for (int sweep = 0; sweep < 12; ++sweep) {
    for (size_t p = 0; p < n; ++p) {
      for (size_t q = p + 1; q < n; ++q) {
        if (a[p * n + q] == 0) continue;
        const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
        const double t = std::copysign(1.0, theta) / (std::abs(theta) + std::hypot(theta, 1.0));
        const double c = 1 / std::hypot(t, 1.0);
        const double s = t * c;
        for (size_t k = 0; k < n; ++k) {
          const double x = a[p * n + k];
          const double y = a[q * n + k];
          a[p * n + k] = c * x - s * y;
          a[q * n + k] = s * x + c * y;
        }
        for (size_t k = 0; k < n; ++k) {
          const double x = a[k * n + p];
          const double y = a[k * n + q];
          a[k * n + p] = c * x - s * y;
          a[k * n + q] = s * x + c * y;
        }
      }
    }
  }
  std::vector<double> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = a[i * (n + 1)];
  return values;
}

// The least rate at which Gaussian weights of variance 1 have this error per weight: reverse
// waterfilling over the eigenvalues.
double BoundBits(const std::vector<double>& eigenvalues, double error) {
  double low = 0;
  double high = 1e30;
  const double n = static_cast<double>(eigenvalues.size());
  for (int i = 0; i < 400; ++i) {
    const double water = low > 0 ? std::sqrt(low * high) : high * 1e-3;
    double sum = 0;
    for (const double value : eigenvalues) sum += std::min(water, value) / n;
    (sum < error ? low : high) = water;
    if (low > 0 && high / low < 1 + 1e-12) break;
  }
  double bits = 0;
  for (const double value : eigenvalues) bits += std::max(0.0, 0.5 * std::log2(value / high)) / n;
  return bits;
}

struct Case {
  const char* name;
  double power;
  double channel_spread;
};

// Bits above the bound at an entropy of `bits`.
double Gap(const TestMatrix& m, const InputMoments& moments, const std::vector<double>& eigenvalues,
           const InputFactor& factor, const ZsicOptions& options, double bits, ThreadPool& pool) {
  const ZsicQuantizer quantizer =
      std::move(ZsicQuantizer::Create(m.view(), factor, options, pool)).value();
  const double num_weights = static_cast<double>(m.w.size());
  const auto bytes_of = [&](const QuantizedTensor& t) -> Result<double> {
    return EntropyBits(t) * num_weights / 8;
  };
  const auto found = std::move(quantizer.FindStep(bits * num_weights / 8, bytes_of, pool)).value();
  std::vector<float> decoded(m.w.size());
  for (uint32_t r = 0; r < m.rows; ++r) {
    found.output.tensor.DequantizeRow(r, decoded.data() + size_t{r} * m.cols);
  }
  const double error = WeightedError(moments, m.w, decoded) / num_weights;
  return found.bytes * 8 / num_weights - BoundBits(eigenvalues, error);
}

void PrintGaps() {
  constexpr uint32_t kRows = 4096;
  constexpr uint32_t kCols = 128;
  ThreadPool pool(1);
  const TestMatrix m = GaussianMatrix(1, kRows, kCols);
  fmt::print("W {} x {}, Gaussian; bits per weight above the bound\n", kRows, kCols);
  fmt::print("{:32} {:>4} {:>8} {:>9} {:>10} {:>12} {:>8}\n", "moments", "bits", "nearest",
             "diagonal", "ZSIC joint", "ZSIC classes", "no gain");
  for (const Case& c :
       {Case{"uncorrelated, lognormal(.5)", 0, 0.5}, Case{"k^-0.7, lognormal(.5)", 0.7, 0.5},
        Case{"k^-1.2, lognormal(.5)", 1.2, 0.5}}) {
    const InputMoments moments = CorrelatedMoments(2, kCols, c.power, c.channel_spread);
    const std::vector<double> eigenvalues = Eigenvalues(moments);
    const InputFactor none = InputFactor::Identity(kCols);
    const InputFactor diagonal = Factor(moments, true);
    const InputFactor full = Factor(moments, false);
    for (const double bits : {2.0, 3.0, 4.0}) {
      const auto gap = [&](const InputFactor& factor, const ZsicOptions& options) {
        return Gap(m, moments, eigenvalues, factor, options, bits, pool);
      };
      constexpr ZsicOptions kOneTable{true, 1};
      constexpr ZsicOptions kNoGain{false, 16};
      fmt::print("{:32} {:4} {:8.3f} {:9.3f} {:10.3f} {:12.3f} {:8.3f}\n", c.name, bits,
                 gap(none, kOneTable), gap(diagonal, {}), gap(full, kOneTable), gap(full, {}),
                 gap(full, kNoGain));
    }
  }
}

void PrintSpeed() {
  ThreadPool pool(1);
  fmt::print("CPU seconds on one thread, 3 bits per weight, coded as rANS\n");
  fmt::print("{:>12} {:>7} {:>9} {:>12} {:>8} {:>6}\n", "N x K", "factor", "quantize",
             "M weights/s", "to rate", "bpw");
  for (const auto& [rows, cols] : {std::pair{576u, 576u}, {576u, 1536u}, {896u, 4864u}}) {
    const TestMatrix m = GaussianMatrix(1, rows, cols, 0.2);
    const InputMoments moments = CorrelatedMoments(2, cols, 0.7, 0.5);
    const double start = CpuSeconds();
    const InputFactor factor = Factor(moments, false);
    const double factored = CpuSeconds();
    const ZsicQuantizer quantizer =
        std::move(ZsicQuantizer::Create(m.view(), factor, {}, pool)).value();
    const auto once = quantizer.Quantize(0.5, pool);
    const double quantized = CpuSeconds();
    const auto bytes_of = [&](const QuantizedTensor& t) -> Result<double> {
      ECQ_TRY(const PackedTensor packed, Pack(t, {}, pool));
      return static_cast<double>(packed.total_bytes());
    };
    const double num_weights = static_cast<double>(m.w.size());
    const auto found = quantizer.FindStep(3 * num_weights / 8, bytes_of, pool);
    const double end = CpuSeconds();
    fmt::print("{:>12} {:7.3f} {:9.3f} {:12.1f} {:8.3f} {:6.3f}\n",
               fmt::format("{} x {}", rows, cols), factored - start, quantized - factored,
               1e-6 * num_weights / (quantized - factored), end - quantized,
               found.value().bytes * 8 / num_weights);
  }
}

}  // namespace
}  // namespace ecq

int main(int argc, char** argv) {
  const bool gap = argc == 2 && std::strcmp(argv[1], "gap") == 0;
  const bool speed = argc == 2 && std::strcmp(argv[1], "speed") == 0;
  if (gap) ecq::PrintGaps();
  if (speed) ecq::PrintSpeed();
  if (!gap && !speed) fmt::print("usage: bench_quantizers gap|speed\n");
  return gap || speed ? 0 : 2;
}

// Fused products on one thread: every codec, target and activation type, beside the dense f32
// product, the group-4-bit format and a 4-bit kernel made for speed alone in the same run; y = W x
// and, under "m4", "m32" and "m512", products of so many rows of x.
//
//   bench_kernels --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
//
// items/s are weights per second times rows of x; "bpw" counts payload, index, tables and scales.
// The small matrix stays in the L2 cache, the large one (64 Mi weights) comes from memory.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <memory>
#include <string>

#include "bench/group4_rival.h"
#include "bench/synthetic_matrix.h"
#include "ecq/backend/dense_matrix.h"
#include "ecq/base/cpu_target.h"
#include "ecq/quant/window_tables.h"

namespace ecq::bench {
namespace {

struct Size {
  const char* name;
  uint32_t rows;
  uint32_t cols;
};
constexpr Size kSizes[] = {{"L2", 512, 2048}, {"DRAM", 16384, 4096}};
// Rows of x of a product with several, which only the small matrix meets.
struct Batch {
  const char* name;
  size_t m;
};
constexpr Batch kBatches[] = {{"m4", 4}, {"m32", 32}, {"m512", 512}};
constexpr double kRates[] = {2.0, 3.0, 4.0};

template <typename AnyMatrix>
void Count(benchmark::State& state, const AnyMatrix& matrix, size_t m) {
  const double weights = static_cast<double>(matrix.rows() * matrix.cols());
  const double products = static_cast<double>(state.iterations());
  const double bytes = static_cast<double>(matrix.resident_bytes());
  state.SetItemsProcessed(static_cast<int64_t>(products * weights * static_cast<double>(m)));
  state.SetBytesProcessed(static_cast<int64_t>(products * bytes));
  state.counters["bpw"] = 8.0 * bytes / weights;
}

void RunProduct(benchmark::State& state, const Matrix& matrix, CpuTarget target,
                ActivationMode mode, size_t m) {
  if (!SetActiveCpuTarget(target).ok()) {
    state.SkipWithError("this machine lacks the target");
    return;
  }
  ThreadPool pool(1);
  const std::vector<float> x = GaussianValues(m * matrix.cols(), 2);
  std::vector<float> y(m * matrix.rows());
  for (auto _ : state) {
    if (!matrix.Multiply(pool, mode, m, x.data(), y.data()).ok()) state.SkipWithError("corrupt");
    benchmark::DoNotOptimize(y.data());
  }
  Count(state, matrix, m);
}

void RunRival(benchmark::State& state, const Group4Rival& matrix) {
  const std::vector<float> x = GaussianValues(matrix.cols(), 2);
  std::vector<float> y(matrix.rows());
  for (auto _ : state) {
    matrix.Multiply(x.data(), y.data());
    benchmark::DoNotOptimize(y.data());
  }
  Count(state, matrix, 1);
}

void Register(const std::string& size, const std::string& what,
              std::shared_ptr<const Matrix> matrix) {
  const auto add = [&](const std::string& name, size_t m) {
    for (const CpuTarget target : kAllCpuTargets) {
      for (const ActivationMode mode : {ActivationMode::kF32, ActivationMode::kI8}) {
        const std::string full = name + "/" + what + "/" + std::string(CpuTargetName(target)) +
                                 (mode == ActivationMode::kF32 ? "/f32" : "/i8");
        benchmark::RegisterBenchmark(full.c_str(), [=](benchmark::State& state) {
          RunProduct(state, *matrix, target, mode, m);
        });
      }
    }
  };
  add(size, 1);
  if (size != kSizes[0].name) return;
  for (const Batch& batch : kBatches) add(batch.name, batch.m);
}

void RegisterAll() {
  ThreadPool pool(DefaultThreadCount());
  for (const Size& size : kSizes) {
    const std::string name = size.name;
    for (const double rate : kRates) {
      const QuantizedTensor tensor = GaussianTensor(size.rows, size.cols, rate, pool);
      for (const CodecId codec : {CodecId::kRans, CodecId::kRans16}) {
        Register(name, fmt::format("{}-{}", GetCodec(codec).name, static_cast<int>(rate)),
                 std::make_shared<PackedMatrix>(PackAs(tensor, codec, pool)));
      }
    }
    for (const WindowRate& rate : kWindowRates) {
      for (const bool has_memory : {false, true}) {
        Register(
            name, fmt::format("window{}-{:.1f}", has_memory ? 12 : 8, rate.bits()),
            std::make_shared<PackedMatrix>(RandomWindow(size.rows, size.cols, rate, has_memory)));
      }
    }
    if (Group4Rival::Supported()) {
      const auto rival = std::make_shared<const Group4Rival>(size.rows, size.cols);
      benchmark::RegisterBenchmark((name + "/rival-q4/avx512/i8").c_str(),
                                   [=](benchmark::State& state) { RunRival(state, *rival); });
    }
    Register(name, "raw-q4_0",
             std::make_shared<PackedMatrix>(
                 PackAs(Group4Tensor(size.rows, size.cols, pool), CodecId::kRaw, pool)));
    const std::vector<float> values = GaussianValues(size_t{size.rows} * size.cols, 1);
    AlignedBuffer<float> dense(values.size());
    std::copy(values.begin(), values.end(), dense.begin());
    auto matrix = DenseMatrix::Create(size.rows, size.cols, std::move(dense));
    Register(name, "dense-f32", std::make_shared<DenseMatrix>(std::move(matrix).value()));
  }
}

}  // namespace
}  // namespace ecq::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  ecq::bench::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

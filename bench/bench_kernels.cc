// Fused products y = W x on one thread: every codec, target and activation type, beside the dense
// f32 product, the group-4-bit format and a 4-bit kernel made for speed alone in the same run.
//
//   bench_kernels --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
//
// items/s are weights per second; "bpw" counts payload, index, tables and scales. The small matrix
// stays in the L2 cache, the large one (64 Mi weights) comes from memory.
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
constexpr double kRates[] = {2.0, 3.0, 4.0};

template <typename AnyMatrix>
void Count(benchmark::State& state, const AnyMatrix& matrix) {
  const double weights = static_cast<double>(matrix.rows() * matrix.cols());
  const double products = static_cast<double>(state.iterations());
  const double bytes = static_cast<double>(matrix.resident_bytes());
  state.SetItemsProcessed(static_cast<int64_t>(products * weights));
  state.SetBytesProcessed(static_cast<int64_t>(products * bytes));
  state.counters["bpw"] = 8.0 * bytes / weights;
}

void RunProduct(benchmark::State& state, const Matrix& matrix, CpuTarget target,
                ActivationMode mode) {
  if (!SetActiveCpuTarget(target).ok()) {
    state.SkipWithError("this machine lacks the target");
    return;
  }
  ThreadPool pool(1);
  const std::vector<float> x = GaussianValues(matrix.cols(), 2);
  std::vector<float> y(matrix.rows());
  for (auto _ : state) {
    if (!matrix.Multiply(pool, mode, 1, x.data(), y.data()).ok()) state.SkipWithError("corrupt");
    benchmark::DoNotOptimize(y.data());
  }
  Count(state, matrix);
}

void RunRival(benchmark::State& state, const Group4Rival& matrix) {
  const std::vector<float> x = GaussianValues(matrix.cols(), 2);
  std::vector<float> y(matrix.rows());
  for (auto _ : state) {
    matrix.Multiply(x.data(), y.data());
    benchmark::DoNotOptimize(y.data());
  }
  Count(state, matrix);
}

void Register(const std::string& name, std::shared_ptr<const Matrix> matrix) {
  for (const CpuTarget target : kAllCpuTargets) {
    for (const ActivationMode mode : {ActivationMode::kF32, ActivationMode::kI8}) {
      const std::string full = name + "/" + std::string(CpuTargetName(target)) +
                               (mode == ActivationMode::kF32 ? "/f32" : "/i8");
      benchmark::RegisterBenchmark(
          full.c_str(), [=](benchmark::State& state) { RunProduct(state, *matrix, target, mode); });
    }
  }
}

void RegisterAll() {
  ThreadPool pool(DefaultThreadCount());
  for (const Size& size : kSizes) {
    const auto name = [&](std::string_view what) {
      return std::string(size.name) + "/" + std::string(what);
    };
    for (const double rate : kRates) {
      const QuantizedTensor tensor = GaussianTensor(size.rows, size.cols, rate, pool);
      for (const CodecId codec : {CodecId::kRans, CodecId::kRans16}) {
        Register(name(GetCodec(codec).name) + "-" + std::to_string(static_cast<int>(rate)),
                 std::make_shared<PackedMatrix>(PackAs(tensor, codec, pool)));
      }
    }
    for (const WindowRate& rate : kWindowRates) {
      for (const bool has_memory : {false, true}) {
        Register(
            name(has_memory ? "window12-" : "window8-") + fmt::format("{:.1f}", rate.bits()),
            std::make_shared<PackedMatrix>(RandomWindow(size.rows, size.cols, rate, has_memory)));
      }
    }
    if (Group4Rival::Supported()) {
      const auto rival = std::make_shared<const Group4Rival>(size.rows, size.cols);
      benchmark::RegisterBenchmark(name("rival-q4/avx512/i8").c_str(),
                                   [=](benchmark::State& state) { RunRival(state, *rival); });
    }
    Register(name("raw-q4_0"), std::make_shared<PackedMatrix>(PackAs(
                                   Group4Tensor(size.rows, size.cols, pool), CodecId::kRaw, pool)));
    const std::vector<float> values = GaussianValues(size_t{size.rows} * size.cols, 1);
    AlignedBuffer<float> dense(values.size());
    std::copy(values.begin(), values.end(), dense.begin());
    auto matrix = DenseMatrix::Create(size.rows, size.cols, std::move(dense));
    Register(name("dense-f32"), std::make_shared<DenseMatrix>(std::move(matrix).value()));
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

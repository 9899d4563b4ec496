// Encoding and decoding of whole matrices on one thread, with the size against the entropy.
//
// Named after ten times the rate and the number of the codec (CodecId: 1 rans, 3 rans16).
//
//   bench_codec --benchmark_repetitions=9 --benchmark_report_aggregates_only=true
//
// items/s are weights per second. "overhead" is what the coded matrix (payload, index, table) takes
// beyond the entropy of its levels, in bits per weight.
#include <benchmark/benchmark.h>

#include <string>

#include "bench/synthetic_matrix.h"
#include "ecq/base/cpu_target.h"
#include "ecq/kernels/packed_kernels.h"

namespace ecq::bench {
namespace {

constexpr uint32_t kRows = 2048;
constexpr uint32_t kCols = 4096;
constexpr double kWeights = double{kRows} * kCols;

double OverheadBits(const QuantizedTensor& tensor, const PackedTensor& packed) {
  Histogram histogram;
  for (const int8_t level : tensor.levels) ++histogram[level];
  const double coded_bits =
      8.0 * static_cast<double>(packed.total_bytes() - packed.scales.size_bytes());
  return (coded_bits - histogram.EntropyBits()) / kWeights;
}

// Arguments: the rate in tenths of a bit, the codec.
double RateOf(const benchmark::State& state) { return static_cast<double>(state.range(0)) / 10; }
CodecId CodecOf(const benchmark::State& state) { return static_cast<CodecId>(state.range(1)); }

void ForRatesAndCodecs(benchmark::internal::Benchmark* b) {
  for (const CodecId codec : {CodecId::kRans, CodecId::kRans16}) {
    for (const int64_t tenths : {20, 27, 30, 40}) b->Args({tenths, static_cast<int64_t>(codec)});
  }
}

void BM_Encode(benchmark::State& state) {
  ThreadPool pool(1);
  const QuantizedTensor tensor = GaussianTensor(kRows, kCols, RateOf(state), pool);
  PackedTensor packed;
  for (auto _ : state) packed = PackAs(tensor, CodecOf(state), pool);
  state.SetItemsProcessed(state.iterations() * int64_t{kRows} * kCols);
  state.counters["overhead"] = OverheadBits(tensor, packed);
  state.counters["bpw"] =
      8.0 * static_cast<double>(packed.total_bytes() - packed.scales.size_bytes()) / kWeights;
}
BENCHMARK(BM_Encode)->Apply(ForRatesAndCodecs)->Unit(benchmark::kMillisecond);

void BM_Decode(benchmark::State& state) {
  ThreadPool pool(1);
  const QuantizedTensor tensor = GaussianTensor(kRows, kCols, RateOf(state), pool);
  const PackedMatrix matrix(PackAs(tensor, CodecOf(state), pool));
  std::vector<int8_t> columns(size_t{kRows} * kCols);
  const PackedKernels& kernels = PackedKernelsFor(BestCpuTarget());
  for (auto _ : state) {
    if (!kernels.decode(matrix.view(), 0, matrix.view().desc.num_tiles, columns.data(), kRows)) {
      state.SkipWithError("corrupt");
    }
    benchmark::DoNotOptimize(columns.data());
  }
  state.SetItemsProcessed(state.iterations() * int64_t{kRows} * kCols);
}
BENCHMARK(BM_Decode)->Apply(ForRatesAndCodecs)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ecq::bench

BENCHMARK_MAIN();

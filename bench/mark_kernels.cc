// Runs every product once over every code, kernels alone, with a line on standard output before and
// after: bench/count_instructions.py counts the instructions in between.
#include <cstdio>
#include <string>

#include "bench/synthetic_matrix.h"
#include "ecq/backend/target_override.h"
#include "ecq/base/cpu_target.h"
#include "ecq/kernels/activations.h"
#include "ecq/kernels/packed_kernels.h"

namespace ecq::bench {
namespace {

// Two tiles of the rANS code, which the kernels decode side by side.
constexpr uint32_t kRows = 256;
constexpr uint32_t kCols = 512;
constexpr double kRansBits = 3.0;

// Activations in every form that a product may ask for.
struct Activations {
  std::vector<float> x = GaussianValues(kCols, 2);
  std::vector<int8_t> q = std::vector<int8_t>(PaddedActivations(kCols));
  std::vector<int8_t> q_tuples = q;
  std::vector<float> q_scales = std::vector<float>(NumActivationBlocks(kCols));
  std::vector<int32_t> q_sums = std::vector<int32_t>(q_scales.size());

  Activations() {
    QuantizeActivations(x.data(), x.size(), q.data(), q_scales.data());
    TransposeTuples(q.data(), x.size(), q_tuples.data());
    for (size_t i = 0; i < q.size(); ++i) q_sums[i / kActivationBlock] += q[i];
  }
  PackedActivations Prepared() const {
    return {x.data(), q.data(), q_scales.data(), q_sums.data(), nullptr, q_tuples.data()};
  }
};

void Mark(const std::string& text) {
  std::printf("MARK %s\n", text.c_str());
  std::fflush(stdout);
}

// Lines: code, kernel, target, weights; then END, or WRONG if a codestream seemed damaged.
void RunKernels(const std::string& name, PackedTensor packed) {
  const PackedMatrix matrix(std::move(packed));
  const PackedView& view = matrix.view();
  const PackedKernels& kernels = PackedKernelsFor(ActiveCpuTarget());
  const Activations activations;
  const PackedActivations x = activations.Prepared();
  std::vector<float> y(kRows);
  for (const bool is_f32 : {true, false}) {
    const auto kernel = is_f32 ? kernels.gemv_f32 : kernels.gemv_i8;
    Mark(name + (is_f32 ? " gemv_f32 " : " gemv_i8 ") +
         std::string(CpuTargetName(ActiveCpuTarget())) + ' ' + std::to_string(kRows * kCols));
    const bool ok = kernel(view, 0, view.desc.num_tiles, x, y.data());
    Mark(ok ? "END" : "WRONG");
  }
}

void RunAll() {
  ThreadPool pool(1);
  RunKernels("rans-3.0",
             PackAs(GaussianTensor(kRows, kCols, kRansBits, pool), CodecId::kRans, pool));
  RunKernels("raw-q4_0", PackAs(Group4Tensor(kRows, kCols, pool), CodecId::kRaw, pool));
  for (const bool has_memory : {false, true}) {
    for (const auto& [rate, raw_bits] : {std::pair{"2.0", 0u}, {"3.0", 4u}, {"4.0", 8u}}) {
      RunKernels((has_memory ? "window12-" : "window8-") + std::string(rate),
                 RandomWindow(kRows, kCols, WindowRate{kWindowByteBits, raw_bits}, has_memory));
    }
  }
}

}  // namespace
}  // namespace ecq::bench

int main() {
  if (const ecq::Status status = ecq::ApplyTargetOverride(); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.error().message.c_str());
    return 1;
  }
  ecq::bench::RunAll();
  return 0;
}

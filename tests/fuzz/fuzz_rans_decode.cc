// Fuzz entry: arbitrary codestreams of rans and rans16 under a valid table and index. All targets
// return the verdict and the levels of the reference, and none reads outside the payload and its
// padding.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "ecq/backend/packed_matrix.h"
#include "ecq/kernels/activations.h"
#include "ecq/kernels/packed_kernels.h"
#include "tests/fuzz/fuzz_input.h"

namespace ecq {
namespace {

// Geometry, table and index from the input; the rest of it is the payload.
PackedTensor DrawTensor(FuzzInput& in) {
  PackedTensor t;
  PackedDesc& d = t.desc;
  d.rows = 1 + in.Below(150);
  d.cols = 1 + in.Below(80);
  // Mostly what vector code takes.
  d.lanes = in.Byte() % 4 == 0 ? 1u << in.Below(6) : kMaxLanes;
  d.blocks_per_tile = 1 + in.Below(3);
  d.num_tiles = static_cast<uint32_t>(DivideRoundUp(d.rows, TileRows(d)));
  const bool is_rans16 = in.Byte() % 2 == 0;
  d.codec = is_rans16 ? CodecId::kRans16 : CodecId::kRans;
  d.scale_groups = 1;
  d.group_size = d.cols;
  const uint32_t cut = d.cols > kRawGroupCols && in.Byte() % 2 == 0 ? kRawGroupCols : d.cols;
  for (uint32_t begin = 0; begin < d.cols; begin = begin == 0 ? cut : d.cols) {
    uint32_t prob_bits = kRansMinProbBits + in.Below(in.Byte() % 8 == 0 ? 7 : 5);
    const uint32_t rho = in.Word() << 16 | in.Word();
    int32_t low = -static_cast<int32_t>(in.Below(129));
    uint32_t levels = static_cast<uint32_t>(1 - low) + in.Below(128);
    if (is_rans16) {
      d.low_bits = in.Below(kRans16MaxLowBits + 1);
      prob_bits = kRans16ProbBits;
      low /= 8;
      levels = std::clamp(levels / 8, static_cast<uint32_t>(1 - low), kRans16MaxSymbols);
      levels = std::max(levels, 2u);  // one alone would have all slots
    }
    auto table = FrequencyTable::Gaussian(rho, low, levels, prob_bits);
    Require(table.ok());
    t.spans.push_back(
        {begin, begin == 0 ? cut : d.cols, static_cast<uint32_t>(t.spans.size()), prob_bits});
    t.tables.push_back(std::move(table).value());
  }
  d.num_spans = static_cast<uint32_t>(t.spans.size());

  auto storage = std::make_shared<PackedTensor::Storage>();
  storage->scales = {0x3c00};
  storage->index.push_back(0);
  for (uint32_t tile = 0; tile < d.num_tiles; ++tile) {
    storage->index.push_back(storage->index.back() + kMaxLanes + in.Byte());
  }
  const uint64_t bytes =
      AlignUp(uint64_t{storage->index.back()} * kIndexUnitBytes, kPayloadAlignment);
  storage->payload.assign(in.rest().begin(),
                          in.rest().begin() + std::min<size_t>(in.rest().size(), bytes));
  storage->payload.resize(bytes + kPayloadReadPadding, 0xa5);
  storage->payload.shrink_to_fit();  // the sanitizer sees the end of the padding
  t.scale_kind = ScaleKind::kTensor;
  t.payload = std::span(storage->payload).first(bytes);
  t.index = storage->index;
  t.scales = storage->scales;
  t.storage = std::move(storage);
  return t;
}

}  // namespace
}  // namespace ecq

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ecq;
  FuzzInput in(data, size);
  const PackedMatrix matrix(DrawTensor(in));
  Require(ValidatePackedTensor(matrix.tensor(), "fuzz").ok());
  const PackedView& view = matrix.view();
  const PackedDesc& d = view.desc;
  const size_t weights = size_t{d.rows} * d.cols;
  std::vector<float> x(d.cols, 1.0f);
  std::vector<int8_t> q(PaddedActivations(d.cols));
  std::fill_n(q.begin(), d.cols, int8_t{1});
  std::vector<float> q_scales(NumActivationBlocks(d.cols), 1.0f);
  std::vector<int32_t> q_sums;
  for (uint32_t c = 0; c < d.cols; c += kActivationBlock) {
    q_sums.push_back(static_cast<int32_t>(std::min<size_t>(kActivationBlock, d.cols - c)));
  }
  const PackedActivations activations{x.data(), q.data(), q_scales.data(), q_sums.data(), nullptr};

  std::vector<int8_t> expected(weights, 1);
  const bool ok =
      PackedKernelsFor(CpuTarget::kScalar).decode(view, 0, d.num_tiles, expected.data(), d.rows);
  for (const CpuTarget target : kAllCpuTargets) {
    if (!CpuTargetSupported(target)) continue;
    const PackedKernels& kernels = PackedKernelsFor(target);
    std::vector<int8_t> levels(weights, 2);
    Require(kernels.decode(view, 0, d.num_tiles, levels.data(), d.rows) == ok);
    Require(levels == expected);
    std::vector<float> y(d.rows);
    for (const auto gemv : {kernels.gemv_f32, kernels.gemv_i8}) {
      Require(gemv(view, 0, d.num_tiles, activations, y.data()) == ok);
      // With x of ones and a scale of 1 a product is a sum of levels: exact in f32.
      for (uint32_t r = 0; r < d.rows; ++r) {
        float sum = 0;
        for (uint32_t c = 0; c < d.cols; ++c) sum += expected[size_t{c} * d.rows + r];
        Require(y[r] == sum);
      }
    }
  }
  return 0;
}

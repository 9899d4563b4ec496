// Fuzz entry: whole matrices with parameters from the input. Coding twice gives the same bytes, and
// every target decodes the integers that went in.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "ecq/backend/packed_matrix.h"
#include "ecq/base/cpu_target.h"
#include "ecq/pack/pack.h"
#include "ecq/pack/random_window_for_test.h"
#include "tests/fuzz/fuzz_input.h"

namespace ecq {
namespace {

// Levels: a byte of the input each, narrowed by a shift, or the last one again with some
// likelihood.
QuantizedTensor DrawTensor(FuzzInput& in) {
  QuantizedTensor t;
  t.rows = 1 + in.Below(160);
  t.cols = 1 + in.Below(90);
  t.scale_kind = static_cast<ScaleKind>(in.Below(3));
  t.group_size = t.scale_kind == ScaleKind::kGroup ? 4 * (1 + in.Below(32)) : 0;
  t.scales.assign(t.NumScales(), 0x3c00);
  if (in.Byte() % 2 == 0) t.biases.assign(t.NumScales(), 0x3800);
  for (uint32_t end = in.Below(t.cols) + 1; t.span_ends.size() < 3 && end < t.cols;
       end += 1 + in.Below(t.cols)) {
    t.span_ends.push_back(end);
  }
  if (!t.span_ends.empty()) t.span_ends.push_back(t.cols);
  const uint32_t num_fixes = in.Below(8);
  const uint32_t shift = in.Below(8);
  const uint32_t repeat = in.Below(4);
  t.levels.resize(size_t{t.rows} * t.cols);
  int8_t last = 0;
  for (size_t i = 0; i < t.levels.size(); ++i) {
    if (i % (repeat + 1) == 0) last = static_cast<int8_t>(static_cast<int8_t>(in.Byte()) >> shift);
    t.levels[i] = last;
  }
  for (uint32_t i = 0; i < num_fixes; ++i) {
    const size_t at = size_t{i} * t.levels.size() / num_fixes;
    const Fix fix{static_cast<uint32_t>(at / t.cols), static_cast<uint32_t>(at % t.cols),
                  1 + static_cast<int32_t>(i) * 1000003};
    if (t.fixes.empty() || t.fixes.back().row != fix.row || t.fixes.back().col != fix.col) {
      t.fixes.push_back(fix);
    }
  }
  return t;
}

// Gives the tensor window codes and the levels that they decode to.
void DrawWindowCodes(FuzzInput& in, QuantizedTensor& t) {
  t.span_ends.clear();
  if (t.cols > kWindowGroupCols && in.Byte() % 2 == 0) t.span_ends = {kWindowGroupCols, t.cols};
  WindowCodes& codes = t.window.emplace();
  codes.has_memory = in.Byte() % 2 == 0;
  for (size_t i = 0; i < std::max<size_t>(1, t.span_ends.size()); ++i) {
    const uint32_t tuple_bits = kWindowTupleBits[in.Below(std::size(kWindowTupleBits))];
    WindowTable table = EmptyWindowTable(tuple_bits, in.Below(255));
    const int max_entry = 127 - static_cast<int>(table.low_step);
    for (uint32_t entry = 0; entry < NumWindowEntries(table.code_bits); ++entry) {
      for (int8_t& weight : table.entries[entry]) {
        weight =
            static_cast<int8_t>(std::clamp<int>(static_cast<int8_t>(in.Byte()), -127, max_entry));
      }
    }
    codes.tables.push_back(table);
  }
  const uint32_t row_tuples = WindowCodes::TuplesPerRow(t.cols);
  for (size_t i = 0; i < size_t{t.rows} * row_tuples; ++i) {
    const bool first_span = t.span_ends.empty() || i % row_tuples < kWindowGroupTuples;
    const WindowTable& table = codes.tables[first_span ? 0 : 1];
    codes.bytes.push_back(static_cast<uint8_t>(in.Byte() & ((1u << table.code_bits) - 1)));
    codes.raw.push_back(static_cast<uint8_t>(in.Byte() & ((1u << table.raw_bits) - 1)));
  }
  t.levels = LevelsOfCodes(codes, t.rows, t.cols, t.span_ends);
}

void CheckTarget(CpuTarget target, const PackedMatrix& matrix,
                 const std::vector<int32_t>& expected) {
  Require(SetActiveCpuTarget(target).ok());
  std::vector<int32_t> integers(expected.size(), -1);
  Require(matrix.DecodeIntegers(0, matrix.tensor().desc.rows, integers.data()).ok());
  Require(integers == expected);
}

}  // namespace
}  // namespace ecq

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ecq;
  static ThreadPool one(1);
  static ThreadPool two(2);
  FuzzInput in(data, size);
  PackOptions options;
  constexpr std::optional<CodecId> kCodecs[] = {CodecId::kRaw, CodecId::kRans, CodecId::kRans16,
                                                std::nullopt};
  options.codec = kCodecs[in.Below(4)];
  options.max_prob_bits = kRansMinProbBits + in.Below(7);
  const bool as_window = in.Byte() % 4 == 1;
  QuantizedTensor source = DrawTensor(in);
  if (as_window) DrawWindowCodes(in, source);

  auto packed = Pack(source, options, one);
  Require(packed.ok());
  auto again = Pack(source, options, two);
  Require(again.ok());
  Require(std::ranges::equal(packed->payload, again->payload));
  Require(std::ranges::equal(packed->index, again->index));
  Require(std::ranges::equal(packed->fixes, again->fixes));
  Require(packed->tables == again->tables);

  std::vector<int32_t> expected(source.levels.begin(), source.levels.end());
  for (const Fix& fix : source.fixes)
    expected[size_t{fix.row} * source.cols + fix.col] += fix.delta;
  const PackedMatrix matrix(std::move(packed).value());
  for (const CpuTarget target : kAllCpuTargets) {
    if (CpuTargetSupported(target)) CheckTarget(target, matrix, expected);
  }
  return 0;
}

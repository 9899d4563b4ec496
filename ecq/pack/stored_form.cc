#include "ecq/pack/stored_form.h"

#include <algorithm>
#include <array>

#include "ecq/base/bytes.h"

namespace ecq {
namespace {

constexpr uint64_t kSkip = 65535;  // a gap beyond those of fixes: so many places on
constexpr uint64_t kShortFixBytes = 2 * sizeof(uint16_t);
static_assert(8 * kShortFixBytes == kStoredFixBits);
constexpr uint32_t kMaxClasses = 16;

bool DeltasAreShort(std::span<const Fix> fixes) {
  return std::all_of(fixes.begin(), fixes.end(), [](const Fix& fix) {
    return fix.delta != 0 && fix.delta >= -kMaxShortDelta && fix.delta <= kMaxShortDelta;
  });
}

// Calls place(gap) for each fix: the places between it and the one before.
template <typename Place>
void ForEachGap(std::span<const Fix> fixes, uint32_t cols, const Place& place) {
  uint64_t next = 0;
  for (const Fix& fix : fixes) {
    const uint64_t position = uint64_t{fix.row} * cols + fix.col;
    place(position - next, fix);
    next = position + 1;
  }
}

// Columns where a class ends: the column after it comes earlier in the matrix.
uint64_t CountClasses(std::span<const uint32_t> order) {
  uint64_t classes = 1;
  for (size_t i = 1; i < order.size(); ++i) classes += order[i] < order[i - 1] ? 1 : 0;
  return classes;
}

}  // namespace

std::optional<std::vector<uint16_t>> ShortFixes(std::span<const Fix> fixes, uint32_t cols) {
  if (!DeltasAreShort(fixes)) return std::nullopt;
  std::vector<uint16_t> pairs;
  pairs.reserve(2 * fixes.size());
  ForEachGap(fixes, cols, [&](uint64_t gap, const Fix& fix) {
    for (; gap >= kSkip; gap -= kSkip) pairs.insert(pairs.end(), {uint16_t{kSkip}, uint16_t{0}});
    pairs.insert(pairs.end(), {static_cast<uint16_t>(gap), static_cast<uint16_t>(fix.delta)});
  });
  return pairs;
}

Result<std::vector<Fix>> ParseShortFixes(std::span<const uint8_t> bytes, uint32_t rows,
                                         uint32_t cols, const std::string& where) {
  const auto fail = [&](size_t at, const char* what) {
    return Error{ErrorCode::kBadLayout,
                 where + ": fix entry " + std::to_string(at / kShortFixBytes) + ": " + what};
  };
  const uint64_t places = uint64_t{rows} * cols;
  uint64_t next = 0;
  std::vector<Fix> fixes;
  fixes.reserve(bytes.size() / kShortFixBytes);
  for (size_t at = 0; at + kShortFixBytes <= bytes.size(); at += kShortFixBytes) {
    const uint64_t gap = LoadLe<uint16_t>(bytes.data() + at);
    const int16_t delta = static_cast<int16_t>(LoadLe<uint16_t>(bytes.data() + at + 2));
    if (gap >= places - next) return fail(at, "lies after the last weight");
    next += gap;
    if (gap == kSkip) {
      if (delta != 0) return fail(at, "expected a delta of 0 with a gap of 65535");
      if (at + kShortFixBytes == bytes.size()) return fail(at, "skips, and nothing follows");
      continue;
    }
    if (delta == 0 || delta < -kMaxShortDelta) return fail(at, "a delta of 0 or -32768");
    fixes.push_back(
        {static_cast<uint32_t>(next / cols), static_cast<uint32_t>(next % cols), delta});
    ++next;
  }
  return fixes;
}

uint64_t StoredFixBytes(std::span<const Fix> fixes, uint32_t cols) {
  if (!DeltasAreShort(fixes)) return fixes.size_bytes();
  uint64_t entries = fixes.size();
  ForEachGap(fixes, cols, [&](uint64_t gap, const Fix&) { entries += gap / kSkip; });
  return entries * kShortFixBytes;
}

std::optional<std::vector<uint8_t>> ColumnClasses(std::span<const uint32_t> order) {
  if (CountClasses(order) > kMaxClasses) return std::nullopt;
  std::vector<uint8_t> classes(DivideRoundUp(order.size(), 2));
  uint32_t current = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && order[i] < order[i - 1]) ++current;
    classes[order[i] / 2] |= static_cast<uint8_t>(current << 4 * (order[i] % 2));
  }
  return classes;
}

Result<std::vector<uint32_t>> ParseColumnClasses(std::span<const uint8_t> bytes, uint32_t cols,
                                                 const std::string& where) {
  if (bytes.size() != DivideRoundUp(uint64_t{cols}, 2) ||
      (cols % 2 == 1 && bytes.back() >> 4 != 0)) {
    return Error{ErrorCode::kBadLayout,
                 where + ": expected a class for each of " + std::to_string(cols) + " columns"};
  }
  const auto class_of = [&](uint32_t col) { return bytes[col / 2] >> 4 * (col % 2) & 15u; };
  std::array<uint32_t, kMaxClasses + 1> begins{};
  for (uint32_t col = 0; col < cols; ++col) ++begins[class_of(col) + 1];
  for (uint32_t c = 0; c < kMaxClasses; ++c) begins[c + 1] += begins[c];
  std::vector<uint32_t> order(cols);
  for (uint32_t col = 0; col < cols; ++col) order[begins[class_of(col)]++] = col;
  return order;
}

uint64_t StoredOrderBytes(std::span<const uint32_t> order) {
  if (order.empty()) return 0;
  if (CountClasses(order) <= kMaxClasses) return DivideRoundUp(order.size(), 2);
  return order.size() * (order.size() <= kMaxShortOrderCols ? sizeof(uint16_t) : sizeof(uint32_t));
}

}  // namespace ecq

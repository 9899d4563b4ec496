#include "ecq/codec/rans16_table.h"

#include <algorithm>
#include <string>

namespace ecq {

std::vector<RansSlot> Rans16Table::Slots() const {
  std::vector<RansSlot> slots;
  slots.reserve(kRans16Slots);
  for (uint32_t slot = 0; slot < kRans16Slots; ++slot) {
    const uint32_t number = Rans16BucketOf(slot);
    const uint32_t place = Rans16PlaceInBucket(slot);
    const Rans16Bucket& bucket = buckets[number];
    const bool own = place < bucket.own;
    const uint32_t symbol = own ? number : bucket.other;
    const uint32_t rank = own ? place : (place + bucket.other_bias) % kRans16Slots;
    slots.push_back({freqs[symbol], rank, levels[symbol]});
  }
  return slots;
}

Status CheckRans16Table(const FrequencyTable& table, uint32_t low_bits, std::string_view where) {
  const auto bad = [&](const std::string& what) {
    return Error{ErrorCode::kBadTable, std::string(where) + ": codec rans16: " + what};
  };
  if (table.prob_bits() != kRans16ProbBits) {
    return bad("expected a table of 8 bits, got " + std::to_string(table.prob_bits()));
  }
  const int32_t step = 1 << low_bits;
  if (table.level_min() * step < FrequencyTable::kMinLevel ||
      (table.level_max() + 1) * step - 1 > FrequencyTable::kMaxLevel) {
    return bad("levels " + std::to_string(table.level_min()) + " to " +
               std::to_string(table.level_max()) + " with " + std::to_string(low_bits) +
               " low bits leave [-128, 127]");
  }
  uint32_t symbols = 0;
  for (int32_t level = table.level_min(); level <= table.level_max(); ++level) {
    symbols += table.Contains(level);
    if (table.Freq(level) == kRans16Slots) return bad("a level has all slots; the most is 255");
  }
  if (symbols > kRans16MaxSymbols) {
    return bad("expected at most 32 levels that occur, got " + std::to_string(symbols));
  }
  return OkStatus();
}

Rans16Table ArrangeRans16(const FrequencyTable& table, uint32_t low_bits) {
  Rans16Table out;
  std::array<uint32_t, kRans16MaxSymbols> left{};  // slots of each symbol that have no place yet
  uint32_t symbol = 0;
  for (int32_t level = table.level_min(); level <= table.level_max(); ++level) {
    if (!table.Contains(level)) continue;
    out.levels[symbol] = static_cast<int8_t>(level * (1 << low_bits));
    out.freqs[symbol] = static_cast<uint8_t>(table.Freq(level));
    left[symbol++] = table.Freq(level);
  }
  // Fills bucket after bucket, always the first that its own symbol does not fill, from the first
  // symbol that has more than a bucket left. All slots together fill all buckets, so as long as
  // there is one of the former, there is one of the latter.
  std::array<bool, kRans16MaxSymbols> filled{};
  for (;;) {
    uint32_t b = 0;
    while (b < kRans16MaxSymbols && (filled[b] || left[b] >= kRans16BucketSlots)) ++b;
    if (b == kRans16MaxSymbols) break;
    uint32_t giver = 0;
    while (left[giver] <= kRans16BucketSlots) ++giver;
    out.buckets[b] = {static_cast<uint8_t>(left[b]), static_cast<uint8_t>(giver), 0};
    left[giver] -= kRans16BucketSlots - left[b];
    filled[b] = true;
  }
  // Ranks: a symbol's own bucket first, then those it fills, in order.
  std::array<uint32_t, kRans16MaxSymbols> next_rank{};
  for (uint32_t b = 0; b < kRans16MaxSymbols; ++b) {
    if (!filled[b]) out.buckets[b].own = kRans16BucketSlots;
    next_rank[b] = out.buckets[b].own;
  }
  for (Rans16Bucket& bucket : out.buckets) {
    if (bucket.own == kRans16BucketSlots) continue;
    uint32_t& rank = next_rank[bucket.other];
    bucket.other_bias = static_cast<uint8_t>(rank - bucket.own);
    rank += kRans16BucketSlots - bucket.own;
  }
  return out;
}

}  // namespace ecq

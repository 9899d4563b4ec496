// Fuzz entry: table records of both kinds. What is accepted keeps every invariant and survives a
// round trip.
#include <cstdint>
#include <span>
#include <vector>

#include "ecq/codec/frequency_table.h"
#include "ecq/codec/window_table.h"
#include "tests/fuzz/fuzz_input.h"

using ecq::Require;

namespace {

void CheckWindowRecord(std::span<const uint8_t> bytes) {
  const auto table = ecq::ParseWindowTable(bytes);
  if (!table.ok()) {
    Require(table.error().code == ecq::ErrorCode::kBadTable ||
            table.error().code == ecq::ErrorCode::kTruncated);
    return;
  }
  for (uint32_t n = 0; n < 1u << table->code_bits; ++n) {
    const uint8_t above = static_cast<uint8_t>(n * 7);
    const uint8_t raw = static_cast<uint8_t>(n * 5 & ((1u << table->raw_bits) - 1));
    const auto tuple = ecq::DecodeWindowTuple(*table, static_cast<uint8_t>(n), above, raw);
    for (uint32_t j = 0; j < ecq::kTupleCols; ++j) Require(ecq::WeightOf(tuple, j) >= -127);
  }
  std::vector<uint8_t> record;
  ecq::AppendWindowTable(*table, record);
  std::span<const uint8_t> again = record;
  const auto parsed = ecq::ParseWindowTable(again);
  Require(parsed.ok() && again.empty() && *parsed == *table);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const uint8_t> bytes(data, size);
  if (size > 0 && data[0] == ecq::kWindowTableKind) {
    CheckWindowRecord(bytes);
    return 0;
  }
  const auto table = ecq::FrequencyTable::Parse(bytes);
  if (!table.ok()) {
    Require(table.error().code == ecq::ErrorCode::kBadTable ||
            table.error().code == ecq::ErrorCode::kTruncated);
    return 0;
  }
  const std::vector<ecq::RansSlot> slots = table->Slots();
  Require(slots.size() == size_t{1} << table->prob_bits());
  for (size_t i = 0; i < slots.size(); ++i) {
    Require(slots[i].freq == table->Freq(slots[i].level));
    Require(slots[i].bias == i - table->Cum(slots[i].level));
    Require(slots[i].bias < slots[i].freq);
  }
  std::vector<uint8_t> record;
  table->AppendTo(record);
  Require(record.size() <= size - bytes.size());  // what was read may spell numbers longer
  std::span<const uint8_t> again = record;
  const auto parsed = ecq::FrequencyTable::Parse(again);
  Require(parsed.ok() && again.empty() && *parsed == *table);
  return 0;
}

// Fuzz entry: symbol table records. What is accepted keeps every invariant and survives a round
// trip.
#include <cstdint>
#include <span>
#include <vector>

#include "ecq/codec/frequency_table.h"
#include "tests/fuzz/fuzz_input.h"

using ecq::Require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const uint8_t> bytes(data, size);
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

// The rANS 32x16 encoder (portable/rans.h explains the coder; docs/format.md, 4.2, the stream).
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "ecq/codec/codec.h"

namespace ecq {

// The table that costs fewest bytes in all for levels that occur as `histogram` says, among those
// that fit: stored frequencies or a Gaussian, with 8 to max_prob_bits bits of precision. `bits`: of
// the levels alone. Nothing if none fits, or nothing occurs.
std::optional<FrequencyTable> CheapestTable(const Histogram& histogram, uint32_t max_prob_bits,
                                            bool (*fits)(const FrequencyTable& table),
                                            double* bits);

// Chooses for each span the cheapest table, of at most max_prob_bits bits.
std::optional<CodecPlan> PlanRans(std::span<const Histogram> spans, uint32_t max_prob_bits);

// A 32-bit state per lane, and up to 2 bytes that align the next tile.
uint64_t RansTileOverheadBytes(uint32_t lanes);

std::unique_ptr<TileEncoder> MakeRansEncoder(const CodecPlan& plan,
                                             std::span<const ColumnSpan> spans, uint32_t lanes);

}  // namespace ecq

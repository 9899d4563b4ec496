// The rANS 16x8 encoder (portable/rans16.h explains the coder; docs/format.md, 4.4, the stream).
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "ecq/codec/codec.h"

namespace ecq {

// Chooses for each span the cheapest table. Nothing if a span has more than 32 levels or
// max_prob_bits is below 8.
std::optional<CodecPlan> PlanRans16(std::span<const Histogram> spans, uint32_t max_prob_bits);

// A 16-bit state per lane, and up to 3 bytes that align the next tile.
uint64_t Rans16TileOverheadBytes(uint32_t lanes);

std::unique_ptr<TileEncoder> MakeRans16Encoder(const CodecPlan& plan,
                                               std::span<const ColumnSpan> spans, uint32_t lanes);

}  // namespace ecq

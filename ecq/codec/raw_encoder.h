// The raw codec: every level in the same number of bits (portable/layout.h has the layout).
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "ecq/codec/codec.h"

namespace ecq {

std::optional<CodecPlan> PlanRaw(std::span<const Histogram> spans, uint32_t max_prob_bits);
uint64_t RawTileOverheadBytes(uint32_t lanes);
std::unique_ptr<TileEncoder> MakeRawEncoder(const CodecPlan& plan,
                                            std::span<const ColumnSpan> spans, uint32_t lanes);

}  // namespace ecq

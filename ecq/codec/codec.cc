// The table of codecs.
#include "ecq/codec/codec.h"

#include <cmath>
#include <numeric>
#include <string>

#include "ecq/codec/rans16_encoder.h"
#include "ecq/codec/rans_encoder.h"
#include "ecq/codec/raw_encoder.h"
#include "ecq/portable/rans16.h"

namespace ecq {

uint64_t Histogram::Total() const {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

double Histogram::EntropyBits() const {
  const double total = static_cast<double>(Total());
  double bits = 0;
  for (const uint64_t c : counts) {
    if (c > 0) bits -= static_cast<double>(c) * std::log2(static_cast<double>(c) / total);
  }
  return bits;
}

std::span<const Codec> AllCodecs() {
  constexpr uint32_t kAnyLevels = Histogram::kNumLevels;
  static constexpr Codec kCodecs[] = {
      {CodecId::kRaw, "raw", true, kRansMaxProbBits, kAnyLevels, 0, PlanRaw, RawTileOverheadBytes,
       MakeRawEncoder},
      {CodecId::kRans, "rans", true, kRansMaxProbBits, kAnyLevels, 0, PlanRans,
       RansTileOverheadBytes, MakeRansEncoder},
      {CodecId::kWindow, "window", false, 0, 0, 0, nullptr, nullptr, nullptr},
      {CodecId::kRans16, "rans16", false, kRans16ProbBits, kRans16MaxSymbols, kRans16MaxLowBits,
       PlanRans16, Rans16TileOverheadBytes, MakeRans16Encoder},
  };
  return kCodecs;
}

const Codec& GetCodec(CodecId id) { return AllCodecs()[static_cast<size_t>(id)]; }

Result<CodecId> CodecFromName(std::string_view name) {
  std::string known;
  for (const Codec& codec : AllCodecs()) {
    if (codec.name == name) return codec.id;
    known += (known.empty() ? "" : ", ") + std::string(codec.name);
  }
  return Error{ErrorCode::kUnsupportedCodec,
               "codec '" + std::string(name) + "' is not known; this build knows: " + known};
}

}  // namespace ecq

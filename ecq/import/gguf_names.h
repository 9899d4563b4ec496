// GGUF tensor names in terms of Hugging Face names.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ecq {

enum class GgufRole : uint8_t {
  kPlain,
  kQuery,
  kKey,
  kNorm,
  kRopeDivisors,       // of rotary frequencies, not of the network: the rest goes to config.json
  kShortRopeDivisors,  // the same, for contexts up to the original one
  kLongRopeDivisors,   // and beyond
};

struct GgufName {
  std::string_view gguf;
  std::string_view hugging_face;
  GgufRole role = GgufRole::kPlain;
};

using GgufNameTable = std::span<const GgufName>;

// The names of one architecture. Unused tables are empty.
struct GgufNames {
  std::string_view layers;  // "model.layers."
  std::array<GgufNameTable, 2> whole;
  std::array<GgufNameTable, 4> of_layer;  // below "blk.N.", without the final ".weight" or ".bias"
};

extern const GgufNames kLlamaGgufNames;
extern const GgufNames kQwen3GgufNames;
extern const GgufNames kPhi3GgufNames;
extern const GgufNames kGemma3GgufNames;
extern const GgufNames kGpt2GgufNames;

struct MappedName {
  std::string name;  // empty for rotary divisors
  GgufRole role = GgufRole::kPlain;
};

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight", kQuery. Nothing for a name
// that is not among `names`, or a layer that is not below num_layers.
std::optional<MappedName> MapGgufName(const GgufNames& names, std::string_view name,
                                      uint64_t num_layers);

}  // namespace ecq

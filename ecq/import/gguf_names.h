// GGUF tensor names in terms of Hugging Face names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ecq {

enum class GgufRole { kPlain, kQuery, kKey, kHeadNorm, kIgnored };

struct MappedName {
  std::string name;  // empty if ignored
  GgufRole role = GgufRole::kPlain;
};

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight", kQuery. Nothing for a name
// that llama, qwen2 and qwen3 do not use, or a layer that is not below num_layers.
std::optional<MappedName> MapGgufName(std::string_view name, uint64_t num_layers);

}  // namespace ecq

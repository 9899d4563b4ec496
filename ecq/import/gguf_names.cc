// The table of tensor names shared by the llama, qwen2 and qwen3 architectures.
#include "ecq/import/gguf_names.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace ecq {
namespace {

struct Row {
  std::string_view gguf;
  std::string_view hugging_face;
  GgufRole role = GgufRole::kPlain;
};

constexpr std::array<Row, 4> kGlobal{{
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"rope_freqs.weight", "", GgufRole::kIgnored},
}};

// Below "blk.N." and "model.layers.N.", without the final ".weight" or ".bias".
constexpr std::array<Row, 11> kPerLayer{{
    {"attn_q", "self_attn.q_proj", GgufRole::kQuery},
    {"attn_k", "self_attn.k_proj", GgufRole::kKey},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm", GgufRole::kHeadNorm},
    {"attn_k_norm", "self_attn.k_norm", GgufRole::kHeadNorm},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
    {"attn_norm", "input_layernorm"},
    {"ffn_norm", "post_attention_layernorm"},
}};

constexpr std::string_view kLayerPrefix = "blk.";

}  // namespace

std::optional<MappedName> MapGgufName(std::string_view name, uint64_t num_layers) {
  for (const Row& row : kGlobal) {
    if (row.gguf == name) return MappedName{std::string(row.hugging_face), row.role};
  }
  if (name.substr(0, kLayerPrefix.size()) != kLayerPrefix) return std::nullopt;
  name.remove_prefix(kLayerPrefix.size());
  uint64_t layer = 0;
  const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const size_t digits = static_cast<size_t>(rest - name.data());
  const bool padded = digits > 1 && name.front() == '0';
  if (error != std::errc() || padded || layer >= num_layers) return std::nullopt;
  name.remove_prefix(digits);
  const size_t last_dot = name.rfind('.');
  if (name.empty() || name.front() != '.' || last_dot == 0) return std::nullopt;
  const std::string_view part = name.substr(1, last_dot - 1);
  const std::string_view kind = name.substr(last_dot);  // ".weight" or ".bias"
  if (kind != ".weight" && kind != ".bias") return std::nullopt;
  for (const Row& row : kPerLayer) {
    if (row.gguf != part) continue;
    return MappedName{fmt::format("model.layers.{}.{}{}", layer, row.hugging_face, kind), row.role};
  }
  return std::nullopt;
}

}  // namespace ecq

// The tables of tensor names, block by block.
#include "ecq/import/gguf_names.h"

#include <fmt/format.h>

#include <charconv>

namespace ecq {
namespace {

constexpr std::array<GgufName, 4> kEnds{{
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight", GgufRole::kNorm},
    {"output.weight", "lm_head.weight"},
    {"rope_freqs.weight", "", GgufRole::kRopeDivisors},
}};

constexpr std::array<GgufName, 2> kLongRope{{
    {"rope_factors_short.weight", "", GgufRole::kShortRopeDivisors},
    {"rope_factors_long.weight", "", GgufRole::kLongRopeDivisors},
}};

constexpr std::array<GgufName, 4> kAttention{{
    {"attn_q", "self_attn.q_proj", GgufRole::kQuery},
    {"attn_k", "self_attn.k_proj", GgufRole::kKey},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
}};

constexpr std::array<GgufName, 2> kHeadNorms{{
    {"attn_q_norm", "self_attn.q_norm", GgufRole::kNorm},
    {"attn_k_norm", "self_attn.k_norm", GgufRole::kNorm},
}};

constexpr std::array<GgufName, 3> kMlp{{
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
}};

constexpr std::array<GgufName, 2> kNorms{{
    {"attn_norm", "input_layernorm", GgufRole::kNorm},
    {"ffn_norm", "post_attention_layernorm", GgufRole::kNorm},
}};

constexpr std::array<GgufName, 4> kFusedBlocks{{
    {"attn_qkv", "self_attn.qkv_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_up", "mlp.gate_up_proj"},
    {"ffn_down", "mlp.down_proj"},
}};

constexpr std::array<GgufName, 4> kNormsAroundBlocks{{
    {"attn_norm", "input_layernorm", GgufRole::kNorm},
    {"post_attention_norm", "post_attention_layernorm", GgufRole::kNorm},
    {"ffn_norm", "pre_feedforward_layernorm", GgufRole::kNorm},
    {"post_ffw_norm", "post_feedforward_layernorm", GgufRole::kNorm},
}};

constexpr std::array<GgufName, 5> kGpt2Ends{{
    {"token_embd.weight", "transformer.wte.weight"},
    {"position_embd.weight", "transformer.wpe.weight"},
    {"output_norm.weight", "transformer.ln_f.weight", GgufRole::kNorm},
    {"output_norm.bias", "transformer.ln_f.bias"},
    {"output.weight", "lm_head.weight"},
}};

constexpr std::array<GgufName, 6> kGpt2Layer{{
    {"attn_norm", "ln_1", GgufRole::kNorm},
    {"attn_qkv", "attn.c_attn"},
    {"attn_output", "attn.c_proj"},
    {"ffn_norm", "ln_2", GgufRole::kNorm},
    {"ffn_up", "mlp.c_fc"},
    {"ffn_down", "mlp.c_proj"},
}};

constexpr std::string_view kLayerPrefix = "blk.";

// Splits "3.attn_q.weight" into 3 and "attn_q.weight". Nothing if it is not of that form.
std::optional<uint64_t> TakeLayer(std::string_view* name) {
  uint64_t layer = 0;
  const auto [rest, error] = std::from_chars(name->data(), name->data() + name->size(), layer);
  const size_t digits = static_cast<size_t>(rest - name->data());
  const bool padded = digits > 1 && name->front() == '0';
  if (error != std::errc() || padded) return std::nullopt;
  name->remove_prefix(digits);
  if (!name->starts_with('.')) return std::nullopt;
  name->remove_prefix(1);
  return layer;
}

}  // namespace

constexpr GgufNames kLlamaGgufNames{"model.layers.", {kEnds}, {kNorms, kAttention, kMlp}};
constexpr GgufNames kQwen3GgufNames{
    "model.layers.", {kEnds}, {kNorms, kAttention, kHeadNorms, kMlp}};
constexpr GgufNames kPhi3GgufNames{"model.layers.", {kEnds, kLongRope}, {kNorms, kFusedBlocks}};
constexpr GgufNames kGemma3GgufNames{
    "model.layers.", {kEnds}, {kNormsAroundBlocks, kAttention, kHeadNorms, kMlp}};
constexpr GgufNames kGpt2GgufNames{"transformer.h.", {kGpt2Ends}, {kGpt2Layer}};

std::optional<MappedName> MapGgufName(const GgufNames& names, std::string_view name,
                                      uint64_t num_layers) {
  for (const GgufNameTable& table : names.whole) {
    for (const GgufName& row : table) {
      if (row.gguf == name) return MappedName{std::string(row.hugging_face), row.role};
    }
  }
  if (!name.starts_with(kLayerPrefix)) return std::nullopt;
  name.remove_prefix(kLayerPrefix.size());
  const std::optional<uint64_t> layer = TakeLayer(&name);
  if (!layer || *layer >= num_layers) return std::nullopt;
  const size_t last_dot = name.rfind('.');
  if (last_dot == std::string_view::npos) return std::nullopt;
  const std::string_view part = name.substr(0, last_dot);
  const std::string_view kind = name.substr(last_dot);
  if (kind != ".weight" && kind != ".bias") return std::nullopt;
  for (const GgufNameTable& table : names.of_layer) {
    for (const GgufName& row : table) {
      if (row.gguf != part) continue;
      // Only weights have the role: what is done to a norm is not done to its bias.
      const bool plain = row.role == GgufRole::kNorm && kind == ".bias";
      return MappedName{fmt::format("{}{}.{}{}", names.layers, *layer, row.hugging_face, kind),
                        plain ? GgufRole::kPlain : row.role};
    }
  }
  return std::nullopt;
}

}  // namespace ecq

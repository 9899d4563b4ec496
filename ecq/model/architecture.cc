// The table of architectures, and the sections of config.json that they share.
#include "ecq/model/architecture.h"

#include <fmt/format.h>

#include <array>

namespace ecq {
namespace {

constexpr std::array kArchitectures{
    Architecture{"LlamaForCausalLM", ReadLlama}, Architecture{"MistralForCausalLM", ReadMistral},
    Architecture{"Qwen2ForCausalLM", ReadQwen2}, Architecture{"Qwen3ForCausalLM", ReadQwen3},
    Architecture{"Phi3ForCausalLM", ReadPhi3},   Architecture{"Gemma3ForCausalLM", ReadGemma3},
    Architecture{"GPT2LMHeadModel", ReadGpt2},
};

}  // namespace

std::span<const Architecture> KnownArchitectures() { return kArchitectures; }

Status CheckSizes(const ModelConfig& config) {
  if (config.head_dim % 2 != 0 || config.head_dim > kMaxHeadDim) {
    return Error{ErrorCode::kBadLayout,
                 fmt::format("config.json: a head has {} dimensions, expected an even number of "
                             "at most {}",
                             config.head_dim, kMaxHeadDim)};
  }
  if (config.num_heads % config.num_kv_heads != 0) {
    return Error{ErrorCode::kBadLayout,
                 fmt::format("config.json: num_attention_heads {} is not a multiple of "
                             "num_key_value_heads {}",
                             config.num_heads, config.num_kv_heads)};
  }
  return OkStatus();
}

Status ReadSizes(const ConfigReader& in, std::optional<uint32_t> default_head_dim,
                 ModelConfig* out) {
  ECQ_TRY(out->hidden_size, in.Count("hidden_size", kMaxHiddenSize));
  ECQ_TRY(out->intermediate_size, in.Count("intermediate_size", kMaxIntermediateSize));
  ECQ_TRY(out->num_layers, in.Count("num_hidden_layers", kMaxLayers));
  ECQ_TRY(out->num_heads, in.Count("num_attention_heads", kMaxHeads));
  ECQ_TRY(out->num_kv_heads, in.Count("num_key_value_heads", kMaxHeads, out->num_heads));
  ECQ_TRY(out->vocab_size, in.Count("vocab_size", kMaxVocabSize));
  ECQ_TRY(out->max_positions, in.Count("max_position_embeddings", kMaxPositions, 2048));
  if (!default_head_dim && !in.Has("head_dim") && out->hidden_size % out->num_heads != 0) {
    return Error{ErrorCode::kBadLayout,
                 fmt::format("config.json: hidden_size {} is not a multiple of "
                             "num_attention_heads {} and there is no head_dim",
                             out->hidden_size, out->num_heads)};
  }
  ECQ_TRY(out->head_dim, in.Count("head_dim", kMaxHeadDim,
                                  default_head_dim.value_or(out->hidden_size / out->num_heads)));
  return CheckSizes(*out);
}

Status ReadLlamaLike(const ConfigReader& in, std::optional<uint32_t> default_head_dim,
                     ModelConfig* out) {
  ECQ_RETURN_IF_ERROR(in.RequireText("hidden_act", {"silu"}));
  ECQ_RETURN_IF_ERROR(ReadSizes(in, default_head_dim, out));
  ECQ_RETURN_IF_ERROR(ReadRope(in, *out, 10000, &out->rope));
  ECQ_TRY(out->norm_eps, in.Number("rms_norm_eps", 0, 1, 1e-6));
  ECQ_TRY(out->mlp_bias, in.Flag("mlp_bias", false));
  ECQ_TRY(out->tie_word_embeddings, in.Flag("tie_word_embeddings", false));
  return OkStatus();
}

Status ReadWindows(const ConfigReader& in, uint32_t window,
                   const std::function<bool(size_t)>& is_sliding, ModelConfig* out) {
  std::vector<uint32_t> windows(out->num_layers, 0);
  if (in.Has("layer_types")) {
    ECQ_TRY(const auto types, in.Texts("layer_types", out->num_layers));
    for (size_t i = 0; i < types.size(); ++i) {
      if (types[i] == "sliding_attention") {
        windows[i] = window;
      } else if (types[i] != "full_attention") {
        return in.Unsupported("layer_types", "full_attention, sliding_attention");
      }
    }
  } else {
    for (size_t i = 0; i < windows.size(); ++i) windows[i] = is_sliding(i) ? window : 0;
  }
  out->windows = std::move(windows);
  return OkStatus();
}

}  // namespace ecq

// Gemma 3, its text model: a norm before and after each block, norms that store weight - 1, a GELU
// gate, a scaled embedding, and windows in all layers but each sixth.
#include <cmath>

#include "ecq/base/half.h"
#include "ecq/model/architecture.h"

namespace ecq {
namespace {

// The published model multiplies in the type of its weights.
Result<float> EmbeddingScale(const ConfigReader& in, uint32_t hidden_size) {
  const std::string_view key = in.Has("dtype") ? "dtype" : "torch_dtype";
  ECQ_TRY(const std::string type, in.Text(key, "float32"));
  const float scale = std::sqrt(static_cast<float>(hidden_size));
  if (type == "bfloat16") return BFloat16ToFloat(FloatToBFloat16(scale));
  if (type == "float16") return HalfToFloat(FloatToHalf(scale));
  return scale;
}

Status ReadRopes(const ConfigReader& in, ModelConfig* out) {
  RopeConfig local;
  local.dims = out->head_dim;
  ECQ_TRY(local.theta, in.Number("rope_local_base_freq", 1, kMaxRopeTheta, 10000));
  ECQ_TRY(const auto all, in.Object("rope_parameters"));
  if (all && (all->Has("full_attention") || all->Has("sliding_attention"))) {
    out->rope = RopeConfig{1e6, out->head_dim, {}, {}, 0, 1};
    ECQ_TRY(const auto full, all->Object("full_attention"));
    ECQ_TRY(const auto sliding, all->Object("sliding_attention"));
    if (full) ECQ_RETURN_IF_ERROR(ReadRopeParameters(in, *full, *out, &out->rope));
    if (sliding) ECQ_RETURN_IF_ERROR(ReadRopeParameters(in, *sliding, *out, &local));
  } else {
    ECQ_RETURN_IF_ERROR(ReadRope(in, *out, 1e6, &out->rope));
  }
  out->window_rope = std::move(local);
  return OkStatus();
}

}  // namespace

Status ReadGemma3(const ConfigReader& in, ModelConfig* out) {
  out->tensors.query_norm = "self_attn.q_norm";
  out->tensors.key_norm = "self_attn.k_norm";
  out->tensors.post_attention_norm = "post_attention_layernorm";
  out->tensors.mlp_norm = "pre_feedforward_layernorm";
  out->tensors.post_mlp_norm = "post_feedforward_layernorm";
  out->norm = NormKind::kRmsPlusOne;
  out->mlp = MlpKind::kGeluGated;

  for (const std::string_view key : {"hidden_activation", "hidden_act"}) {
    ECQ_RETURN_IF_ERROR(in.RequireText(key, {"gelu_pytorch_tanh"}));
  }
  for (const std::string_view key : {"final_logit_softcapping", "attn_logit_softcapping"}) {
    ECQ_RETURN_IF_ERROR(in.RequireAbsent(key));
  }
  ECQ_RETURN_IF_ERROR(in.RequireFalse("use_bidirectional_attention"));
  ECQ_RETURN_IF_ERROR(ReadSizes(in, 256, out));
  ECQ_RETURN_IF_ERROR(ReadRopes(in, out));
  ECQ_TRY(out->norm_eps, in.Number("rms_norm_eps", 0, 1, 1e-6));
  ECQ_TRY(out->tie_word_embeddings, in.Flag("tie_word_embeddings", true));
  ECQ_TRY(out->qkv_bias, in.Flag("attention_bias", false));
  out->attention_output_bias = out->qkv_bias;
  ECQ_TRY(out->embedding_scale, EmbeddingScale(in, out->hidden_size));
  ECQ_TRY(out->score_divisor, in.Number("query_pre_attn_scalar", 1e-6, 1e6, 256));
  ECQ_TRY(const uint32_t period, in.Count("sliding_window_pattern", kMaxLayers, 6));
  ECQ_TRY(const uint32_t window, in.Count("sliding_window", kMaxPositions, 4096));
  return ReadWindows(
      in, window, [&](size_t layer) { return (layer + 1) % period != 0; }, out);
}

}  // namespace ecq

// GPT-2: learned positions, norms with mean and bias, biases everywhere, an MLP without a gate.
#include "ecq/model/architecture.h"

namespace ecq {

Status ReadGpt2(const ConfigReader& in, ModelConfig* out) {
  TensorNames& names = out->tensors;
  names.root = "transformer.";
  names.embedding = "wte";
  names.positions = "wpe";
  names.layers = "h.";
  names.final_norm = "ln_f";
  names.attention_norm = "ln_1";
  names.qkv = "attn.c_attn";
  names.output = "attn.c_proj";
  names.mlp_norm = "ln_2";
  names.up = "mlp.c_fc";
  names.down = "mlp.c_proj";
  out->norm = NormKind::kLayer;
  out->mlp = MlpKind::kGelu;
  out->qkv_bias = out->attention_output_bias = out->mlp_bias = true;

  ECQ_RETURN_IF_ERROR(in.RequireText("activation_function", {"gelu_new", "gelu_pytorch_tanh"}));
  for (const std::string_view key :
       {"scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"}) {
    ECQ_RETURN_IF_ERROR(in.RequireFalse(key));
  }
  ECQ_TRY(const bool scales, in.Flag("scale_attn_weights", true));
  if (!scales) return in.Unsupported("scale_attn_weights", "true");
  ECQ_TRY(out->hidden_size, in.Count("n_embd", kMaxHiddenSize, 768));
  ECQ_TRY(out->intermediate_size, in.Count("n_inner", kMaxIntermediateSize, 4 * out->hidden_size));
  ECQ_TRY(out->num_layers, in.Count("n_layer", kMaxLayers, 12));
  ECQ_TRY(out->num_heads, in.Count("n_head", kMaxHeads, 12));
  out->num_kv_heads = out->num_heads;
  ECQ_TRY(out->vocab_size, in.Count("vocab_size", kMaxVocabSize, 50257));
  ECQ_TRY(out->max_positions, in.Count("n_positions", kMaxPositions, 1024));
  if (out->hidden_size % out->num_heads != 0) {
    return Error{ErrorCode::kBadLayout, "config.json: n_embd is not a multiple of n_head"};
  }
  out->head_dim = out->hidden_size / out->num_heads;
  ECQ_TRY(out->norm_eps, in.Number("layer_norm_epsilon", 0, 1, 1e-5));
  ECQ_TRY(out->tie_word_embeddings, in.Flag("tie_word_embeddings", true));
  return CheckSizes(*out);
}

}  // namespace ecq

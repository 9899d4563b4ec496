// How an architecture calls its tensors, and by that which blocks it has.
#pragma once

#include <string_view>

namespace ecq {

// Names without the final ".weight" or ".bias"; a block without a name is not there. The defaults
// are those of Llama.
struct TensorNames {
  std::string_view root = "model.";  // checkpoints of a bare base model leave it out
  // Below the root.
  std::string_view embedding = "embed_tokens";
  std::string_view positions;  // (max_positions, hidden): learned, added to the embedding
  std::string_view layers = "layers.";
  std::string_view final_norm = "norm";

  // Below "layers.N.".
  std::string_view attention_norm = "input_layernorm";
  std::string_view qkv;  // query, key and value in one matrix, in this order, instead of these:
  std::string_view query = "self_attn.q_proj";
  std::string_view key = "self_attn.k_proj";
  std::string_view value = "self_attn.v_proj";
  std::string_view query_norm;  // (head_dim), of each head, before the rotation
  std::string_view key_norm;
  std::string_view output = "self_attn.o_proj";
  std::string_view post_attention_norm;  // of what attention adds to the residual stream
  std::string_view mlp_norm = "post_attention_layernorm";
  std::string_view gate_up;  // gate and up in one matrix, in this order, instead of these:
  std::string_view gate = "mlp.gate_proj";
  std::string_view up = "mlp.up_proj";
  std::string_view down = "mlp.down_proj";
  std::string_view post_mlp_norm;  // of what the MLP adds to the residual stream
};

}  // namespace ecq

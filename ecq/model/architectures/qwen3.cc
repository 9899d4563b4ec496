// Qwen3: Llama with a norm on each query and key head.
#include "ecq/model/architecture.h"

namespace ecq {

Status ReadQwen3(const ConfigReader& in, ModelConfig* out) {
  out->tensors.query_norm = "self_attn.q_norm";
  out->tensors.key_norm = "self_attn.k_norm";
  ECQ_RETURN_IF_ERROR(ReadLlamaLike(in, 128, out));
  ECQ_TRY(out->qkv_bias, in.Flag("attention_bias", false));
  out->attention_output_bias = out->qkv_bias;
  return ReadQwenWindows(in, out);
}

}  // namespace ecq

// Phi-3 and Phi-4: Llama with fused projections and, for long contexts, factors per frequency.
#include "ecq/model/architecture.h"

namespace ecq {

Status ReadPhi3(const ConfigReader& in, ModelConfig* out) {
  out->tensors.qkv = "self_attn.qkv_proj";
  out->tensors.gate_up = "mlp.gate_up_proj";
  ECQ_RETURN_IF_ERROR(in.RequireFalse("attention_bias"));
  ECQ_RETURN_IF_ERROR(ReadLlamaLike(in, std::nullopt, out));
  if (!in.Has("sliding_window")) return OkStatus();
  ECQ_TRY(const uint32_t window, in.Count("sliding_window", kMaxPositions));
  return ReadWindows(
      in, window, [](size_t /*layer*/) { return true; }, out);
}

}  // namespace ecq

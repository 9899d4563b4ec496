// Qwen2: Llama with biases on query, key and value.
#include "ecq/model/architecture.h"

namespace ecq {

Status ReadQwen2(const ConfigReader& in, ModelConfig* out) {
  ECQ_RETURN_IF_ERROR(in.RequireFalse("use_sliding_window"));
  ECQ_RETURN_IF_ERROR(ReadLlamaLike(in, out));
  out->qkv_bias = true;
  return OkStatus();
}

}  // namespace ecq

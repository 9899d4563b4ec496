// Llama: the defaults.
#include "ecq/model/architecture.h"

namespace ecq {

Status ReadLlama(const ConfigReader& in, ModelConfig* out) {
  ECQ_RETURN_IF_ERROR(in.RequireFalse("use_sliding_window"));
  ECQ_RETURN_IF_ERROR(ReadLlamaLike(in, std::nullopt, out));
  ECQ_TRY(out->qkv_bias, in.Flag("attention_bias", false));
  out->attention_output_bias = out->qkv_bias;
  return OkStatus();
}

}  // namespace ecq

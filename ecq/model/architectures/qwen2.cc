// Qwen2: Llama with biases on query, key and value.
#include "ecq/model/architecture.h"

namespace ecq {

Status ReadQwen2(const ConfigReader& in, ModelConfig* out) {
  ECQ_RETURN_IF_ERROR(ReadLlamaLike(in, std::nullopt, out));
  out->qkv_bias = true;
  return ReadQwenWindows(in, out);
}

Status ReadQwenWindows(const ConfigReader& in, ModelConfig* out) {
  ECQ_TRY(const bool has_windows, in.Flag("use_sliding_window", false));
  if (!has_windows || in.IsNull("sliding_window")) return OkStatus();
  ECQ_TRY(const uint32_t window, in.Count("sliding_window", kMaxPositions, 4096));
  // 0 is a value here: every layer has a window.
  ECQ_TRY(const double first, in.Number("max_window_layers", 0, kMaxLayers, 28));
  return ReadWindows(
      in, window, [&](size_t layer) { return static_cast<double>(layer) >= first; }, out);
}

}  // namespace ecq

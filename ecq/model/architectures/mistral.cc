// Mistral: Llama in which a token may attend to the last positions only.
#include "ecq/model/architecture.h"

namespace ecq {

Status ReadMistral(const ConfigReader& in, ModelConfig* out) {
  ECQ_RETURN_IF_ERROR(ReadLlamaLike(in, std::nullopt, out));
  constexpr std::string_view kWindow = "sliding_window";
  if (in.IsNull(kWindow)) return OkStatus();
  ECQ_TRY(const uint32_t window, in.Count(kWindow, kMaxPositions, 4096));
  return ReadWindows(
      in, window, [](size_t /*layer*/) { return true; }, out);
}

}  // namespace ecq

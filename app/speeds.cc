#include "app/speeds.h"

#include <fmt/format.h>

namespace ecq {

std::string SpeedLine(const GenerateStats& stats, const Model& model, size_t threads) {
  return fmt::format(
      "prompt {} tokens, {:.1f} tokens/s; generated {} tokens, {:.1f} tokens/s; weights {:.1f} MB, "
      "{} threads",
      stats.prompt_tokens, static_cast<double>(stats.prompt_tokens) / stats.prompt_seconds,
      stats.generated_tokens, static_cast<double>(stats.generated_tokens) / stats.generated_seconds,
      static_cast<double>(model.resident_bytes()) / 1e6, threads);
}

}  // namespace ecq

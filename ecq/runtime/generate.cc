// The generation loop.
#include "ecq/runtime/generate.h"

#include <algorithm>
#include <chrono>

namespace ecq {
namespace {

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Runs the prompt and writes the hidden state of its last token.
Status RunPrompt(const Model& model, Session& session, std::span<const uint32_t> prompt,
                 std::span<float> last_hidden) {
  const size_t hidden_size = last_hidden.size();
  const size_t block = std::min(prompt.size(), Session::kMaxBlockTokens);
  std::vector<float> hidden(block * hidden_size);
  for (size_t done = 0; done < prompt.size(); done += block) {
    const size_t t = std::min(block, prompt.size() - done);
    ECQ_RETURN_IF_ERROR(model.Forward(session, prompt.subspan(done, t), hidden.data()));
    std::copy_n(hidden.data() + (t - 1) * hidden_size, hidden_size, last_hidden.data());
  }
  return OkStatus();
}

}  // namespace

Result<GenerateStats> Generate(const Model& model, Session& session,
                               std::span<const uint32_t> prompt, const GenerateOptions& options,
                               Sampler& sampler, const TokenCallback& on_token) {
  if (prompt.empty()) return Error{ErrorCode::kInvalidArgument, "the prompt has no tokens"};
  std::vector<float> hidden(model.config().hidden_size);
  std::vector<float> logits(model.config().vocab_size);
  GenerateStats stats;

  const Stopwatch prompt_watch;
  ECQ_RETURN_IF_ERROR(RunPrompt(model, session, prompt, hidden));
  stats.prompt_tokens = prompt.size();
  stats.prompt_seconds = prompt_watch.Seconds();

  const Stopwatch watch;
  while (stats.generated_tokens < options.max_tokens) {
    ECQ_RETURN_IF_ERROR(model.Logits(session, 1, hidden.data(), logits.data()));
    const uint32_t token = sampler.Sample(logits);
    const auto& ends = options.end_tokens;
    if (std::find(ends.begin(), ends.end(), token) != ends.end()) {
      stats.stop_reason = StopReason::kEndToken;
      break;
    }
    ++stats.generated_tokens;
    if (!on_token(token)) {
      stats.stop_reason = StopReason::kCallback;
      break;
    }
    if (stats.generated_tokens == options.max_tokens) break;
    if (session.length() == session.max_context()) {
      stats.stop_reason = StopReason::kContextFull;
      break;
    }
    ECQ_RETURN_IF_ERROR(model.Forward(session, {&token, 1}, hidden.data()));
  }
  stats.generated_seconds = watch.Seconds();
  return stats;
}

}  // namespace ecq

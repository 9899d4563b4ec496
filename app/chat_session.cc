#include "app/chat_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ecq {

void ChatSession::Reset(std::string system) {
  system_ = std::move(system);
  messages_.clear();
  if (!system_.empty()) messages_.push_back({"system", system_});
}

Result<GenerateStats> ChatSession::Ask(const std::string& message, const TextCallback& on_text) {
  std::vector<ChatMessage> messages = messages_;
  messages.push_back({"user", message});
  ECQ_TRY(std::vector<uint32_t> tokens, prompt_.Tokens(messages));
  if (tokens.empty()) {
    return Error{ErrorCode::kInvalidArgument, "the chat template makes an empty prompt"};
  }
  if (tokens.size() >= session_.max_context()) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the conversation has {} tokens, the context {}; start anew with "
                             "/reset, or raise --context (the model takes {})",
                             tokens.size(), session_.max_context(), model_.config().max_positions)};
  }
  // The last token is always evaluated: the answer starts from its hidden state.
  const auto differs =
      std::mismatch(cached_.begin(), cached_.end(), tokens.begin(), tokens.end() - 1);
  const size_t reused = static_cast<size_t>(differs.first - cached_.begin());
  session_.Truncate(reused);
  cached_ = tokens;

  GenerateOptions options;
  options.max_tokens = max_tokens_ > 0 ? max_tokens_ : session_.max_context();
  options.end_tokens = prompt_.end_tokens();
  std::string answer;
  const auto on_token = [&](uint32_t token) {
    cached_.push_back(token);
    const std::string text = tokenizer_.DecodePiece(token, /*is_first=*/false);
    answer += text;
    return on_text(text);
  };
  const auto rest = std::span<const uint32_t>(tokens).subspan(reused);
  Result<GenerateStats> stats = Generate(model_, session_, rest, options, sampler_, on_token);
  cached_.resize(session_.length());
  if (!stats.ok()) return stats;
  messages.push_back({"assistant", std::move(answer)});
  messages_ = std::move(messages);
  return stats;
}

}  // namespace ecq

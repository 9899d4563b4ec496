// A conversation with a model that keeps what the model has already read.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "app/chat_prompt.h"
#include "ecq/base/result.h"
#include "ecq/model/model.h"
#include "ecq/runtime/generate.h"
#include "ecq/runtime/sampler.h"

namespace ecq {

// Called with each new piece of an answer; returns whether to continue.
using TextCallback = std::function<bool(const std::string& text)>;

class ChatSession {
 public:
  // All of them must outlive this. `max_tokens`: of one answer; 0: as many as the context holds.
  ChatSession(const Model& model, const Tokenizer& tokenizer, const ChatPrompt& prompt,
              Session session, Sampler sampler, size_t max_tokens)
      : model_(model),
        tokenizer_(tokenizer),
        prompt_(prompt),
        session_(std::move(session)),
        sampler_(std::move(sampler)),
        max_tokens_(max_tokens) {}

  // Starts anew, with this system message; none if empty.
  void Reset(std::string system);
  const std::string& system() const { return system_; }

  // Adds the message and the answer to the conversation. Only tokens that differ from what is in
  // the KV cache are evaluated: stats.prompt_tokens. Errors: those of ChatPrompt::Tokens() and
  // Generate(), kInvalidArgument if the conversation does not fit the context; the conversation is
  // then as before.
  Result<GenerateStats> Ask(const std::string& message, const TextCallback& on_text);

  const std::vector<ChatMessage>& messages() const { return messages_; }

 private:
  const Model& model_;
  const Tokenizer& tokenizer_;
  const ChatPrompt& prompt_;
  Session session_;
  Sampler sampler_;
  size_t max_tokens_;
  std::string system_;
  std::vector<ChatMessage> messages_;
  std::vector<uint32_t> cached_;  // the tokens at the positions of session_
};

}  // namespace ecq

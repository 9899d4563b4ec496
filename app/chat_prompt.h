// From a conversation to the tokens that a model expects, by its chat template.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/chat/chat_template.h"
#include "ecq/import/model_source.h"
#include "ecq/runtime/tokenizer.h"

namespace ecq {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// A special token in a message, such as "<|im_end|>", is spelled out like any other text: a message
// cannot end its turn or pretend to be another role. For that, messages get a mark inside each such
// text, which template and all carry along, and the prompt is cut there before it is tokenized.
class ChatPrompt {
 public:
  // `choice`: "chatml", the name of one of the model's templates, or a file; "": the model's own,
  // from chat_template.jinja or tokenizer_config.json. `tokenizer` must outlive this; `now` is the
  // time that a template may show.
  // Errors: kNotFound if there is no template, kBadHeader for a tokenizer_config.json that is none,
  // and those of chat::ChatTemplate::Parse() and of reading the file.
  static Result<ChatPrompt> Create(const std::vector<SideFile>& files, const std::string& choice,
                                   const Tokenizer& tokenizer, const std::tm& now);

  // The prompt up to where the assistant's next answer begins. Errors: those of
  // chat::ChatTemplate::Render().
  Result<std::string> Text(const std::vector<ChatMessage>& messages) const;
  // Its tokens, with the begin token in front if the model expects one and the template has none.
  Result<std::vector<uint32_t>> Tokens(const std::vector<ChatMessage>& messages) const;

  // The tokens that end an answer: those of the model, and the one that the template puts behind an
  // answer. Ascending, no repeats.
  const std::vector<uint32_t>& end_tokens() const { return end_tokens_; }

 private:
  ChatPrompt(chat::ChatTemplate parsed, const Tokenizer& tokenizer, const std::tm& now)
      : template_(std::move(parsed)), tokenizer_(&tokenizer), now_(now) {}

  void FindEndTokens();
  Result<std::string> MarkedText(const std::vector<ChatMessage>& messages,
                                 bool add_generation_prompt) const;

  chat::ChatTemplate template_;
  const Tokenizer* tokenizer_;
  std::tm now_;
  std::vector<std::pair<std::string, std::string>> special_tokens_;  // "bos_token", its text
  std::vector<uint32_t> end_tokens_;
};

}  // namespace ecq

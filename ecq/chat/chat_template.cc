// Parsing and rendering, with errors that say where they are.
#include "ecq/chat/chat_template.h"

#include <fmt/format.h>

#include "ecq/chat/interpreter.h"
#include "ecq/chat/parser.h"

namespace ecq::chat {
namespace {

Error InTemplate(const Error& error) { return {error.code, "chat template, " + error.message}; }

}  // namespace

Result<ChatTemplate> ChatTemplate::Parse(std::string_view source) {
  if (source.size() > kMaxTemplateBytes) {
    return Invalid(fmt::format("chat template: {} bytes, expected at most {}", source.size(),
                               kMaxTemplateBytes));
  }
  auto tree = ParseTemplate(source);
  if (!tree.ok()) return InTemplate(tree.error());
  return ChatTemplate(std::move(*tree));
}

Result<std::string> ChatTemplate::Render(std::vector<std::pair<std::string, Value>> variables,
                                         const std::tm& now, uint64_t max_steps) const {
  Interpreter interpreter(std::move(variables), now, max_steps);
  Result<std::string> text = interpreter.Run(*tree_);
  if (!text.ok()) return InTemplate(text.error());
  return text;
}

}  // namespace ecq::chat

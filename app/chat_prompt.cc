#include "app/chat_prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "ecq/base/mapped_file.h"

namespace ecq {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kTokenizerConfig = "tokenizer_config.json";
constexpr std::string_view kTemplateFile = "chat_template.jinja";
constexpr std::string_view kChatMl =
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// U+10FFFF, which is no character: where a prompt is cut before it is tokenized.
constexpr std::string_view kMark = "\xf4\x8f\xbf\xbf";

std::optional<std::string_view> FindFile(const std::vector<SideFile>& files,
                                         std::string_view name) {
  for (const SideFile& file : files) {
    if (file.name == name) return file.contents;
  }
  return std::nullopt;
}

// tokenizer_config.json, or an empty object without one.
Result<Json> TokenizerConfig(const std::vector<SideFile>& files) {
  const auto text = FindFile(files, kTokenizerConfig);
  if (!text) return Json::object();
  Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return Error{ErrorCode::kBadHeader, fmt::format("{}: expected an object", kTokenizerConfig)};
  }
  return json;
}

struct NamedTemplate {
  std::string name;
  std::string source;
};

// All templates of a model, the usual one first.
std::vector<NamedTemplate> ModelTemplates(const std::vector<SideFile>& files, const Json& config) {
  std::vector<NamedTemplate> templates;
  if (const auto text = FindFile(files, kTemplateFile)) {
    templates.push_back({"default", std::string(*text)});
  }
  const auto found = config.find("chat_template");
  if (found == config.end()) return templates;
  if (found->is_string()) templates.push_back({"default", found->get<std::string>()});
  if (!found->is_array()) return templates;
  for (const Json& entry : *found) {
    if (!entry.is_object()) continue;
    const Json name = entry.value("name", Json());
    const Json source = entry.value("template", Json());
    if (!name.is_string() || !source.is_string()) continue;
    NamedTemplate named{name.get<std::string>(), source.get<std::string>()};
    const bool first = named.name == "default" && FindFile(files, kTemplateFile) == std::nullopt;
    templates.insert(first ? templates.begin() : templates.end(), std::move(named));
  }
  return templates;
}

Result<std::string> ReadTemplateFile(const std::string& path) {
  ECQ_TRY(const MappedFile file, MappedFile::Open(path));
  const auto bytes = file.bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<std::string> ChooseTemplate(const std::vector<NamedTemplate>& templates,
                                   const std::string& choice) {
  if (choice == "chatml") return std::string(kChatMl);
  if (choice.empty()) {
    if (!templates.empty()) return templates.front().source;
    return Error{ErrorCode::kNotFound,
                 "the model has no chat template; give one with --template FILE or --template "
                 "chatml, or continue a text with 'ecq run'"};
  }
  std::string known = "chatml";
  for (const NamedTemplate& named : templates) {
    if (named.name == choice) return named.source;
    known += ", " + named.name;
  }
  std::error_code ignored;
  if (std::filesystem::exists(choice, ignored)) return ReadTemplateFile(choice);
  return Error{ErrorCode::kNotFound,
               fmt::format("template '{}': expected a file, or one of {}", choice, known)};
}

// The text of a special token, given as text or as {"content": text}.
std::optional<std::string> TokenText(const Json& config, const char* name) {
  auto found = config.find(name);
  if (found == config.end()) return std::nullopt;
  if (found->is_object()) {
    const auto content = found->find("content");
    if (content != found->end() && content->is_string()) return content->get<std::string>();
  }
  if (found->is_string()) return found->get<std::string>();
  return std::nullopt;
}

bool HasSpecialToken(const Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.Encode(text, /*parse_special=*/true) !=
         tokenizer.Encode(text, /*parse_special=*/false);
}

// The start of the last character of text that is not empty.
size_t LastCharacter(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

// `text` with a mark in front of the last character of each special token, and without other marks.
std::string MarkSpecialTokens(const Tokenizer& tokenizer, std::string_view text) {
  std::string plain(text);
  for (size_t at; (at = plain.find(kMark)) != std::string::npos;) plain.erase(at, kMark.size());
  std::string marked;
  std::string_view rest = plain;
  while (HasSpecialToken(tokenizer, rest)) {
    // Bisects for the shortest prefix that has one.
    size_t without = 0;
    size_t with = rest.size();
    while (with - without > 1) {
      const size_t middle = without + (with - without) / 2;
      (HasSpecialToken(tokenizer, rest.substr(0, middle)) ? with : without) = middle;
    }
    const size_t cut = LastCharacter(rest.substr(0, with));
    if (cut == 0) {  // a token of one character: nothing to cut
      marked.append(rest.substr(0, with));
      rest.remove_prefix(with);
      continue;
    }
    marked.append(rest.substr(0, cut)).append(kMark);
    rest.remove_prefix(cut);
  }
  return marked.append(rest);
}

}  // namespace

Result<ChatPrompt> ChatPrompt::Create(const std::vector<SideFile>& files, const std::string& choice,
                                      const Tokenizer& tokenizer, const std::tm& now) {
  ECQ_TRY(const Json config, TokenizerConfig(files));
  ECQ_TRY(const std::string source, ChooseTemplate(ModelTemplates(files, config), choice));
  ECQ_TRY(chat::ChatTemplate parsed, chat::ChatTemplate::Parse(source));
  ChatPrompt prompt(std::move(parsed), tokenizer, now);
  for (const char* name : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
    auto text = TokenText(config, name);
    if (!text && name == std::string_view("bos_token") && tokenizer.bos_id()) {
      text = tokenizer.DecodePiece(*tokenizer.bos_id(), /*is_first=*/false);
    }
    if (!text && name == std::string_view("eos_token") && !tokenizer.eos_ids().empty()) {
      text = tokenizer.DecodePiece(tokenizer.eos_ids().front(), /*is_first=*/false);
    }
    if (text) prompt.special_tokens_.emplace_back(name, std::move(*text));
  }
  prompt.FindEndTokens();
  return prompt;
}

// Renders an answer and looks at what follows it.
void ChatPrompt::FindEndTokens() {
  end_tokens_ = tokenizer_->eos_ids();
  constexpr std::string_view kAnswer = "ANSWER";
  const auto text = MarkedText({{"user", "Hello"}, {"assistant", std::string(kAnswer)}},
                               /*add_generation_prompt=*/false);
  const size_t at = text.ok() ? text->rfind(kAnswer) : std::string::npos;
  if (at == std::string::npos) return;
  const std::string_view behind = std::string_view(*text).substr(at + kAnswer.size());
  const size_t begin = std::min(behind.find_first_not_of(" \n"), behind.size());
  const auto ids = tokenizer_->Encode(behind.substr(begin), /*parse_special=*/true);
  if (ids.empty()) return;
  const std::string end = tokenizer_->DecodePiece(ids[0], /*is_first=*/false);
  if (HasSpecialToken(*tokenizer_, end)) end_tokens_.push_back(ids[0]);
  std::sort(end_tokens_.begin(), end_tokens_.end());
  end_tokens_.erase(std::unique(end_tokens_.begin(), end_tokens_.end()), end_tokens_.end());
}

Result<std::string> ChatPrompt::MarkedText(const std::vector<ChatMessage>& messages,
                                           bool add_generation_prompt) const {
  std::vector<chat::Value> list;
  for (const ChatMessage& message : messages) {
    ECQ_TRY(chat::Value value,
            chat::MakeDict({{chat::Value::Text("role"), chat::Value::Text(message.role)},
                            {chat::Value::Text("content"),
                             chat::Value::Text(MarkSpecialTokens(*tokenizer_, message.content))}}));
    list.push_back(std::move(value));
  }
  ECQ_TRY(chat::Value list_value, chat::MakeList(std::move(list)));
  std::vector<std::pair<std::string, chat::Value>> variables{
      {"messages", std::move(list_value)},
      {"add_generation_prompt", chat::Value(add_generation_prompt)},
      {"tools", chat::Value::NoneValue()},
      {"documents", chat::Value::NoneValue()}};
  for (const auto& [name, text] : special_tokens_) {
    variables.emplace_back(name, chat::Value::Text(text));
  }
  return template_.Render(std::move(variables), now_);
}

Result<std::string> ChatPrompt::Text(const std::vector<ChatMessage>& messages) const {
  ECQ_TRY(std::string text, MarkedText(messages, /*add_generation_prompt=*/true));
  for (size_t at; (at = text.find(kMark)) != std::string::npos;) text.erase(at, kMark.size());
  return text;
}

Result<std::vector<uint32_t>> ChatPrompt::Tokens(const std::vector<ChatMessage>& messages) const {
  ECQ_TRY(const std::string text, MarkedText(messages, /*add_generation_prompt=*/true));
  std::vector<uint32_t> tokens;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t size = std::min(rest.find(kMark), rest.size());
    const auto ids = tokenizer_->Encode(rest.substr(0, size), /*parse_special=*/true);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    rest.remove_prefix(std::min(rest.size(), size + kMark.size()));
  }
  const auto bos = tokenizer_->bos_id();
  if (tokenizer_->add_bos() && (tokens.empty() || tokens.front() != *bos)) {
    tokens.insert(tokens.begin(), *bos);
  }
  return tokens;
}

}  // namespace ecq

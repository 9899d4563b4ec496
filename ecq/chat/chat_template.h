// The chat template of a model: a text in a subset of Jinja that turns a conversation into a
// prompt.
//
// Renders as transformers does (trim_blocks, lstrip_blocks, sandbox, loop controls); docs/chat.md
// lists the subset. Templates come with models of strangers: what they compute is bounded in steps,
// in bytes and in nesting, and none can reach anything but the values it is given.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/chat/value.h"

namespace ecq::chat {

struct Tree;

inline constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
// About a second of work.
inline constexpr uint64_t kMaxRenderSteps = uint64_t{1} << 24;

class ChatTemplate {
 public:
  // Errors: kInvalidArgument; messages name the line: "chat template, line 3: ...".
  static Result<ChatTemplate> Parse(std::string_view source);

  // `variables`: what the template can name, such as "messages"; `now`: what strftime_now shows.
  // Errors: as Parse(), also for what the template refuses with raise_exception.
  Result<std::string> Render(std::vector<std::pair<std::string, Value>> variables,
                             const std::tm& now, uint64_t max_steps = kMaxRenderSteps) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const Tree> tree) : tree_(std::move(tree)) {}

  std::shared_ptr<const Tree> tree_;
};

}  // namespace ecq::chat

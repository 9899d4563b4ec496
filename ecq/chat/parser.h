// Parses a chat template.
#pragma once

#include <memory>
#include <string_view>

#include "ecq/base/result.h"
#include "ecq/chat/ast.h"

namespace ecq::chat {

// Expressions and blocks of a template nest at most so deep.
inline constexpr int kMaxParseDepth = 64;

// Errors: kInvalidArgument; messages start with the line.
Result<std::unique_ptr<const Tree>> ParseTemplate(std::string_view source);

}  // namespace ecq::chat

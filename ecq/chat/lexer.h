// Cuts a chat template into tokens, with the white space control that transformers sets for Jinja:
// trim_blocks and lstrip_blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"

namespace ecq::chat {

enum class TokenKind : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  std::string text;  // of a string, what it means
  int line;          // from 1
};

// Ends with a kEnd token. Errors: kInvalidArgument; messages start with the line.
Result<std::vector<Token>> Tokenize(std::string_view source);

// "line 12: what"
Error AtLine(int line, std::string_view what);

}  // namespace ecq::chat

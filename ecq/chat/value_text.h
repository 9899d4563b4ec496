// Template values as text: what templates print, JSON, and formatted strings.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "ecq/base/result.h"
#include "ecq/chat/value.h"

namespace ecq::chat {

// Longest text that a template may build.
inline constexpr size_t kMaxTextBytes = size_t{16} << 20;

// Python's str(). Errors: those of Budget::Spend(); kInvalidArgument for a namespace or function.
Result<std::string> ToText(const Value& value, Budget& budget);

struct JsonStyle {
  std::optional<std::string> indent;  // of one level; none: all on one line
  std::string_view item_separator = ", ";
  std::string_view key_separator = ": ";
  bool ascii = false;
  bool sort_keys = false;
};
// Python's json.dumps(). Errors: as ToText(), also for an undefined value.
Result<std::string> ToJson(const Value& value, const JsonStyle& style, Budget& budget);

// The value that a JSON text means. Errors: kInvalidArgument for what is not JSON, is nested too
// deeply, or has an integer beyond 64 bits.
Result<Value> ParseJson(std::string_view text);

// Python's `format % arguments`, with %s, %d, %i and %%. Errors: kInvalidArgument.
Result<std::string> FormatPercent(std::string_view format, const std::vector<Value>& arguments,
                                  Budget& budget);

// strftime() of the C locale. Errors: kInvalidArgument for a conversion it does not know.
Result<std::string> FormatTime(std::string_view format, const std::tm& time);

}  // namespace ecq::chat

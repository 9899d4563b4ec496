// Filters that make text or numbers.
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "ecq/chat/builtins.h"
#include "ecq/chat/python_text.h"
#include "ecq/chat/value_text.h"

namespace ecq::chat {
namespace {

template <std::string (*Map)(std::string_view)>
Result<Value> MapText(const Call& call) {
  ECQ_TRY(const std::string text, ToText(call.self, call.budget));
  return MakeText(Map(text), call.budget);
}

// Jinja's title: upper case behind white space, '-' and opening brackets only.
std::string TitleWords(std::string_view text) {
  std::string out;
  bool starts = true;
  while (!text.empty()) {
    const std::string_view character = text.substr(0, CharacterSize(text));
    const char32_t c = FirstCharacter(character);
    out += starts ? ToUpper(character) : ToLower(character);
    starts = IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    text.remove_prefix(character.size());
  }
  return out;
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

Result<Value> Trim(const Call& call) {
  ECQ_TRY(const std::string text, ToText(call.self, call.budget));
  ECQ_TRY(const std::string_view characters, call.Text(0, ""));
  const bool given = call.Given(0) && !call.parameters[0]->is_none();
  return MakeText(Strip(text, given ? std::optional(characters) : std::nullopt), call.budget);
}

Result<Value> String(const Call& call) {
  ECQ_TRY(std::string text, ToText(call.self, call.budget));
  return Value::Text(std::move(text));
}

Result<Value> ReplaceText(const Call& call) {
  ECQ_TRY(const std::string text, ToText(call.self, call.budget));
  ECQ_TRY(const std::string from, ToText(*call.parameters[0], call.budget));
  ECQ_TRY(const std::string to, ToText(*call.parameters[1], call.budget));
  ECQ_TRY(const int64_t count, call.Integer(2, -1));
  const auto replaced = Replace(text, from, to, count, kMaxTextBytes);
  if (!replaced) return Invalid("the template builds a text of more than 16 MiB");
  return MakeText(*replaced, call.budget);
}

Result<Value> Indent(const Call& call) {
  ECQ_TRY(const std::string text, ToText(call.self, call.budget));
  std::string indent(4, ' ');
  if (call.Given(0) && call.parameters[0]->is_text()) {
    indent = call.parameters[0]->text();
  } else if (call.Given(0)) {
    ECQ_TRY(const int64_t width, call.Integer(0, 4));
    if (width > 1000) return Invalid("'indent' takes a width of at most 1000");
    indent.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool indents_first = call.Flag(1, false);
  const bool indents_blank = call.Flag(2, false);
  std::string out = indents_first ? indent : "";
  const std::string terminated = text + "\n";
  bool first = true;
  for (const std::string_view line : SplitLines(terminated)) {
    if (!std::exchange(first, false)) {
      out += '\n';
      if (indents_blank || !line.empty()) out += indent;
    }
    out += line;
    ECQ_RETURN_IF_ERROR(call.budget.SpendBytes(line.size() + indent.size()));
    if (out.size() > kMaxTextBytes) {
      return Invalid("the template builds a text of more than 16 MiB");
    }
  }
  return Value::Text(std::move(out));
}

Result<Value> ToJsonFilter(const Call& call) {
  JsonStyle style;
  style.ascii = call.Flag(0, false);
  if (call.Given(1) && call.parameters[1]->is_text()) {
    style.indent = call.parameters[1]->text();
  } else if (call.Given(1) && !call.parameters[1]->is_none()) {
    ECQ_TRY(const int64_t width, call.Integer(1, 0));
    if (width > 1000) return Invalid("'tojson' takes an indent of at most 1000");
    style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  if (style.indent) style.item_separator = ",";
  if (call.Given(2) && !call.parameters[2]->is_none()) {
    const Value& separators = *call.parameters[2];
    const auto is_text = [&](size_t i) { return separators.list().items[i].is_text(); };
    if (!separators.is_list() || separators.list().items.size() != 2 || !is_text(0) ||
        !is_text(1)) {
      return Invalid("'tojson' takes two strings as separators");
    }
    style.item_separator = separators.list().items[0].text();
    style.key_separator = separators.list().items[1].text();
  }
  style.sort_keys = call.Flag(3, false);
  ECQ_TRY(std::string text, ToJson(call.self, style, call.budget));
  return Value::Text(std::move(text));
}

Result<Value> Default(const Call& call) {
  const bool replaces = call.self.is_undefined() || (call.Flag(1, false) && !call.self.IsTrue());
  if (!replaces) return call.self;
  return call.Given(0) ? *call.parameters[0] : Value::Text("");
}

std::optional<double> ParseNumber(std::string_view text) {
  text = Strip(text, {});
  double value = 0;
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> Truncated(double value) {
  if (!(value > -9.2e18 && value < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(value);
}

Result<Value> Int(const Call& call) {
  ECQ_TRY(const int64_t base, call.Integer(1, 10));
  if (base < 2 || base > 36) return Invalid("'int' takes a base from 2 to 36");
  const Value otherwise = call.Given(0) ? *call.parameters[0] : Value::Int(0);
  if (call.self.is_integer()) return Value::Int(call.self.integer());
  std::optional<int64_t> value;
  if (call.self.is_number()) {
    value = Truncated(call.self.number());
  } else if (call.self.is_text()) {
    std::string_view text = Strip(call.self.text(), {});
    if (text.starts_with('+')) text.remove_prefix(1);
    int64_t parsed = 0;
    const auto end =
        std::from_chars(text.data(), text.data() + text.size(), parsed, static_cast<int>(base));
    if (end.ec == std::errc() && end.ptr == text.data() + text.size()) {
      value = parsed;
    } else if (const auto number = ParseNumber(text)) {
      value = Truncated(*number);
    }
  }
  return value ? Value::Int(*value) : otherwise;
}

Result<Value> Float(const Call& call) {
  if (call.self.is_number()) return Value::Float(call.self.number());
  const auto value = call.self.is_text() ? ParseNumber(call.self.text()) : std::nullopt;
  if (value) return Value::Float(*value);
  return call.Given(0) ? *call.parameters[0] : Value::Float(0);
}

Result<Value> Abs(const Call& call) {
  if (!call.self.is_number()) {
    return Invalid(fmt::format("'abs' needs a number, got {}", call.self.KindName()));
  }
  if (!call.self.is_integer()) return Value::Float(std::abs(call.self.number()));
  if (call.self.integer() >= 0) return Value::Int(call.self.integer());
  return Arithmetic("-", Value::Int(0), call.self, call.budget);
}

// Halves go to the even neighbour, as Python's round() does.
Result<Value> Round(const Call& call) {
  ECQ_TRY(const int64_t precision, call.Integer(0, 0));
  ECQ_TRY(const std::string_view method, call.Text(1, "common"));
  if (!call.self.is_number()) {
    return Invalid(fmt::format("'round' needs a number, got {}", call.self.KindName()));
  }
  if (precision < 0 || precision > 15) return Invalid("'round' takes a precision from 0 to 15");
  const double unit = std::pow(10.0, static_cast<double>(precision));
  const double value = call.self.number();
  if (method == "ceil") return Value::Float(std::ceil(value * unit) / unit);
  if (method == "floor") return Value::Float(std::floor(value * unit) / unit);
  if (method != "common") return Invalid("'round' takes 'common', 'ceil' or 'floor'");
  if (call.self.is_integer()) return Value::Int(call.self.integer());
  if (!std::isfinite(value)) return Value::Float(value);
  double rounded = value;  // from its decimal digits, exactly
  const std::string digits = fmt::format("{:.{}f}", value, precision);
  std::from_chars(digits.data(), digits.data() + digits.size(), rounded);
  return Value::Float(rounded);
}

Result<Value> Format(const Call& call) {
  ECQ_TRY(const std::string format, ToText(call.self, call.budget));
  if (!call.arguments.named.empty()) return Invalid("'format' takes unnamed arguments only");
  ECQ_TRY(std::string text, FormatPercent(format, call.arguments.positional, call.budget));
  return Value::Text(std::move(text));
}

Result<Value> WordCount(const Call& call) {
  ECQ_TRY(const std::string text, ToText(call.self, call.budget));
  return Value::Int(static_cast<int64_t>(Split(text, {}, -1).size()));
}

}  // namespace

const std::vector<Builtin>& TextFilters() {
  static const std::vector<Builtin> kTable{
      {"trim", {"chars"}, Trim},
      {"tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, ToJsonFilter},
      {"default", {"default_value", "boolean"}, Default},
      {"d", {"default_value", "boolean"}, Default},
      {"string", {}, String},
      {"safe", {}, String},
      {"upper", {}, MapText<ToUpper>},
      {"lower", {}, MapText<ToLower>},
      {"capitalize", {}, MapText<Capitalize>},
      {"title", {}, MapText<TitleWords>},
      {"escape", {}, MapText<EscapeHtml>},
      {"e", {}, MapText<EscapeHtml>},
      {"replace", {"old!", "new!", "count"}, ReplaceText},
      {"indent", {"width", "first", "blank"}, Indent},
      {"int", {"default", "base"}, Int},
      {"float", {"default"}, Float},
      {"abs", {}, Abs},
      {"round", {"precision", "method"}, Round},
      {"format", {"*"}, Format},
      {"wordcount", {}, WordCount},
  };
  return kTable;
}

}  // namespace ecq::chat

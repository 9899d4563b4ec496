// Template values as text.
#include "ecq/chat/value_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ecq/chat/python_text.h"

namespace ecq::chat {
namespace {

using Json = nlohmann::ordered_json;

// The shortest digits that give the same double, as Python writes them.
std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

// Python's repr() of a string.
std::string Quoted(std::string_view text) {
  const bool doubles =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = doubles ? '"' : '\'';
  std::string out(1, quote);
  while (!text.empty()) {
    const char32_t c = FirstCharacter(text);
    const size_t size = CharacterSize(text);
    if (c == '\\' || c == static_cast<char32_t>(quote)) {
      (out += '\\') += static_cast<char>(c);
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (IsPrintable(c)) {
      out += text.substr(0, size);
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<uint32_t>(c));
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<uint32_t>(c));
    }
    text.remove_prefix(size);
  }
  return out += quote;
}

// Collects text at a cost.
class Writer {
 public:
  explicit Writer(Budget& budget) : budget_(budget) {}

  Status Add(std::string_view text) {
    ECQ_RETURN_IF_ERROR(budget_.SpendBytes(text.size()));
    if (text.size() > kMaxTextBytes - out_.size()) {
      return Invalid("the template builds a text of more than 16 MiB");
    }
    out_ += text;
    return OkStatus();
  }
  std::string Take() { return std::move(out_); }

 private:
  Budget& budget_;
  std::string out_;
};

// `quotes`: strings as repr() writes them.
Status WriteText(const Value& value, bool quotes, Writer& out) {
  if (value.is_undefined()) return out.Add(quotes ? "Undefined" : "");
  if (value.is_none()) return out.Add("None");
  if (value.Is<bool>()) return out.Add(value.IsTrue() ? "True" : "False");
  if (value.Is<int64_t>()) return out.Add(fmt::format("{}", value.integer()));
  if (value.Is<double>()) return out.Add(FloatText(value.number()));
  if (value.is_text()) return out.Add(quotes ? Quoted(value.text()) : value.text());
  if (value.is_list()) {
    const List& list = value.list();
    ECQ_RETURN_IF_ERROR(out.Add(list.is_tuple ? "(" : "["));
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) ECQ_RETURN_IF_ERROR(out.Add(", "));
      ECQ_RETURN_IF_ERROR(WriteText(list.items[i], /*quotes=*/true, out));
    }
    if (list.is_tuple && list.items.size() == 1) ECQ_RETURN_IF_ERROR(out.Add(","));
    return out.Add(list.is_tuple ? ")" : "]");
  }
  if (value.is_dict()) {
    ECQ_RETURN_IF_ERROR(out.Add("{"));
    bool first = true;
    for (const auto& [key, entry] : value.dict().entries) {
      if (!std::exchange(first, false)) ECQ_RETURN_IF_ERROR(out.Add(", "));
      ECQ_RETURN_IF_ERROR(WriteText(key, /*quotes=*/true, out));
      ECQ_RETURN_IF_ERROR(out.Add(": "));
      ECQ_RETURN_IF_ERROR(WriteText(entry, /*quotes=*/true, out));
    }
    return out.Add("}");
  }
  return Invalid(fmt::format("a {} cannot be written as text", value.KindName()));
}

std::string JsonString(std::string_view text, bool ascii) {
  std::string out = "\"";
  while (!text.empty()) {
    const char32_t c = FirstCharacter(text);
    const size_t size = CharacterSize(text);
    constexpr std::string_view kEscaped = "\"\\\n\r\t\f\b";
    constexpr std::string_view kNames = "\"\\nrtfb";
    const size_t at = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : std::string_view::npos;
    if (at != std::string_view::npos) {
      (out += '\\') += kNames[at];
    } else if (c < 0x20 || (ascii && c >= 0x7f && c < 0x10000 && c != 0x7f)) {
      out += fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
    } else if (ascii && c >= 0x10000) {
      const uint32_t rest = static_cast<uint32_t>(c) - 0x10000;
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (rest >> 10), 0xdc00 + (rest & 0x3ff));
    } else {
      out += text.substr(0, size);
    }
    text.remove_prefix(size);
  }
  return out += '"';
}

std::string JsonFloat(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return FloatText(value);
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget)
      : style_(style), budget_(budget), out_(budget) {}

  Status Write(const Value& value) {
    if (value.is_none()) return out_.Add("null");
    if (value.Is<bool>()) return out_.Add(value.IsTrue() ? "true" : "false");
    if (value.Is<int64_t>()) return out_.Add(fmt::format("{}", value.integer()));
    if (value.Is<double>()) return out_.Add(JsonFloat(value.number()));
    if (value.is_text()) return out_.Add(JsonString(value.text(), style_.ascii));
    if (value.is_list()) return WriteList(value.list().items);
    if (value.is_dict()) return WriteDict(value.dict());
    return Invalid(fmt::format("{} has no JSON form", value.KindName()));
  }
  std::string Take() { return out_.Take(); }

 private:
  Status NewLine() {
    if (!style_.indent) return OkStatus();
    ECQ_RETURN_IF_ERROR(out_.Add("\n"));
    for (size_t i = 0; i < level_; ++i) ECQ_RETURN_IF_ERROR(out_.Add(*style_.indent));
    return OkStatus();
  }

  Status Separate(bool& first) {
    if (!std::exchange(first, false)) ECQ_RETURN_IF_ERROR(out_.Add(style_.item_separator));
    return NewLine();
  }

  Status Close(const char* bracket) {
    --level_;
    ECQ_RETURN_IF_ERROR(NewLine());
    return out_.Add(bracket);
  }

  Status WriteList(const std::vector<Value>& items) {
    if (items.empty()) return out_.Add("[]");
    ECQ_RETURN_IF_ERROR(out_.Add("["));
    ++level_;
    bool first = true;
    for (const Value& item : items) {
      ECQ_RETURN_IF_ERROR(Separate(first));
      ECQ_RETURN_IF_ERROR(Write(item));
    }
    return Close("]");
  }

  Result<std::string> Key(const Value& key) {
    if (key.is_text()) return key.text();
    if (key.is_none()) return std::string("null");
    if (key.Is<bool>()) return std::string(key.IsTrue() ? "true" : "false");
    if (key.Is<int64_t>()) return fmt::format("{}", key.integer());
    if (key.Is<double>()) return JsonFloat(key.number());
    return Invalid(fmt::format("a {} is no key of a JSON object", key.KindName()));
  }

  Status WriteDict(const Dict& dict) {
    if (dict.entries.empty()) return out_.Add("{}");
    ECQ_RETURN_IF_ERROR(budget_.SpendItems(dict.entries.size()));
    std::vector<std::pair<std::string, const Value*>> entries;
    for (const auto& [key, value] : dict.entries) {
      ECQ_TRY(std::string text, Key(key));
      entries.emplace_back(std::move(text), &value);
    }
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
    }
    ECQ_RETURN_IF_ERROR(out_.Add("{"));
    ++level_;
    bool first = true;
    for (const auto& [key, value] : entries) {
      ECQ_RETURN_IF_ERROR(Separate(first));
      ECQ_RETURN_IF_ERROR(out_.Add(JsonString(key, style_.ascii)));
      ECQ_RETURN_IF_ERROR(out_.Add(style_.key_separator));
      ECQ_RETURN_IF_ERROR(Write(*value));
    }
    return Close("}");
  }

  const JsonStyle& style_;
  Budget& budget_;
  Writer out_;
  size_t level_ = 0;
};

Result<Value> FromJson(const Json& json, size_t depth) {
  if (depth > kMaxValueDepth) return Invalid("the JSON nests too deeply");
  switch (json.type()) {
    case Json::value_t::null:
      return Value::NoneValue();
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > INT64_MAX) return Invalid("the JSON has too large an integer");
      return Value::Int(json.get<int64_t>());
    case Json::value_t::number_integer:
      return Value::Int(json.get<int64_t>());
    case Json::value_t::number_float:
      return Value::Float(json.get<double>());
    case Json::value_t::string:
      return Value::Text(json.get<std::string>());
    case Json::value_t::array: {
      std::vector<Value> items;
      for (const Json& item : json) {
        ECQ_TRY(Value value, FromJson(item, depth + 1));
        items.push_back(std::move(value));
      }
      return MakeList(std::move(items));
    }
    case Json::value_t::object: {
      std::vector<std::pair<Value, Value>> entries;
      for (const auto& [key, item] : json.items()) {
        ECQ_TRY(Value value, FromJson(item, depth + 1));
        entries.emplace_back(Value::Text(key), std::move(value));
      }
      return MakeDict(std::move(entries));
    }
    default:
      return Invalid("the JSON has a value that is none");
  }
}

}  // namespace

Result<std::string> ToText(const Value& value, Budget& budget) {
  Writer out(budget);
  ECQ_RETURN_IF_ERROR(WriteText(value, /*quotes=*/false, out));
  return out.Take();
}

Result<std::string> ToJson(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter out(style, budget);
  ECQ_RETURN_IF_ERROR(out.Write(value));
  return out.Take();
}

Result<Value> ParseJson(std::string_view text) {
  size_t depth = 0;
  const auto refuse_deep = [&depth](int, Json::parse_event_t event, Json&) {
    if (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start) {
      ++depth;
    } else if (event == Json::parse_event_t::object_end ||
               event == Json::parse_event_t::array_end) {
      --depth;
    }
    return depth <= kMaxValueDepth;
  };
  const Json json = Json::parse(text, refuse_deep, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Invalid("not JSON");
  return FromJson(json, 0);
}

Result<std::string> FormatPercent(std::string_view format, const std::vector<Value>& arguments,
                                  Budget& budget) {
  Writer out(budget);
  size_t used = 0;
  for (size_t at; (at = format.find('%')) != std::string_view::npos;) {
    ECQ_RETURN_IF_ERROR(out.Add(format.substr(0, at)));
    const char kind = at + 1 < format.size() ? format[at + 1] : '\0';
    format.remove_prefix(std::min(at + 2, format.size()));
    if (kind == '%') {
      ECQ_RETURN_IF_ERROR(out.Add("%"));
      continue;
    }
    if (kind != 's' && kind != 'd' && kind != 'i') {
      return Invalid("a format may have %s, %d and %% only");
    }
    if (used == arguments.size()) return Invalid("a format has too few arguments");
    const Value& argument = arguments[used++];
    if (kind == 's') {
      ECQ_RETURN_IF_ERROR(WriteText(argument, /*quotes=*/false, out));
    } else if (argument.is_integer()) {
      ECQ_RETURN_IF_ERROR(out.Add(fmt::format("{}", argument.integer())));
    } else {
      return Invalid(fmt::format("%d needs an integer, got {}", argument.KindName()));
    }
  }
  if (used != arguments.size()) return Invalid("a format has too many arguments");
  ECQ_RETURN_IF_ERROR(out.Add(format));
  return out.Take();
}

Result<std::string> FormatTime(std::string_view format, const std::tm& time) {
  constexpr std::string_view kConversions = "aAbBcdeDFHIjmMnpRStTuwxXyY%";
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    const bool unpadded = format.substr(i + 1, 1) == "-";
    const std::string_view kind = format.substr(std::min(format.size(), i + (unpadded ? 2 : 1)), 1);
    if (kind.empty() || kConversions.find(kind) == std::string_view::npos) {
      return Invalid(fmt::format("strftime_now does not know '%{}'", ShortName(kind)));
    }
    const char conversion[] = {'%', unpadded ? '-' : kind[0], unpadded ? kind[0] : '\0', '\0'};
    char buffer[64];
    out.append(buffer, std::strftime(buffer, sizeof(buffer), conversion, &time));
    i += unpadded ? 2 : 1;
  }
  return out;
}

}  // namespace ecq::chat

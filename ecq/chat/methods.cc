// The methods of strings, lists and dicts.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "ecq/chat/builtins.h"
#include "ecq/chat/python_text.h"
#include "ecq/chat/value_text.h"

namespace ecq::chat {
namespace {

template <bool kLeft, bool kRight>
Result<Value> StripMethod(const Call& call) {
  ECQ_TRY(const std::string_view characters, call.Text(0, ""));
  const bool given = call.Given(0) && !call.parameters[0]->is_none();
  return MakeText(
      Strip(call.self.text(), given ? std::optional(characters) : std::nullopt, {kLeft, kRight}),
      call.budget);
}

template <bool kFromRight>
Result<Value> SplitMethod(const Call& call) {
  ECQ_TRY(const std::string_view separator, call.Text(0, ""));
  ECQ_TRY(const int64_t max_splits, call.Integer(1, -1));
  const bool given = call.Given(0) && !call.parameters[0]->is_none();
  if (given && separator.empty()) return Invalid("'split' needs a separator that is not empty");
  const std::optional<std::string_view> by = given ? std::optional(separator) : std::nullopt;
  ECQ_RETURN_IF_ERROR(call.budget.SpendBytes(call.self.text().size()));
  return TextList(kFromRight ? SplitFromRight(call.self.text(), by, max_splits)
                             : Split(call.self.text(), by, max_splits),
                  call.budget);
}

Result<Value> SplitLinesMethod(const Call& call) {
  return TextList(SplitLines(call.self.text()), call.budget);
}

// Whether the text starts (or ends) with the argument, or one of a tuple of them.
template <bool kAtEnd>
Result<Value> Affix(const Call& call) {
  const std::string& text = call.self.text();
  const Value& argument = *call.parameters[0];
  const std::vector<Value> several =
      argument.is_list() ? argument.list().items : std::vector<Value>{argument};
  for (const Value& affix : several) {
    if (!affix.is_text()) {
      return Invalid(fmt::format("expected a string as argument, got {}", affix.KindName()));
    }
    ECQ_RETURN_IF_ERROR(call.budget.SpendBytes(affix.text().size()));
    if (kAtEnd ? text.ends_with(affix.text()) : text.starts_with(affix.text())) {
      return Value(true);
    }
  }
  return Value(false);
}

template <bool kAtEnd>
Result<Value> RemoveAffix(const Call& call) {
  std::string_view text = call.self.text();
  ECQ_TRY(const std::string_view affix, call.Text(0, ""));
  if (kAtEnd && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!kAtEnd && text.starts_with(affix)) text.remove_prefix(affix.size());
  return MakeText(text, call.budget);
}

template <std::string (*Map)(std::string_view)>
Result<Value> MapMethod(const Call& call) {
  return MakeText(Map(call.self.text()), call.budget);
}

Result<Value> ReplaceMethod(const Call& call) {
  ECQ_TRY(const std::string_view from, call.Text(0, ""));
  ECQ_TRY(const std::string_view to, call.Text(1, ""));
  ECQ_TRY(const int64_t count, call.Integer(2, -1));
  const auto text = Replace(call.self.text(), from, to, count, kMaxTextBytes);
  if (!text) return Invalid("the template builds a text of more than 16 MiB");
  return MakeText(*text, call.budget);
}

template <bool kFromRight>
Result<Value> Find(const Call& call) {
  const std::string_view text = call.self.text();
  ECQ_TRY(const std::string_view part, call.Text(0, ""));
  ECQ_RETURN_IF_ERROR(call.budget.SpendBytes(text.size() + part.size()));
  const size_t at = kFromRight ? text.rfind(part) : text.find(part);
  if (at == std::string_view::npos) return Value::Int(-1);
  return Value::Int(static_cast<int64_t>(CountCharacters(text.substr(0, at))));
}

Result<Value> CountText(const Call& call) {
  const std::string_view text = call.self.text();
  ECQ_TRY(const std::string_view part, call.Text(0, ""));
  ECQ_RETURN_IF_ERROR(call.budget.SpendBytes(text.size() + part.size()));
  const size_t count = part.empty() ? CountCharacters(text) + 1 : Split(text, part, -1).size() - 1;
  return Value::Int(static_cast<int64_t>(count));
}

Result<Value> JoinMethod(const Call& call) {
  ECQ_TRY(const std::vector<Value> items, Iterate(*call.parameters[0], call.budget));
  for (const Value& item : items) {
    if (!item.is_text()) {
      return Invalid(fmt::format("'join' needs strings, got {}", item.KindName()));
    }
  }
  ECQ_TRY(std::string text, Join(items, call.self.text(), call.budget));
  return Value::Text(std::move(text));
}

// Whether there are characters, and all are of a kind.
template <bool (*Holds)(char32_t)>
Result<Value> AllAre(const Call& call) {
  std::string_view text = call.self.text();
  ECQ_RETURN_IF_ERROR(call.budget.SpendBytes(text.size()));
  bool all = !text.empty();
  for (; all && !text.empty(); text.remove_prefix(CharacterSize(text))) {
    all = Holds(FirstCharacter(text));
  }
  return Value(all);
}

bool IsDigit(char32_t c) { return c >= '0' && c <= '9'; }
bool IsLetterOrDigit(char32_t c) { return IsLetter(c) || IsDigit(c); }

template <bool kUpper>
Result<Value> HasCase(const Call& call) {
  Arguments none;
  ECQ_TRY(const bool has, ApplyTest(kUpper ? "upper" : "lower", call.self, none, call.budget));
  return Value(has);
}

Result<Value> FormatMethod(const Call& call) {
  return FormatBraces(call.self.text(), call.arguments, call.budget);
}

Result<Value> Index(const Call& call) {
  const auto& items = call.self.list().items;
  for (size_t i = 0; i < items.size(); ++i) {
    ECQ_TRY(const bool same, Equals(items[i], *call.parameters[0], call.budget));
    if (same) return Value::Int(static_cast<int64_t>(i));
  }
  return Invalid("the item that 'index' looks for is not in the list");
}

Result<Value> CountItems(const Call& call) {
  int64_t count = 0;
  for (const Value& item : call.self.list().items) {
    ECQ_TRY(const bool same, Equals(item, *call.parameters[0], call.budget));
    count += same ? 1 : 0;
  }
  return Value::Int(count);
}

Result<Value> Get(const Call& call) {
  ECQ_TRY(const Value* value, FindKey(call.self.dict(), *call.parameters[0], call.budget));
  if (value != nullptr) return *value;
  return call.Given(1) ? *call.parameters[1] : Value::NoneValue();
}

Result<Value> Keys(const Call& call) {
  ECQ_TRY(std::vector<Value> keys, Iterate(call.self, call.budget));
  return MakeList(std::move(keys));
}

Result<Value> Values(const Call& call) {
  std::vector<Value> values;
  ECQ_RETURN_IF_ERROR(call.budget.SpendItems(call.self.dict().entries.size()));
  for (const auto& entry : call.self.dict().entries) values.push_back(entry.second);
  return MakeList(std::move(values));
}

Result<Value> ItemsMethod(const Call& call) { return DictItems(call.self, call.budget); }
Result<Value> Copy(const Call& call) { return call.self; }

// The value that a replacement field names: a number, a name, or nothing for the next one.
Result<Value> FieldValue(std::string_view field, size_t& next, const Arguments& arguments) {
  size_t index = 0;
  const auto end = std::from_chars(field.data(), field.data() + field.size(), index);
  if (field.empty()) {
    index = next++;
  } else if (end.ec != std::errc() || end.ptr != field.data() + field.size()) {
    for (const auto& [name, value] : arguments.named) {
      if (name == field) return value;
    }
    return Invalid(fmt::format("'format' cannot fill '{{{}}}'", ShortName(field)));
  }
  if (index >= arguments.positional.size()) return Invalid("'format' has too few arguments");
  return arguments.positional[index];
}

}  // namespace

Result<Value> FormatBraces(std::string_view format, const Arguments& arguments, Budget& budget) {
  std::vector<Value> parts;
  size_t next = 0;
  while (!format.empty()) {
    const size_t at = std::min(format.find_first_of("{}"), format.size());
    const std::string_view brace = format.substr(at, 1);
    const bool is_doubled = !brace.empty() && format.substr(at + 1, 1) == brace;
    ECQ_RETURN_IF_ERROR(budget.SpendItems(2));
    ECQ_TRY(Value text, MakeText(format.substr(0, at + (is_doubled ? 1 : 0)), budget));
    parts.push_back(std::move(text));
    format.remove_prefix(std::min(format.size(), at + (is_doubled ? 2 : 1)));
    if (brace.empty() || is_doubled) continue;
    const size_t end = format.find('}');
    if (brace == "}" || end == std::string_view::npos) {
      return Invalid("a format has a single brace; write it twice");
    }
    ECQ_TRY(Value value, FieldValue(format.substr(0, end), next, arguments));
    parts.push_back(std::move(value));
    format.remove_prefix(end + 1);
  }
  ECQ_TRY(std::string text, Join(parts, "", budget));
  return Value::Text(std::move(text));
}

const std::vector<Builtin>& TextMethods() {
  static const std::vector<Builtin> kTable{
      {"strip", {"chars"}, StripMethod<true, true>},
      {"lstrip", {"chars"}, StripMethod<true, false>},
      {"rstrip", {"chars"}, StripMethod<false, true>},
      {"split", {"sep", "maxsplit"}, SplitMethod<false>},
      {"rsplit", {"sep", "maxsplit"}, SplitMethod<true>},
      {"splitlines", {}, SplitLinesMethod},
      {"startswith", {"prefix!"}, Affix<false>},
      {"endswith", {"suffix!"}, Affix<true>},
      {"removeprefix", {"prefix!"}, RemoveAffix<false>},
      {"removesuffix", {"suffix!"}, RemoveAffix<true>},
      {"upper", {}, MapMethod<ToUpper>},
      {"lower", {}, MapMethod<ToLower>},
      {"title", {}, MapMethod<ToTitle>},
      {"capitalize", {}, MapMethod<Capitalize>},
      {"replace", {"old!", "new!", "count"}, ReplaceMethod},
      {"find", {"sub!"}, Find<false>},
      {"rfind", {"sub!"}, Find<true>},
      {"count", {"sub!"}, CountText},
      {"join", {"iterable!"}, JoinMethod},
      {"format", {"*"}, FormatMethod},
      {"isdigit", {}, AllAre<IsDigit>},
      {"isalpha", {}, AllAre<IsLetter>},
      {"isalnum", {}, AllAre<IsLetterOrDigit>},
      {"isspace", {}, AllAre<IsSpace>},
      {"isupper", {}, HasCase<true>},
      {"islower", {}, HasCase<false>},
  };
  return kTable;
}

const std::vector<Builtin>& ListMethods() {
  static const std::vector<Builtin> kTable{
      {"index", {"value!"}, Index},
      {"count", {"value!"}, CountItems},
  };
  return kTable;
}

const std::vector<Builtin>& DictMethods() {
  static const std::vector<Builtin> kTable{
      {"get", {"key!", "default"}, Get},
      {"items", {}, ItemsMethod},
      {"keys", {}, Keys},
      {"values", {}, Values},
      {"copy", {}, Copy},
  };
  return kTable;
}

}  // namespace ecq::chat

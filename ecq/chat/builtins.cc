// How builtins get their arguments, and access to the parts of values.
#include "ecq/chat/builtins.h"

#include <fmt/format.h>

#include <algorithm>

#include "ecq/chat/python_text.h"
#include "ecq/chat/value_text.h"

namespace ecq::chat {
namespace {

std::string_view ParameterName(std::string_view parameter) {
  if (parameter.ends_with('!')) parameter.remove_suffix(1);
  return parameter;
}

Status Bind(const Builtin& builtin, Call& call) {
  const auto& parameters = builtin.parameters;
  const Arguments& arguments = call.arguments;
  const auto fail = [&](std::string_view what) {
    return Invalid(fmt::format("'{}' {}", builtin.name, what));
  };
  if (arguments.positional.size() > parameters.size()) {
    return fail(fmt::format("takes at most {} arguments", parameters.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    call.parameters[i] = &arguments.positional[i];
  }
  for (const auto& [name, value] : arguments.named) {
    size_t at = 0;
    while (at < parameters.size() && ParameterName(parameters[at]) != name) ++at;
    if (at == parameters.size()) {
      return fail(fmt::format("has no argument '{}'", ShortName(name)));
    }
    if (call.parameters[at] != nullptr) {
      return fail(fmt::format("gets its argument '{}' twice", name));
    }
    call.parameters[at] = &value;
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].ends_with('!') && call.parameters[i] == nullptr) {
      return fail(fmt::format("needs the argument '{}'", ParameterName(parameters[i])));
    }
  }
  return OkStatus();
}

// Methods of Python that would change a value in place.
bool ChangesValue(const Value& object, std::string_view name) {
  constexpr std::array<std::string_view, 7> kOfLists{"append", "extend",  "insert", "pop",
                                                     "remove", "reverse", "sort"};
  constexpr std::array<std::string_view, 5> kOfDicts{"clear", "pop", "popitem", "setdefault",
                                                     "update"};
  const auto has = [name](const auto& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  return (object.is_list() && has(kOfLists)) || (object.is_dict() && has(kOfDicts));
}

bool HasMethod(const Value& object, std::string_view name) {
  if (object.is_text()) return FindBuiltin(TextMethods(), name) != nullptr;
  if (object.is_list()) return FindBuiltin(ListMethods(), name) != nullptr;
  if (object.is_dict()) return FindBuiltin(DictMethods(), name) != nullptr;
  return false;
}

Result<Value> MethodOrMissing(const Value& object, std::string_view name) {
  if (HasMethod(object, name) || ChangesValue(object, name)) {
    return Value(Value::Data(std::make_shared<const Method>(Method{object, std::string(name)})));
  }
  return Value::Missing(name);
}

// The character at `index`, which may count from the end.
Result<Value> CharacterAt(const std::string& text, int64_t index, Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.SpendBytes(text.size()));
  if (index < 0) index += static_cast<int64_t>(CountCharacters(text));
  std::string_view rest = text;
  for (int64_t i = 0; i < index && !rest.empty(); ++i) rest.remove_prefix(CharacterSize(rest));
  if (index < 0 || rest.empty()) return Value::Missing("character");
  return MakeText(rest.substr(0, CharacterSize(rest)), budget);
}

// The indices of a slice of `size` items, as Python computes them.
Result<std::vector<size_t>> SliceIndices(int64_t size, const Value& start, const Value& stop,
                                         const Value& step_value) {
  for (const Value* v : {&start, &stop, &step_value}) {
    if (!v->is_none() && !v->is_integer()) {
      return Invalid(fmt::format("a slice needs integers, got {}", v->KindName()));
    }
  }
  const int64_t step = step_value.is_none() ? 1 : step_value.integer();
  if (step == 0) return Invalid("the step of a slice is 0");
  const int64_t low = step < 0 ? -1 : 0;
  const int64_t high = step < 0 ? size - 1 : size;
  const auto clamp = [&](const Value& v, int64_t otherwise) {
    if (v.is_none()) return otherwise;
    const int64_t at = v.integer();
    return at < 0 ? (at < -size ? low : std::max(at + size, low)) : std::min(at, high);
  };
  std::vector<size_t> indices;
  int64_t at = clamp(start, step < 0 ? high : low);
  const int64_t end = clamp(stop, step < 0 ? low : high);
  while (step < 0 ? at > end : at < end) {
    indices.push_back(static_cast<size_t>(at));
    if (step > size || step < -size) break;
    at += step;
  }
  return indices;
}

Result<Value> SliceText(std::string_view text, const Value& start, const Value& stop,
                        const Value& step, Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.Spend(1 + text.size() / 2));
  std::vector<std::string_view> characters;
  for (; !text.empty(); text.remove_prefix(characters.back().size())) {
    characters.push_back(text.substr(0, CharacterSize(text)));
  }
  ECQ_TRY(const std::vector<size_t> indices,
          SliceIndices(static_cast<int64_t>(characters.size()), start, stop, step));
  std::string out;
  for (const size_t i : indices) out += characters[i];
  return Value::Text(std::move(out));
}

}  // namespace

Result<int64_t> Call::Integer(size_t index, int64_t otherwise) const {
  const Value* value = parameters[index];
  if (value == nullptr || value->is_none()) return otherwise;
  if (value->is_integer()) return value->integer();
  return Invalid(fmt::format("expected an integer as argument, got {}", value->KindName()));
}

Result<std::string_view> Call::Text(size_t index, std::string_view otherwise) const {
  const Value* value = parameters[index];
  if (value == nullptr || value->is_none()) return otherwise;
  if (value->is_text()) return std::string_view(value->text());
  return Invalid(fmt::format("expected a string as argument, got {}", value->KindName()));
}

bool Call::Flag(size_t index, bool otherwise) const {
  return parameters[index] == nullptr ? otherwise : parameters[index]->IsTrue();
}

const Builtin* FindBuiltin(const std::vector<Builtin>& table, std::string_view name) {
  for (const Builtin& builtin : table) {
    if (builtin.name == name) return &builtin;
  }
  return nullptr;
}

Result<Value> RunBuiltin(const Builtin& builtin, const Value& self, const Arguments& arguments,
                         Budget& budget) {
  Call call{budget, self, arguments};
  if (builtin.parameters != std::vector<std::string_view>{"*"}) {
    ECQ_RETURN_IF_ERROR(Bind(builtin, call));
  }
  return builtin.run(call);
}

Result<Value> ApplyFilter(std::string_view name, const Value& self, const Arguments& arguments,
                          Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.Spend(1));
  for (const auto* table : {&TextFilters(), &ListFilters()}) {
    if (const Builtin* filter = FindBuiltin(*table, name); filter != nullptr) {
      return RunBuiltin(*filter, self, arguments, budget);
    }
  }
  return Invalid(fmt::format("there is no filter '{}'", ShortName(name)));
}

Result<Value> GetAttribute(const Value& object, std::string_view name, Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.Spend(1));
  if (object.is_undefined()) {
    return Invalid(fmt::format("{} has no attribute '{}'", object.KindName(), ShortName(name)));
  }
  if (object.Is<Namespace*>()) {
    const Value* value = std::get<Namespace*>(object.data())->Find(name);
    return value != nullptr ? *value : Value::Missing(name);
  }
  ECQ_TRY(Value method, MethodOrMissing(object, name));
  if (!method.is_undefined()) return method;
  if (object.is_dict()) {
    ECQ_RETURN_IF_ERROR(budget.Spend(object.dict().entries.size()));
    if (const Value* value = object.dict().Find(name); value != nullptr) return *value;
  }
  return method;
}

Result<Value> GetItem(const Value& object, const Value& key, Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.Spend(1));
  if (object.is_undefined()) {
    ECQ_TRY(const std::string text, ToText(key, budget));
    return Invalid(fmt::format("{} has no item '{}'", object.KindName(), ShortName(text)));
  }
  if (object.is_dict()) {
    ECQ_TRY(const Value* value, FindKey(object.dict(), key, budget));
    if (value != nullptr) return *value;
  } else if (key.is_integer() && object.is_text()) {
    return CharacterAt(object.text(), key.integer(), budget);
  } else if (key.is_integer() && object.is_list()) {
    const auto& items = object.list().items;
    const int64_t size = static_cast<int64_t>(items.size());
    const int64_t index = key.integer();
    if (index >= size || index < -size) return Value::Missing("item");
    return items[static_cast<size_t>(index < 0 ? index + size : index)];
  }
  if (key.is_text()) {
    if (object.Is<Namespace*>()) return GetAttribute(object, key.text(), budget);
    return MethodOrMissing(object, key.text());
  }
  return Value::Missing("item");
}

Result<Value> GetSlice(const Value& object, const Value& start, const Value& stop,
                       const Value& step, Budget& budget) {
  if (!object.is_list() && !object.is_text()) {
    return Invalid(fmt::format("cannot slice {}", object.KindName()));
  }
  if (object.is_text()) return SliceText(object.text(), start, stop, step, budget);
  const auto& items = object.list().items;
  ECQ_TRY(const std::vector<size_t> indices,
          SliceIndices(static_cast<int64_t>(items.size()), start, stop, step));
  ECQ_RETURN_IF_ERROR(budget.SpendItems(indices.size()));
  std::vector<Value> out;
  for (const size_t i : indices) out.push_back(items[i]);
  return MakeList(std::move(out), object.list().is_tuple);
}

Result<Value> CallMethod(const Method& method, const Arguments& arguments, Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.Spend(1));
  const Value& self = method.self;
  if (ChangesValue(self, method.name)) {
    return Invalid(fmt::format("'{}' would change a {}, which templates must not", method.name,
                               self.KindName()));
  }
  const auto& table =
      self.is_text() ? TextMethods() : (self.is_list() ? ListMethods() : DictMethods());
  return RunBuiltin(*FindBuiltin(table, method.name), self, arguments, budget);
}

Result<Value> MakeText(std::string_view text, Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.SpendBytes(text.size()));
  if (text.size() > kMaxTextBytes) {
    return Invalid("the template builds a text of more than 16 MiB");
  }
  return Value::Text(std::string(text));
}

Result<Value> TextList(const std::vector<std::string_view>& parts, Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.SpendItems(parts.size()));
  std::vector<Value> items;
  for (const std::string_view part : parts) {
    ECQ_TRY(Value text, MakeText(part, budget));
    items.push_back(std::move(text));
  }
  return MakeList(std::move(items));
}

Result<std::string> Join(const std::vector<Value>& items, std::string_view separator,
                         Budget& budget) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    ECQ_RETURN_IF_ERROR(budget.SpendBytes(separator.size()));
    if (i > 0) out += separator;
    if (items[i].is_text()) {
      ECQ_RETURN_IF_ERROR(budget.SpendBytes(items[i].text().size()));
      out += items[i].text();
    } else {
      ECQ_TRY(const std::string text, ToText(items[i], budget));
      out += text;
    }
    if (out.size() > kMaxTextBytes) {
      return Invalid("the template builds a text of more than 16 MiB");
    }
  }
  return out;
}

}  // namespace ecq::chat

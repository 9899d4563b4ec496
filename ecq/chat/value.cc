// Kinds, order and equality of template values.
#include "ecq/chat/value.h"

#include <fmt/format.h>

#include <algorithm>

#include "ecq/chat/python_text.h"

namespace ecq::chat {
namespace {

template <typename Items, typename Depth>
Result<size_t> NestedDepth(const Items& items, Depth depth_of) {
  size_t depth = 0;
  for (const auto& item : items) depth = std::max(depth, depth_of(item));
  if (depth >= kMaxValueDepth) {
    return Invalid(fmt::format("a value nests deeper than {} lists and dicts", kMaxValueDepth));
  }
  return depth + 1;
}

}  // namespace

Error Invalid(std::string message) {
  return Error{ErrorCode::kInvalidArgument, std::move(message)};
}

Status Budget::Spend(uint64_t steps) {
  if (steps > left_) {
    left_ = 0;
    return Invalid("the template takes too many steps");
  }
  left_ -= steps;
  return OkStatus();
}

Value Value::Missing(std::string_view name) {
  return Data(Undefined{std::make_shared<const std::string>(name)});
}

Value Value::Text(std::string text) {
  return Data(std::make_shared<const std::string>(std::move(text)));
}

int64_t Value::integer() const {
  return Is<bool>() ? int64_t{std::get<bool>(data_)} : std::get<int64_t>(data_);
}

double Value::number() const {
  return Is<double>() ? std::get<double>(data_) : static_cast<double>(integer());
}

std::string Value::KindName() const {
  if (const auto* undefined = std::get_if<Undefined>(&data_)) {
    if (undefined->name == nullptr) return "an undefined value";
    return fmt::format("undefined value '{}'", ShortName(*undefined->name));
  }
  constexpr const char* kNames[] = {"",     "none", "boolean",   "integer", "float",    "string",
                                    "list", "dict", "namespace", "macro",   "function", "method"};
  static_assert(std::size(kNames) == std::variant_size_v<Data>);
  return kNames[data_.index()];
}

bool Value::IsTrue() const {
  if (is_undefined() || is_none()) return false;
  if (is_number()) return number() != 0;
  if (is_text()) return !text().empty();
  if (is_list()) return !list().items.empty();
  if (is_dict()) return !dict().entries.empty();
  return true;
}

size_t Value::depth() const {
  if (is_list()) return list().depth;
  return is_dict() ? dict().depth : 0;
}

const Value* Dict::Find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name.is_text() && name.text() == key) return &value;
  }
  return nullptr;
}

Value* Namespace::Find(std::string_view name) {
  for (auto& [key, value] : entries) {
    if (key == name) return &value;
  }
  return nullptr;
}

Result<Value> MakeList(std::vector<Value> items, bool is_tuple) {
  ECQ_TRY(const size_t depth, NestedDepth(items, [](const Value& v) { return v.depth(); }));
  return Value(Value::Data(std::make_shared<const List>(List{std::move(items), is_tuple, depth})));
}

Result<Value> MakeDict(std::vector<std::pair<Value, Value>> entries) {
  ECQ_TRY(const size_t depth, NestedDepth(entries, [](const auto& entry) {
            return std::max(entry.first.depth(), entry.second.depth());
          }));
  return Value(Value::Data(std::make_shared<const Dict>(Dict{std::move(entries), depth})));
}

Result<bool> Equals(const Value& a, const Value& b, Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.Spend(1));
  if (a.is_integer() && b.is_integer()) return a.integer() == b.integer();
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  if (a.data().index() != b.data().index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (a.is_text()) {
    ECQ_RETURN_IF_ERROR(budget.SpendBytes(std::min(a.text().size(), b.text().size())));
    return a.text() == b.text();
  }
  if (a.is_list()) {
    const List& x = a.list();
    const List& y = b.list();
    if (x.is_tuple != y.is_tuple || x.items.size() != y.items.size()) return false;
    for (size_t i = 0; i < x.items.size(); ++i) {
      ECQ_TRY(const bool same, Equals(x.items[i], y.items[i], budget));
      if (!same) return false;
    }
    return true;
  }
  if (a.is_dict()) {
    if (a.dict().entries.size() != b.dict().entries.size()) return false;
    for (const auto& [key, value] : a.dict().entries) {
      ECQ_TRY(const Value* other, FindKey(b.dict(), key, budget));
      if (other == nullptr) return false;
      ECQ_TRY(const bool same, Equals(value, *other, budget));
      if (!same) return false;
    }
    return true;
  }
  if (a.Is<Namespace*>()) return std::get<Namespace*>(a.data()) == std::get<Namespace*>(b.data());
  return false;
}

Result<bool> Less(const Value& a, const Value& b, Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.Spend(1));
  if (a.is_integer() && b.is_integer()) return a.integer() < b.integer();
  if (a.is_number() && b.is_number()) return a.number() < b.number();
  if (a.is_text() && b.is_text()) {
    ECQ_RETURN_IF_ERROR(budget.SpendBytes(std::min(a.text().size(), b.text().size())));
    return a.text() < b.text();
  }
  if (a.is_list() && b.is_list()) {
    const auto& x = a.list().items;
    const auto& y = b.list().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      ECQ_TRY(const bool same, Equals(x[i], y[i], budget));
      if (!same) return Less(x[i], y[i], budget);
    }
    return x.size() < y.size();
  }
  return Invalid(fmt::format("cannot order {} and {}", a.KindName(), b.KindName()));
}

Result<const Value*> FindKey(const Dict& dict, const Value& key, Budget& budget) {
  for (const auto& [name, value] : dict.entries) {
    ECQ_TRY(const bool same, Equals(name, key, budget));
    if (same) return &value;
  }
  return static_cast<const Value*>(nullptr);
}

Status SetEntry(std::vector<std::pair<Value, Value>>& entries, Value key, Value value,
                Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.SpendItems(1));
  for (auto& [name, old] : entries) {
    ECQ_TRY(const bool same, Equals(name, key, budget));
    if (same) {
      old = std::move(value);
      return OkStatus();
    }
  }
  entries.emplace_back(std::move(key), std::move(value));
  return OkStatus();
}

Result<std::vector<Value>> Iterate(const Value& value, Budget& budget) {
  std::vector<Value> items;
  if (value.is_undefined()) return items;
  if (value.is_list()) {
    ECQ_RETURN_IF_ERROR(budget.SpendItems(value.list().items.size()));
    return value.list().items;
  }
  if (value.is_dict()) {
    ECQ_RETURN_IF_ERROR(budget.SpendItems(value.dict().entries.size()));
    for (const auto& entry : value.dict().entries) items.push_back(entry.first);
    return items;
  }
  if (value.is_text()) {
    ECQ_RETURN_IF_ERROR(budget.SpendItems(value.text().size()));
    for (std::string_view rest = value.text(); !rest.empty();) {
      const size_t size = CharacterSize(rest);
      items.push_back(Value::Text(std::string(rest.substr(0, size))));
      rest.remove_prefix(size);
    }
    return items;
  }
  return Invalid(fmt::format("cannot iterate over {}", value.KindName()));
}

}  // namespace ecq::chat

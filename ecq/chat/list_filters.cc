// Filters over lists and dicts.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "ecq/chat/builtins.h"
#include "ecq/chat/python_text.h"
#include "ecq/chat/value_text.h"

namespace ecq::chat {
namespace {

Result<Value> Length(const Call& call) {
  const Value& self = call.self;
  size_t length = 0;
  if (self.is_text()) {
    ECQ_RETURN_IF_ERROR(call.budget.SpendBytes(self.text().size()));
    length = CountCharacters(self.text());
  } else if (self.is_list()) {
    length = self.list().items.size();
  } else if (self.is_dict()) {
    length = self.dict().entries.size();
  } else if (!self.is_undefined()) {
    return Invalid(fmt::format("{} has no length", self.KindName()));
  }
  return Value::Int(static_cast<int64_t>(length));
}

// The part of `item` that a dotted name such as "function.name" or "0" means.
Result<Value> Attribute(Value item, std::string_view name, Budget& budget) {
  for (const std::string_view part : Split(name, ".", -1)) {
    int64_t index = 0;
    const auto end = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_index = end.ec == std::errc() && end.ptr == part.data() + part.size();
    ECQ_TRY(item,
            GetItem(item, is_index ? Value::Int(index) : Value::Text(std::string(part)), budget));
  }
  return item;
}

// As Attribute(), for an argument that is a name, a number, or none: the item itself.
Result<Value> AttributeOf(const Value& item, const Value* attribute, Budget& budget) {
  if (attribute == nullptr || attribute->is_none()) return item;
  if (attribute->is_text()) return Attribute(item, attribute->text(), budget);
  return GetItem(item, *attribute, budget);
}

Result<Value> JoinFilter(const Call& call) {
  ECQ_TRY(std::vector<Value> items, Iterate(call.self, call.budget));
  ECQ_TRY(const std::string_view separator, call.Text(0, ""));
  for (Value& item : items) {
    ECQ_TRY(item, AttributeOf(item, call.parameters[1], call.budget));
  }
  ECQ_TRY(std::string text, Join(items, separator, call.budget));
  return Value::Text(std::move(text));
}

Result<Value> ListFilter(const Call& call) {
  ECQ_TRY(std::vector<Value> items, Iterate(call.self, call.budget));
  return MakeList(std::move(items));
}

Result<Value> First(const Call& call) {
  ECQ_TRY(const std::vector<Value> items, Iterate(call.self, call.budget));
  return items.empty() ? Value::Missing("first") : items.front();
}

Result<Value> Last(const Call& call) {
  ECQ_TRY(const std::vector<Value> items, Iterate(call.self, call.budget));
  return items.empty() ? Value::Missing("last") : items.back();
}

Result<Value> Reverse(const Call& call) {
  ECQ_TRY(std::vector<Value> items, Iterate(call.self, call.budget));
  std::reverse(items.begin(), items.end());
  if (!call.self.is_text()) return MakeList(std::move(items));
  ECQ_TRY(std::string text, Join(items, "", call.budget));
  return Value::Text(std::move(text));
}

Result<Value> Items(const Call& call) { return DictItems(call.self, call.budget); }

Result<Value> Attr(const Call& call) {
  ECQ_TRY(const std::string_view name, call.Text(0, ""));
  if (call.self.is_dict()) return Value::Missing(name);  // attributes are methods only
  return GetAttribute(call.self, name, call.budget);
}

// The order of sort, min, max and unique: without case unless asked for.
Result<Value> SortKey(const Value& item, const Value* attribute, bool case_sensitive,
                      Budget& budget) {
  ECQ_TRY(Value key, AttributeOf(item, attribute, budget));
  if (case_sensitive || !key.is_text()) return key;
  return MakeText(ToLower(key.text()), budget);
}

// Sorts by the first of each pair. Less() can fail, so its first error is kept.
Status SortPairs(std::vector<std::pair<Value, Value>>& pairs, bool reverse, Budget& budget) {
  Status status = OkStatus();
  const auto less = [&](const auto& a, const auto& b) {
    if (!status.ok()) return false;
    Result<bool> is_less =
        reverse ? Less(b.first, a.first, budget) : Less(a.first, b.first, budget);
    if (is_less.ok()) return *is_less;
    status = is_less.error();
    return false;
  };
  // A merge sort, which bears an order that is none: NaN, or one cut off by an error.
  std::stable_sort(pairs.begin(), pairs.end(), less);
  return status;
}

Result<Value> Seconds(std::vector<std::pair<Value, Value>> pairs) {
  std::vector<Value> items;
  for (auto& pair : pairs) items.push_back(std::move(pair.second));
  return MakeList(std::move(items));
}

Result<std::vector<std::pair<Value, Value>>> WithKeys(const Call& call, const Value* attribute,
                                                      bool case_sensitive) {
  ECQ_TRY(const std::vector<Value> items, Iterate(call.self, call.budget));
  std::vector<std::pair<Value, Value>> pairs;
  for (const Value& item : items) {
    ECQ_TRY(Value key, SortKey(item, attribute, case_sensitive, call.budget));
    pairs.emplace_back(std::move(key), item);
  }
  return pairs;
}

Result<Value> Sort(const Call& call) {
  ECQ_TRY(auto pairs, WithKeys(call, call.parameters[2], call.Flag(1, false)));
  ECQ_RETURN_IF_ERROR(SortPairs(pairs, call.Flag(0, false), call.budget));
  return Seconds(std::move(pairs));
}

Result<Value> Dictsort(const Call& call) {
  if (!call.self.is_dict()) {
    return Invalid(fmt::format("'dictsort' needs a dict, got {}", call.self.KindName()));
  }
  ECQ_TRY(const std::string_view by, call.Text(1, "key"));
  if (by != "key" && by != "value") return Invalid("'dictsort' takes by='key' or by='value'");
  std::vector<std::pair<Value, Value>> pairs;
  for (const auto& [key, value] : call.self.dict().entries) {
    ECQ_RETURN_IF_ERROR(call.budget.SpendItems(2));
    ECQ_TRY(Value order,
            SortKey(by == "key" ? key : value, nullptr, call.Flag(0, false), call.budget));
    ECQ_TRY(Value item, MakeList({key, value}, /*is_tuple=*/true));
    pairs.emplace_back(std::move(order), std::move(item));
  }
  ECQ_RETURN_IF_ERROR(SortPairs(pairs, call.Flag(2, false), call.budget));
  return Seconds(std::move(pairs));
}

Result<Value> Extreme(const Call& call, bool largest) {
  ECQ_TRY(auto pairs, WithKeys(call, call.parameters[1], call.Flag(0, false)));
  if (pairs.empty()) return Value::Missing(largest ? "max" : "min");
  size_t best = 0;
  for (size_t i = 1; i < pairs.size(); ++i) {
    const Value& a = pairs[largest ? best : i].first;
    const Value& b = pairs[largest ? i : best].first;
    ECQ_TRY(const bool better, Less(a, b, call.budget));
    if (better) best = i;
  }
  return pairs[best].second;
}

Result<Value> Min(const Call& call) { return Extreme(call, /*largest=*/false); }
Result<Value> Max(const Call& call) { return Extreme(call, /*largest=*/true); }

Result<Value> Unique(const Call& call) {
  ECQ_TRY(auto pairs, WithKeys(call, call.parameters[1], call.Flag(0, false)));
  std::vector<std::pair<Value, Value>> kept;
  for (auto& pair : pairs) {
    bool is_new = true;
    for (size_t i = 0; i < kept.size() && is_new; ++i) {
      ECQ_TRY(const bool same, Equals(kept[i].first, pair.first, call.budget));
      is_new = !same;
    }
    if (is_new) kept.push_back(std::move(pair));
  }
  return Seconds(std::move(kept));
}

Result<Value> Sum(const Call& call) {
  ECQ_TRY(const std::vector<Value> items, Iterate(call.self, call.budget));
  Value sum = call.Given(1) ? *call.parameters[1] : Value::Int(0);
  for (const Value& item : items) {
    ECQ_TRY(const Value term, AttributeOf(item, call.parameters[0], call.budget));
    ECQ_TRY(sum, Arithmetic("+", sum, term, call.budget));
  }
  return sum;
}

// What map and select run over: nothing for a value that is false, such as none.
Result<std::vector<Value>> IterateIfTrue(const Value& value, Budget& budget) {
  if (!value.IsTrue()) return std::vector<Value>();
  return Iterate(value, budget);
}

// The arguments behind the first `count`, with the named ones.
Arguments Rest(const Arguments& arguments, size_t count) {
  Arguments rest;
  const auto& all = arguments.positional;
  rest.positional.assign(all.begin() + static_cast<ptrdiff_t>(std::min(count, all.size())),
                         all.end());
  rest.named = arguments.named;
  return rest;
}

// The unnamed argument `index`, which must be a string.
Result<std::string> NameArgument(const Call& call, size_t index) {
  const auto& all = call.arguments.positional;
  if (index >= all.size() || !all[index].is_text()) {
    return Invalid(fmt::format("expected a string as argument {}", index + 1));
  }
  return all[index].text();
}

Result<Value> MapAttribute(const Call& call) {
  const Value* attribute = nullptr;
  const Value* otherwise = nullptr;
  for (const auto& [name, value] : call.arguments.named) {
    if (name == "attribute") {
      attribute = &value;
    } else if (name == "default") {
      otherwise = &value;
    } else {
      return Invalid(fmt::format("'map' has no argument '{}'", ShortName(name)));
    }
  }
  if (attribute == nullptr) return Invalid("'map' needs a filter or an attribute");
  ECQ_TRY(std::vector<Value> items, IterateIfTrue(call.self, call.budget));
  for (Value& item : items) {
    ECQ_TRY(item, AttributeOf(item, attribute, call.budget));
    if (item.is_undefined() && otherwise != nullptr) item = *otherwise;
  }
  return MakeList(std::move(items));
}

Result<Value> Map(const Call& call) {
  if (call.arguments.positional.empty()) return MapAttribute(call);
  ECQ_TRY(const std::string name, NameArgument(call, 0));
  const Arguments rest = Rest(call.arguments, 1);
  ECQ_TRY(std::vector<Value> items, IterateIfTrue(call.self, call.budget));
  for (Value& item : items) {
    ECQ_TRY(item, ApplyFilter(name, item, rest, call.budget));
  }
  return MakeList(std::move(items));
}

// Keeps the items, or those whose attribute, for which a test gives `wanted`.
Result<Value> SelectItems(const Call& call, bool by_attribute, bool wanted) {
  const size_t at = by_attribute ? 1 : 0;
  std::string attribute;
  if (by_attribute) {
    ECQ_TRY(attribute, NameArgument(call, 0));
  }
  std::string test;
  if (call.arguments.positional.size() > at) {
    ECQ_TRY(test, NameArgument(call, at));
  }
  const Arguments rest = Rest(call.arguments, at + 1);
  ECQ_TRY(const std::vector<Value> items, IterateIfTrue(call.self, call.budget));
  std::vector<Value> kept;
  for (const Value& item : items) {
    Value subject = item;
    if (by_attribute) {
      ECQ_TRY(subject, Attribute(item, attribute, call.budget));
    }
    bool passes = subject.IsTrue();
    if (!test.empty()) {
      ECQ_TRY(passes, ApplyTest(test, subject, rest, call.budget));
    }
    if (passes == wanted) kept.push_back(item);
  }
  return MakeList(std::move(kept));
}

template <bool kByAttribute, bool kWanted>
Result<Value> SelectFilter(const Call& call) {
  return SelectItems(call, kByAttribute, kWanted);
}

}  // namespace

Result<Value> DictItems(const Value& dict, Budget& budget) {
  std::vector<Value> items;
  if (dict.is_undefined()) return MakeList(std::move(items));
  if (!dict.is_dict()) {
    return Invalid(fmt::format("'items' needs a dict, got {}", dict.KindName()));
  }
  ECQ_RETURN_IF_ERROR(budget.SpendItems(3 * dict.dict().entries.size()));
  for (const auto& [key, value] : dict.dict().entries) {
    ECQ_TRY(Value item, MakeList({key, value}, /*is_tuple=*/true));
    items.push_back(std::move(item));
  }
  return MakeList(std::move(items));
}

const std::vector<Builtin>& ListFilters() {
  static const std::vector<Builtin> kTable{
      {"length", {}, Length},
      {"count", {}, Length},
      {"join", {"d", "attribute"}, JoinFilter},
      {"list", {}, ListFilter},
      {"first", {}, First},
      {"last", {}, Last},
      {"reverse", {}, Reverse},
      {"items", {}, Items},
      {"attr", {"name!"}, Attr},
      {"sort", {"reverse", "case_sensitive", "attribute"}, Sort},
      {"dictsort", {"case_sensitive", "by", "reverse"}, Dictsort},
      {"min", {"case_sensitive", "attribute"}, Min},
      {"max", {"case_sensitive", "attribute"}, Max},
      {"unique", {"case_sensitive", "attribute"}, Unique},
      {"sum", {"attribute", "start"}, Sum},
      {"map", {"*"}, Map},
      {"select", {"*"}, SelectFilter<false, true>},
      {"reject", {"*"}, SelectFilter<false, false>},
      {"selectattr", {"*"}, SelectFilter<true, true>},
      {"rejectattr", {"*"}, SelectFilter<true, false>},
  };
  return kTable;
}

}  // namespace ecq::chat

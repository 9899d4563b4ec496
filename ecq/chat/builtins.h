// The filters, tests and methods that templates can use.
#pragma once

#include <array>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/chat/value.h"

namespace ecq::chat {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

inline constexpr size_t kMaxParameters = 4;

// One call of a filter, test or method.
struct Call {
  Budget& budget;
  const Value& self;           // what it is applied to
  const Arguments& arguments;  // all of them, for those that take any number
  std::array<const Value*, kMaxParameters> parameters{};  // null: not given

  // Errors: kInvalidArgument for a parameter of another kind.
  Result<int64_t> Integer(size_t index, int64_t otherwise) const;
  Result<std::string_view> Text(size_t index, std::string_view otherwise) const;
  bool Flag(size_t index, bool otherwise) const;
  bool Given(size_t index) const { return parameters[index] != nullptr; }
};

// A row of a table of builtins.
struct Builtin {
  std::string_view name;
  // Names of the parameters, at most kMaxParameters; those that must be given come first and end
  // with '!'. "*": any number, unnamed or named.
  std::vector<std::string_view> parameters;
  Result<Value> (*run)(const Call& call);
};

// Binds `arguments` to the parameters of `builtin` and runs it.
// Errors: kInvalidArgument for arguments that do not fit, and those of the builtin.
Result<Value> RunBuiltin(const Builtin& builtin, const Value& self, const Arguments& arguments,
                         Budget& budget);

// Applies the filter or test `name`. Errors: also kInvalidArgument for an unknown name.
Result<Value> ApplyFilter(std::string_view name, const Value& self, const Arguments& arguments,
                          Budget& budget);
Result<bool> ApplyTest(std::string_view name, const Value& self, const Arguments& arguments,
                       Budget& budget);

// `object.name` and `object[key]`; undefined if there is none. Errors: kInvalidArgument for an
// undefined object.
Result<Value> GetAttribute(const Value& object, std::string_view name, Budget& budget);
Result<Value> GetItem(const Value& object, const Value& key, Budget& budget);
// `object[start:stop:step]`; each may be none.
Result<Value> GetSlice(const Value& object, const Value& start, const Value& stop,
                       const Value& step, Budget& budget);
Result<Value> CallMethod(const Method& method, const Arguments& arguments, Budget& budget);

// `a op b` for + - * / // % **. Errors: kInvalidArgument for kinds or sizes that it cannot take.
Result<Value> Arithmetic(std::string_view op, const Value& a, const Value& b, Budget& budget);
// `item in container`
Result<bool> Contains(const Value& container, const Value& item, Budget& budget);

// The rows of the tables.
const std::vector<Builtin>& TextFilters();
const std::vector<Builtin>& ListFilters();
const std::vector<Builtin>& TextMethods();
const std::vector<Builtin>& ListMethods();
const std::vector<Builtin>& DictMethods();
const Builtin* FindBuiltin(const std::vector<Builtin>& table, std::string_view name);

// What several of them share.
Result<Value> MakeText(std::string_view text, Budget& budget);
Result<Value> TextList(const std::vector<std::string_view>& parts, Budget& budget);
Result<Value> DictItems(const Value& dict, Budget& budget);
Result<std::string> Join(const std::vector<Value>& items, std::string_view separator,
                         Budget& budget);
Result<Value> FormatBraces(std::string_view format, const Arguments& arguments, Budget& budget);

}  // namespace ecq::chat

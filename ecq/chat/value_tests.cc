// The tests of templates: `value is name(...)`.
#include <fmt/format.h>

#include <array>

#include "ecq/chat/builtins.h"
#include "ecq/chat/python_text.h"
#include "ecq/chat/value_text.h"

namespace ecq::chat {
namespace {

bool IsBool(const Value& v, bool wanted) { return v.Is<bool>() && v.IsTrue() == wanted; }
bool IsSequence(const Value& v) {
  return v.is_list() || v.is_text() || v.is_dict() || v.is_undefined();
}

struct KindTest {
  std::string_view name;
  bool (*holds)(const Value& value);
};

constexpr std::array kKindTests{
    KindTest{"defined", [](const Value& v) { return !v.is_undefined(); }},
    KindTest{"undefined", [](const Value& v) { return v.is_undefined(); }},
    KindTest{"none", [](const Value& v) { return v.is_none(); }},
    KindTest{"string", [](const Value& v) { return v.is_text(); }},
    KindTest{"mapping", [](const Value& v) { return v.is_dict(); }},
    KindTest{"iterable", IsSequence},
    KindTest{"sequence", IsSequence},
    KindTest{"number", [](const Value& v) { return v.is_number(); }},
    KindTest{"integer", [](const Value& v) { return v.Is<int64_t>(); }},
    KindTest{"float", [](const Value& v) { return v.Is<double>(); }},
    KindTest{"boolean", [](const Value& v) { return v.Is<bool>(); }},
    KindTest{"true", [](const Value& v) { return IsBool(v, true); }},
    KindTest{"false", [](const Value& v) { return IsBool(v, false); }},
    KindTest{"callable", [](const Value& v) { return v.is_callable(); }},
};

struct OrderTest {
  std::string_view name;
  bool swaps;
  bool negates;
};

// Each through `a < b`.
constexpr std::array<OrderTest, 10> kOrderTests{{{"lt", false, false},
                                                 {"lessthan", false, false},
                                                 {"<", false, false},
                                                 {"gt", true, false},
                                                 {"greaterthan", true, false},
                                                 {">", true, false},
                                                 {"ge", false, true},
                                                 {">=", false, true},
                                                 {"le", true, true},
                                                 {"<=", true, true}}};

Result<int64_t> NeedsInteger(const Value& value) {
  if (value.is_integer()) return value.integer();
  return Invalid(fmt::format("the test needs an integer, got {}", value.KindName()));
}

Result<bool> HasCase(const Value& self, bool upper, Budget& budget) {
  ECQ_TRY(const std::string text, ToText(self, budget));
  const bool has_letters = ToUpper(text) != ToLower(text);
  return has_letters && (upper ? ToUpper(text) : ToLower(text)) == text;
}

Result<bool> TestWithoutArguments(std::string_view name, const Value& self, Budget& budget) {
  for (const KindTest& test : kKindTests) {
    if (test.name == name) return test.holds(self);
  }
  if (name == "odd" || name == "even") {
    ECQ_TRY(const int64_t value, NeedsInteger(self));
    return (value % 2 != 0) == (name == "odd");
  }
  if (name == "upper" || name == "lower") return HasCase(self, name == "upper", budget);
  return Invalid(fmt::format("there is no test '{}' without arguments", ShortName(name)));
}

}  // namespace

Result<bool> ApplyTest(std::string_view name, const Value& self, const Arguments& arguments,
                       Budget& budget) {
  ECQ_RETURN_IF_ERROR(budget.Spend(1));
  if (!arguments.named.empty()) return Invalid("tests take no named arguments");
  if (arguments.positional.empty()) return TestWithoutArguments(name, self, budget);
  const Value& other = arguments.positional[0];
  if (arguments.positional.size() == 1) {
    if (name == "eq" || name == "equalto" || name == "==") return Equals(self, other, budget);
    if (name == "ne" || name == "!=") {
      ECQ_TRY(const bool same, Equals(self, other, budget));
      return !same;
    }
    if (name == "in") return Contains(other, self, budget);
    if (name == "sameas") {
      if (self.data().index() != other.data().index()) return false;
      return Equals(self, other, budget);
    }
    if (name == "divisibleby") {
      ECQ_TRY(const int64_t value, NeedsInteger(self));
      ECQ_TRY(const int64_t divisor, NeedsInteger(other));
      if (divisor == 0) return Invalid("division by 0");
      return divisor == -1 || value % divisor == 0;
    }
    for (const OrderTest& test : kOrderTests) {
      if (test.name != name) continue;
      ECQ_TRY(const bool less, test.swaps ? Less(other, self, budget) : Less(self, other, budget));
      return less != test.negates;
    }
  }
  return Invalid(fmt::format("there is no test '{}' with {} arguments", ShortName(name),
                             arguments.positional.size()));
}

}  // namespace ecq::chat

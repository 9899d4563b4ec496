// Arithmetic and membership of template values.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "ecq/chat/builtins.h"
#include "ecq/chat/value_text.h"

namespace ecq::chat {
namespace {

Error Overflow() { return Invalid("the result does not fit an integer of 64 bits"); }

// Rounds down, as Python does. Pre: b is not 0; not the one overflow.
int64_t FloorDivide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

Result<Value> Power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return Invalid("0 has no negative power");
    return Value::Float(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  if (base == 0 || base == 1) return Value::Int(exponent == 0 ? 1 : base);
  if (base == -1) return Value::Int(exponent % 2 == 0 ? 1 : -1);
  if (exponent > 63) return Overflow();
  int64_t result = 1;
  for (int64_t i = 0; i < exponent; ++i) {
    if (__builtin_mul_overflow(result, base, &result)) return Overflow();
  }
  return Value::Int(result);
}

Result<Value> Integers(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  if (op == "+") {
    if (__builtin_add_overflow(a, b, &result)) return Overflow();
  } else if (op == "-") {
    if (__builtin_sub_overflow(a, b, &result)) return Overflow();
  } else if (op == "*") {
    if (__builtin_mul_overflow(a, b, &result)) return Overflow();
  } else if (op == "**") {
    return Power(a, b);
  } else {
    if (b == 0) return Invalid("division by 0");
    if (op == "/") return Value::Float(static_cast<double>(a) / static_cast<double>(b));
    if (b == -1) {
      if (op == "%") return Value::Int(0);
      if (a == std::numeric_limits<int64_t>::min()) return Overflow();
    }
    const int64_t quotient = FloorDivide(a, b);
    result = op == "//" ? quotient : a - quotient * b;
  }
  return Value::Int(result);
}

Result<Value> Floats(std::string_view op, double a, double b) {
  if (op == "+") return Value::Float(a + b);
  if (op == "-") return Value::Float(a - b);
  if (op == "*") return Value::Float(a * b);
  if (op == "**") return Value::Float(std::pow(a, b));
  if (b == 0) return Invalid("division by 0");
  if (op == "/") return Value::Float(a / b);
  const double quotient = std::floor(a / b);
  return Value::Float(op == "//" ? quotient : a - quotient * b);
}

// A text or list `count` times.
Result<Value> Repeat(const Value& value, int64_t count, Budget& budget) {
  const uint64_t times = static_cast<uint64_t>(std::max<int64_t>(count, 0));
  if (value.is_text()) {
    const uint64_t size = value.text().size();
    if (size > 0 && times > kMaxTextBytes / size) {
      return Invalid("the template builds a text of more than 16 MiB");
    }
    ECQ_RETURN_IF_ERROR(budget.SpendBytes(size * times));
    std::string out;
    for (uint64_t i = 0; i < times && size > 0; ++i) out += value.text();
    return Value::Text(std::move(out));
  }
  const auto& items = value.list().items;
  if (!items.empty() && times > kMaxTextBytes / items.size()) {
    return Invalid("the template builds too long a list");
  }
  ECQ_RETURN_IF_ERROR(budget.SpendItems(items.size() * times));
  std::vector<Value> out;
  for (uint64_t i = 0; i < times && !items.empty(); ++i) {
    out.insert(out.end(), items.begin(), items.end());
  }
  return MakeList(std::move(out), value.list().is_tuple);
}

}  // namespace

Result<Value> Arithmetic(std::string_view op, const Value& a, const Value& b, Budget& budget) {
  if (a.is_integer() && b.is_integer()) return Integers(op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return Floats(op, a.number(), b.number());
  if (op == "+" && a.is_text() && b.is_text()) {
    const std::string& x = a.text();
    const std::string& y = b.text();
    if (x.size() + y.size() > kMaxTextBytes) {
      return Invalid("the template builds a text of more than 16 MiB");
    }
    ECQ_RETURN_IF_ERROR(budget.SpendBytes(x.size() + y.size()));
    return Value::Text(x + y);
  }
  if (op == "+" && a.is_list() && b.is_list() && a.list().is_tuple == b.list().is_tuple) {
    ECQ_RETURN_IF_ERROR(budget.SpendItems(a.list().items.size() + b.list().items.size()));
    std::vector<Value> items = a.list().items;
    items.insert(items.end(), b.list().items.begin(), b.list().items.end());
    return MakeList(std::move(items), a.list().is_tuple);
  }
  if (op == "*" && (a.is_text() || a.is_list()) && b.is_integer()) {
    return Repeat(a, b.integer(), budget);
  }
  if (op == "*" && a.is_integer() && (b.is_text() || b.is_list())) {
    return Repeat(b, a.integer(), budget);
  }
  if (op == "%" && a.is_text()) {
    const bool several = b.is_list() && b.list().is_tuple;
    ECQ_TRY(std::string text,
            FormatPercent(a.text(), several ? b.list().items : std::vector<Value>{b}, budget));
    return Value::Text(std::move(text));
  }
  return Invalid(fmt::format("cannot compute {} {} {}", a.KindName(), op, b.KindName()));
}

Result<bool> Contains(const Value& container, const Value& item, Budget& budget) {
  if (container.is_text()) {
    if (!item.is_text()) {
      return Invalid(fmt::format("'in' a string needs a string, got {}", item.KindName()));
    }
    ECQ_RETURN_IF_ERROR(budget.SpendBytes(container.text().size() + item.text().size()));
    return container.text().find(item.text()) != std::string::npos;
  }
  if (container.is_dict()) {
    ECQ_TRY(const Value* value, FindKey(container.dict(), item, budget));
    return value != nullptr;
  }
  if (container.is_undefined()) return false;
  if (!container.is_list()) {
    return Invalid(fmt::format("cannot look for something in {}", container.KindName()));
  }
  for (const Value& candidate : container.list().items) {
    ECQ_TRY(const bool same, Equals(candidate, item, budget));
    if (same) return true;
  }
  return false;
}

}  // namespace ecq::chat

// Expressions and calls of a running template.
#include <fmt/format.h>

#include <algorithm>

#include "ecq/chat/expression_parser.h"
#include "ecq/chat/interpreter.h"
#include "ecq/chat/python_text.h"
#include "ecq/chat/value_text.h"

namespace ecq::chat {
namespace {

constexpr int64_t kMaxRange = 100000;

// The value of a function's only argument. Errors: kInvalidArgument for another number of them.
Result<std::string> OnlyText(std::string_view function, const Arguments& arguments,
                             Budget& budget) {
  if (arguments.positional.size() != 1 || !arguments.named.empty()) {
    return Invalid(fmt::format("'{}' takes one argument", function));
  }
  return ToText(arguments.positional[0], budget);
}

}  // namespace

Result<Value> Interpreter::Eval(const Expr& expr) {
  const NestingGuard nesting(depth_);
  if (depth_ > kMaxRunDepth) {
    return Located(expr.line, Invalid("the template nests too deeply"));
  }
  Result<Value> value = EvalKind(expr);
  if (!value.ok()) return Located(expr.line, value.error());
  return value;
}

Result<Value> Interpreter::EvalKind(const Expr& expr) {
  ECQ_RETURN_IF_ERROR(budget_.Spend(1));
  switch (expr.kind) {
    case ExprKind::kLiteral:
      return expr.value;
    case ExprKind::kName:
      return EvalName(expr.name);
    case ExprKind::kCaptured:
      return captured_;
    case ExprKind::kAttribute: {
      ECQ_TRY(const Value object, Eval(*expr.operands[0]));
      return GetAttribute(object, expr.name, budget_);
    }
    case ExprKind::kSubscript: {
      ECQ_TRY(const Value object, Eval(*expr.operands[0]));
      ECQ_TRY(const Value key, Eval(*expr.operands[1]));
      return GetItem(object, key, budget_);
    }
    case ExprKind::kSlice:
      return EvalSlice(expr);
    case ExprKind::kCall:
      return EvalCall(expr);
    case ExprKind::kFilter: {
      ECQ_TRY(const Value subject, Eval(*expr.operands[0]));
      ECQ_TRY(const Arguments arguments, EvalArguments(expr));
      return ApplyFilter(expr.name, subject, arguments, budget_);
    }
    case ExprKind::kTest: {
      ECQ_TRY(const Value subject, Eval(*expr.operands[0]));
      ECQ_TRY(const Arguments arguments, EvalArguments(expr));
      ECQ_TRY(const bool holds, ApplyTest(expr.name, subject, arguments, budget_));
      return Value(holds);
    }
    case ExprKind::kNot:
    case ExprKind::kNegate:
    case ExprKind::kPlus:
      return EvalSign(expr);
    case ExprKind::kAnd:
    case ExprKind::kOr:
      return EvalLogic(expr);
    case ExprKind::kConditional:
      return EvalConditional(expr);
    case ExprKind::kBinary: {
      ECQ_TRY(const Value a, Eval(*expr.operands[0]));
      ECQ_TRY(const Value b, Eval(*expr.operands[1]));
      return Arithmetic(expr.name, a, b, budget_);
    }
    case ExprKind::kCompare:
      return EvalCompare(expr);
    case ExprKind::kConcat:
      return EvalConcat(expr);
    case ExprKind::kList:
    case ExprKind::kTuple:
    case ExprKind::kDict:
      return EvalItems(expr);
  }
  return Error{ErrorCode::kInternal, "unknown expression"};
}

Result<Value> Interpreter::EvalName(std::string_view name) {
  for (Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    ECQ_RETURN_IF_ERROR(budget_.Spend(1));
    if (const Value* value = scope->Find(name); value != nullptr) return *value;
    if (name == "loop" && scope->loop_items != nullptr) return LoopValue(*scope);
  }
  constexpr std::pair<std::string_view, Function> kFunctions[] = {
      {"range", Function::kRange},
      {"namespace", Function::kNamespace},
      {"dict", Function::kDict},
      {"raise_exception", Function::kRaiseException},
      {"strftime_now", Function::kStrftimeNow}};
  for (const auto& [known, function] : kFunctions) {
    if (known == name) return Value(Value::Data(function));
  }
  return Value::Missing(name);
}

Result<Value> Interpreter::LoopValue(const Scope& scope) {
  const auto& items = *scope.loop_items;
  const int64_t length = static_cast<int64_t>(items.size());
  const size_t at = scope.loop_index;
  const int64_t index = static_cast<int64_t>(at);
  ECQ_RETURN_IF_ERROR(budget_.SpendItems(9));
  const auto entry = [](const char* name, Value value) {
    return std::pair(Value::Text(name), std::move(value));
  };
  return MakeDict(
      {entry("index", Value::Int(index + 1)), entry("index0", Value::Int(index)),
       entry("revindex", Value::Int(length - index)),
       entry("revindex0", Value::Int(length - index - 1)), entry("first", Value(at == 0)),
       entry("last", Value(at + 1 == items.size())), entry("length", Value::Int(length)),
       entry("previtem", at > 0 ? items[at - 1] : Value::Missing("previtem")),
       entry("nextitem", at + 1 < items.size() ? items[at + 1] : Value::Missing("nextitem"))});
}

Result<Value> Interpreter::EvalSlice(const Expr& expr) {
  ECQ_TRY(const Value object, Eval(*expr.operands[0]));
  Value bounds[3];
  for (size_t i = 0; i < 3; ++i) {
    bounds[i] = Value::NoneValue();
    if (expr.operands[i + 1] != nullptr) {
      ECQ_TRY(bounds[i], Eval(*expr.operands[i + 1]));
    }
  }
  return GetSlice(object, bounds[0], bounds[1], bounds[2], budget_);
}

Result<Value> Interpreter::EvalConditional(const Expr& expr) {
  ECQ_TRY(const Value condition, Eval(*expr.operands[1]));
  if (condition.IsTrue()) return Eval(*expr.operands[0]);
  if (expr.operands[2] != nullptr) return Eval(*expr.operands[2]);
  return Value::Missing("else");
}

Result<Value> Interpreter::EvalLogic(const Expr& expr) {
  ECQ_TRY(Value left, Eval(*expr.operands[0]));
  if (left.IsTrue() == (expr.kind == ExprKind::kOr)) return left;
  return Eval(*expr.operands[1]);
}

Result<Value> Interpreter::EvalSign(const Expr& expr) {
  ECQ_TRY(const Value operand, Eval(*expr.operands[0]));
  if (expr.kind == ExprKind::kNot) return Value(!operand.IsTrue());
  if (!operand.is_number()) {
    return Invalid(fmt::format("a sign needs a number, got {}", operand.KindName()));
  }
  if (operand.Is<double>()) {
    return Value::Float(expr.kind == ExprKind::kPlus ? operand.number() : -operand.number());
  }
  return Arithmetic(expr.kind == ExprKind::kPlus ? "+" : "-", Value::Int(0), operand, budget_);
}

Result<bool> Interpreter::Compare(std::string_view op, const Value& a, const Value& b) {
  if (op == "in" || op == "not in") {
    ECQ_TRY(const bool contains, Contains(b, a, budget_));
    return contains == (op == "in");
  }
  if (op == "==" || op == "!=") {
    ECQ_TRY(const bool same, Equals(a, b, budget_));
    return same == (op == "==");
  }
  if (op == "<" || op == ">") return op == "<" ? Less(a, b, budget_) : Less(b, a, budget_);
  ECQ_TRY(const bool less, op == "<=" ? Less(b, a, budget_) : Less(a, b, budget_));
  return !less;
}

Result<Value> Interpreter::EvalCompare(const Expr& expr) {
  ECQ_TRY(Value left, Eval(*expr.operands[0]));
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    ECQ_TRY(Value right, Eval(*expr.operands[i + 1]));
    ECQ_TRY(const bool holds, Compare(expr.operators[i], left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Interpreter::EvalConcat(const Expr& expr) {
  std::vector<Value> parts;
  for (const Expr* operand : expr.operands) {
    ECQ_TRY(Value part, Eval(*operand));
    parts.push_back(std::move(part));
  }
  ECQ_TRY(std::string text, Join(parts, "", budget_));
  return Value::Text(std::move(text));
}

Result<Value> Interpreter::EvalItems(const Expr& expr) {
  ECQ_RETURN_IF_ERROR(budget_.SpendItems(expr.operands.size()));
  std::vector<Value> items;
  for (const Expr* operand : expr.operands) {
    ECQ_TRY(Value item, Eval(*operand));
    items.push_back(std::move(item));
  }
  if (expr.kind != ExprKind::kDict) {
    return MakeList(std::move(items), expr.kind == ExprKind::kTuple);
  }
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i < items.size(); i += 2) {
    ECQ_RETURN_IF_ERROR(SetEntry(entries, std::move(items[i]), std::move(items[i + 1]), budget_));
  }
  return MakeDict(std::move(entries));
}

Result<Arguments> Interpreter::EvalArguments(const Expr& expr) {
  Arguments arguments;
  for (size_t i = 1; i < expr.operands.size(); ++i) {
    ECQ_TRY(Value value, Eval(*expr.operands[i]));
    arguments.positional.push_back(std::move(value));
  }
  for (const auto& [name, operand] : expr.named) {
    ECQ_TRY(Value value, Eval(*operand));
    arguments.named.emplace_back(name, std::move(value));
  }
  return arguments;
}

Result<Value> Interpreter::EvalCall(const Expr& expr) {
  const Expr& target = *expr.operands[0];
  if (target.kind == ExprKind::kAttribute && target.name == "cycle" &&
      target.operands[0]->kind == ExprKind::kName && target.operands[0]->name == "loop") {
    ECQ_TRY(const Arguments items, EvalArguments(expr));
    return Cycle(items);
  }
  ECQ_TRY(const Value callee, Eval(target));
  if (!callee.is_callable()) return Invalid(fmt::format("cannot call {}", callee.KindName()));
  ECQ_TRY(const Arguments arguments, EvalArguments(expr));
  if (const auto* macro = std::get_if<Macro>(&callee.data())) return CallMacro(*macro, arguments);
  if (const auto* function = std::get_if<Function>(&callee.data())) {
    return CallFunction(*function, arguments);
  }
  return CallMethod(*std::get<std::shared_ptr<const Method>>(callee.data()), arguments, budget_);
}

Result<Value> Interpreter::Cycle(const Arguments& arguments) {
  const Scope* scope = scope_;
  while (scope != nullptr && scope->loop_items == nullptr) scope = scope->parent;
  if (scope == nullptr) return Invalid("'loop' is used outside a loop");
  if (arguments.positional.empty()) return Invalid("'cycle' needs arguments");
  return arguments.positional[scope->loop_index % arguments.positional.size()];
}

Result<Value> Interpreter::CallFunction(Function function, const Arguments& arguments) {
  switch (function) {
    case Function::kRange:
      return Range(arguments);
    case Function::kNamespace:
      return NewNamespace(arguments);
    case Function::kDict: {
      if (!arguments.positional.empty()) return Invalid("'dict' takes named arguments only");
      std::vector<std::pair<Value, Value>> entries;
      for (const auto& [name, value] : arguments.named) {
        ECQ_RETURN_IF_ERROR(SetEntry(entries, Value::Text(name), value, budget_));
      }
      return MakeDict(std::move(entries));
    }
    case Function::kRaiseException: {
      ECQ_TRY(const std::string message, OnlyText("raise_exception", arguments, budget_));
      return Invalid(message);
    }
    case Function::kStrftimeNow: {
      ECQ_TRY(const std::string format, OnlyText("strftime_now", arguments, budget_));
      ECQ_TRY(std::string text, FormatTime(format, now_));
      return Value::Text(std::move(text));
    }
  }
  return Error{ErrorCode::kInternal, "unknown function"};
}

Result<Value> Interpreter::Range(const Arguments& arguments) {
  const auto& given = arguments.positional;
  if (given.empty() || given.size() > 3 || !arguments.named.empty()) {
    return Invalid("'range' takes one to three integers");
  }
  for (const Value& value : given) {
    if (!value.is_integer()) {
      return Invalid(fmt::format("'range' takes integers, got {}", value.KindName()));
    }
  }
  const int64_t start = given.size() > 1 ? given[0].integer() : 0;
  const int64_t stop = given[given.size() > 1 ? 1 : 0].integer();
  const int64_t step = given.size() > 2 ? given[2].integer() : 1;
  if (step == 0) return Invalid("the step of a range is 0");
  std::vector<Value> items;
  for (int64_t at = start; step > 0 ? at < stop : at > stop;) {
    if (static_cast<int64_t>(items.size()) == kMaxRange) {
      return Invalid(fmt::format("a range has more than {} items", kMaxRange));
    }
    items.push_back(Value::Int(at));
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  ECQ_RETURN_IF_ERROR(budget_.SpendItems(items.size()));
  return MakeList(std::move(items));
}

Result<Value> Interpreter::NewNamespace(const Arguments& arguments) {
  auto space = std::make_unique<Namespace>();
  for (const Value& dict : arguments.positional) {
    if (!dict.is_dict()) return Invalid("'namespace' takes a dict or named arguments");
    for (const auto& [key, value] : dict.dict().entries) {
      if (key.is_text()) space->entries.emplace_back(key.text(), value);
    }
  }
  for (const auto& entry : arguments.named) space->entries.push_back(entry);
  ECQ_RETURN_IF_ERROR(budget_.SpendItems(4 + space->entries.size()));
  namespaces_.push_back(std::move(space));
  return Value(Value::Data(namespaces_.back().get()));
}

Result<Value> Interpreter::CallMacro(const Macro& macro, const Arguments& arguments) {
  const MacroNode& node = *macro.node;
  const auto fail = [&](std::string_view what) {
    return Invalid(fmt::format("macro '{}' {}", ShortName(node.name), what));
  };
  if (arguments.positional.size() > node.parameters.size()) {
    return fail(fmt::format("takes at most {} arguments", node.parameters.size()));
  }
  BlockScope block(*this, macro.scope);
  Scope& scope = block.scope();
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    scope.Set(node.parameters[i], arguments.positional[i]);
  }
  for (const auto& [name, value] : arguments.named) {
    if (std::find(node.parameters.begin(), node.parameters.end(), name) == node.parameters.end()) {
      return fail(fmt::format("has no parameter '{}'", ShortName(name)));
    }
    if (scope.Find(name) != nullptr) {
      return fail(fmt::format("gets its parameter '{}' twice", ShortName(name)));
    }
    scope.Set(name, value);
  }
  const size_t first_default = node.parameters.size() - node.defaults.size();
  for (size_t i = 0; i < node.parameters.size(); ++i) {
    if (scope.Find(node.parameters[i]) != nullptr) continue;
    Value value = Value::Missing(node.parameters[i]);
    if (i >= first_default) {
      ECQ_TRY(value, Eval(*node.defaults[i - first_default]));
    }
    scope.Set(node.parameters[i], std::move(value));
  }
  ECQ_TRY(std::string text, Capture(node.body));
  return Value::Text(std::move(text));
}

}  // namespace ecq::chat

// Statements of a running template.
#include "ecq/chat/interpreter.h"

#include <fmt/format.h>

#include "ecq/chat/expression_parser.h"
#include "ecq/chat/lexer.h"
#include "ecq/chat/python_text.h"
#include "ecq/chat/value_text.h"

namespace ecq::chat {

Value* Scope::Find(std::string_view name) {
  for (auto& [key, value] : variables) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Scope::Set(std::string_view name, Value value) {
  if (Value* old = Find(name); old != nullptr) {
    *old = std::move(value);
  } else {
    variables.emplace_back(std::string(name), std::move(value));
  }
}

Interpreter::Interpreter(std::vector<std::pair<std::string, Value>> variables, const std::tm& now,
                         uint64_t max_steps)
    : budget_(max_steps), now_(now) {
  root_.variables = std::move(variables);
}

Result<std::string> Interpreter::Run(const Tree& tree) { return Capture(tree.body); }

Error Interpreter::Located(int line, Error error) {
  if (std::exchange(located_, true)) return error;
  return Error{error.code, AtLine(line, error.message).message};
}

Status Interpreter::Print(std::string_view text) {
  ECQ_RETURN_IF_ERROR(budget_.SpendBytes(text.size()));
  if (text.size() > kMaxTextBytes - out_->size()) {
    return Invalid("the template writes more than 16 MiB");
  }
  out_->append(text);
  return OkStatus();
}

Result<std::string> Interpreter::Capture(const Body& body) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  const Result<Flow> flow = ExecBody(body);
  out_ = outer;
  if (!flow.ok()) return flow.error();
  return text;
}

Result<Interpreter::Flow> Interpreter::ExecBody(const Body& body) {
  for (const Stmt* stmt : body) {
    Result<Flow> flow = Exec(*stmt);
    if (!flow.ok()) return Located(stmt->line, flow.error());
    if (*flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::Exec(const Stmt& stmt) {
  const NestingGuard nesting(depth_);
  if (depth_ > kMaxRunDepth) return Invalid("the template nests too deeply");
  ECQ_RETURN_IF_ERROR(budget_.Spend(1));
  switch (stmt.kind) {
    case StmtKind::kText:
      ECQ_RETURN_IF_ERROR(Print(stmt.text));
      return Flow::kNext;
    case StmtKind::kPrint: {
      ECQ_TRY(const Value value, Eval(*stmt.expression));
      if (value.is_text()) {
        ECQ_RETURN_IF_ERROR(Print(value.text()));
        return Flow::kNext;
      }
      ECQ_TRY(const std::string text, ToText(value, budget_));
      ECQ_RETURN_IF_ERROR(Print(text));
      return Flow::kNext;
    }
    case StmtKind::kIf:
      return ExecIf(stmt);
    case StmtKind::kFor:
      return ExecFor(stmt);
    case StmtKind::kScope:
      return ExecScope(stmt);
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
    case StmtKind::kSet:
      ECQ_RETURN_IF_ERROR(ExecSet(stmt));
      return Flow::kNext;
    case StmtKind::kSetBlock:
    case StmtKind::kFilter:
      ECQ_RETURN_IF_ERROR(ExecCapture(stmt));
      return Flow::kNext;
    case StmtKind::kMacro:
      ECQ_RETURN_IF_ERROR(DefineMacro(stmt));
      return Flow::kNext;
  }
  return Error{ErrorCode::kInternal, "unknown statement"};
}

Result<Interpreter::Flow> Interpreter::ExecIf(const Stmt& stmt) {
  for (const Branch& branch : stmt.branches) {
    if (branch.condition != nullptr) {
      ECQ_TRY(const Value condition, Eval(*branch.condition));
      if (!condition.IsTrue()) continue;
    }
    return ExecBody(branch.body);
  }
  return Flow::kNext;
}

Result<std::vector<Value>> Interpreter::LoopItems(const Stmt& stmt) {
  ECQ_TRY(const Value iterable, Eval(*stmt.expression));
  ECQ_TRY(std::vector<Value> items, Iterate(iterable, budget_));
  if (stmt.filter == nullptr) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    BlockScope block(*this, scope_);
    ECQ_RETURN_IF_ERROR(Unpack(stmt.targets, item));
    ECQ_TRY(const Value keeps, Eval(*stmt.filter));
    if (keeps.IsTrue()) kept.push_back(std::move(item));
  }
  return kept;
}

Result<Interpreter::Flow> Interpreter::ExecFor(const Stmt& stmt) {
  ECQ_TRY(const std::vector<Value> items, LoopItems(stmt));
  for (size_t i = 0; i < items.size(); ++i) {
    ECQ_RETURN_IF_ERROR(budget_.Spend(1));
    BlockScope block(*this, scope_);
    block.scope().loop_items = &items;
    block.scope().loop_index = i;
    ECQ_RETURN_IF_ERROR(Unpack(stmt.targets, items[i]));
    const Result<Flow> flow = ExecBody(stmt.branches[0].body);
    block.scope().loop_items = nullptr;  // a macro may keep the scope, but not the items
    if (!flow.ok()) return flow.error();
    if (*flow == Flow::kBreak) break;
  }
  if (items.empty() && stmt.branches.size() > 1) {
    BlockScope block(*this, scope_);
    return ExecBody(stmt.branches[1].body);
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::ExecScope(const Stmt& stmt) {
  std::vector<std::pair<std::string, Value>> variables;
  for (const auto& [name, expr] : stmt.assignments) {
    ECQ_TRY(Value value, Eval(*expr));
    variables.emplace_back(name, std::move(value));
  }
  BlockScope block(*this, scope_);
  block.scope().variables = std::move(variables);
  return ExecBody(stmt.branches[0].body);
}

Status Interpreter::Unpack(const std::vector<std::string>& targets, const Value& value) {
  if (targets.size() == 1) {
    scope_->Set(targets[0], value);
    return OkStatus();
  }
  ECQ_TRY(const std::vector<Value> items, Iterate(value, budget_));
  if (items.size() != targets.size()) {
    return Invalid(
        fmt::format("cannot assign {} values to {} variables", items.size(), targets.size()));
  }
  for (size_t i = 0; i < items.size(); ++i) scope_->Set(targets[i], items[i]);
  return OkStatus();
}

Status Interpreter::Assign(const Stmt& stmt, Value value) {
  if (stmt.attribute.empty()) return Unpack(stmt.targets, value);
  ECQ_TRY(const Value target, EvalName(stmt.targets[0]));
  if (!target.Is<Namespace*>()) {
    return Invalid(fmt::format("cannot set an attribute of '{}': it is {}, not a namespace",
                               ShortName(stmt.targets[0]), target.KindName()));
  }
  Namespace& space = *std::get<Namespace*>(target.data());
  ECQ_RETURN_IF_ERROR(budget_.Spend(1 + space.entries.size()));
  if (Value* old = space.Find(stmt.attribute); old != nullptr) {
    *old = std::move(value);
  } else {
    space.entries.emplace_back(stmt.attribute, std::move(value));
  }
  return OkStatus();
}

Status Interpreter::ExecSet(const Stmt& stmt) {
  ECQ_TRY(Value value, Eval(*stmt.expression));
  return Assign(stmt, std::move(value));
}

// A block whose text is filtered, then assigned or printed.
Status Interpreter::ExecCapture(const Stmt& stmt) {
  std::string text;
  {
    BlockScope block(*this, scope_);
    ECQ_TRY(text, Capture(stmt.branches[0].body));
  }
  const Value outer = std::exchange(captured_, Value::Text(std::move(text)));
  Result<Value> value = Eval(*stmt.expression);
  captured_ = outer;
  if (!value.ok()) return value.error();
  if (stmt.kind == StmtKind::kSetBlock) return Assign(stmt, std::move(*value));
  ECQ_TRY(const std::string filtered, ToText(*value, budget_));
  return Print(filtered);
}

// Costs what the scopes do that it may keep.
Status Interpreter::DefineMacro(const Stmt& stmt) {
  ECQ_RETURN_IF_ERROR(budget_.Spend(64));
  for (Scope* scope = scope_; scope != nullptr && !scope->captured; scope = scope->parent) {
    scope->captured = true;
  }
  scope_->Set(stmt.macro.name, Value(Value::Data(Macro{&stmt.macro, scope_})));
  return OkStatus();
}

}  // namespace ecq::chat

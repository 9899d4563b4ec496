// Runs a parsed chat template.
#pragma once

#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/chat/ast.h"
#include "ecq/chat/builtins.h"

namespace ecq::chat {

// The variables of a block, and those around it.
struct Scope {
  Scope* parent = nullptr;
  bool captured = false;  // a macro was defined here or further inside and may outlive the block
  std::vector<std::pair<std::string, Value>> variables;
  const std::vector<Value>* loop_items = nullptr;  // of a loop's block
  size_t loop_index = 0;

  Value* Find(std::string_view name);
  void Set(std::string_view name, Value value);
};

// Values and calls nest at most so deep in a running template.
inline constexpr int kMaxRunDepth = 200;

class Interpreter {
 public:
  Interpreter(std::vector<std::pair<std::string, Value>> variables, const std::tm& now,
              uint64_t max_steps);

  // Errors: kInvalidArgument; messages start with the line.
  Result<std::string> Run(const Tree& tree);

 private:
  enum class Flow : uint8_t { kNext, kBreak, kContinue };
  class BlockScope;

  Result<Flow> ExecBody(const Body& body);
  Result<Flow> Exec(const Stmt& stmt);
  Result<Flow> ExecIf(const Stmt& stmt);
  Result<Flow> ExecFor(const Stmt& stmt);
  Result<Flow> ExecScope(const Stmt& stmt);
  Status ExecSet(const Stmt& stmt);
  Status ExecCapture(const Stmt& stmt);
  Status DefineMacro(const Stmt& stmt);
  // The items of a `for` that its condition keeps.
  Result<std::vector<Value>> LoopItems(const Stmt& stmt);
  Status Assign(const Stmt& stmt, Value value);
  Status Unpack(const std::vector<std::string>& targets, const Value& value);
  Result<std::string> Capture(const Body& body);
  Status Print(std::string_view text);

  Result<Value> Eval(const Expr& expr);
  Result<Value> EvalKind(const Expr& expr);
  Result<Value> EvalName(std::string_view name);
  Result<Value> EvalSlice(const Expr& expr);
  Result<Value> EvalCall(const Expr& expr);
  Result<Value> EvalConditional(const Expr& expr);
  Result<Value> EvalLogic(const Expr& expr);
  Result<Value> EvalSign(const Expr& expr);
  Result<Value> EvalCompare(const Expr& expr);
  Result<Value> EvalConcat(const Expr& expr);
  Result<Value> EvalItems(const Expr& expr);
  Result<bool> Compare(std::string_view op, const Value& a, const Value& b);
  Result<Arguments> EvalArguments(const Expr& expr);

  Result<Value> CallFunction(Function function, const Arguments& arguments);
  Result<Value> CallMacro(const Macro& macro, const Arguments& arguments);
  Result<Value> Range(const Arguments& arguments);
  Result<Value> NewNamespace(const Arguments& arguments);
  Result<Value> LoopValue(const Scope& scope);
  Result<Value> Cycle(const Arguments& arguments);

  // Puts the line of the innermost expression or statement in front of an error's message.
  Error Located(int line, Error error);

  Budget budget_;
  std::tm now_;
  Scope root_;
  Scope* scope_ = &root_;
  std::string* out_ = nullptr;
  Value captured_;  // the text of the block whose filters are running
  int depth_ = 0;
  bool located_ = false;
  std::vector<std::unique_ptr<Scope>> kept_scopes_;
  std::vector<std::unique_ptr<Namespace>> namespaces_;
};

// A scope inside another one for as long as this lives; longer if a macro needs it.
class Interpreter::BlockScope {
 public:
  BlockScope(Interpreter& interpreter, Scope* parent)
      : interpreter_(interpreter), before_(interpreter.scope_), scope_(new Scope) {
    scope_->parent = parent;
    interpreter_.scope_ = scope_.get();
  }
  ~BlockScope() {
    interpreter_.scope_ = before_;
    if (scope_->captured) interpreter_.kept_scopes_.push_back(std::move(scope_));
  }
  BlockScope(const BlockScope&) = delete;
  BlockScope& operator=(const BlockScope&) = delete;

  Scope& scope() { return *scope_; }

 private:
  Interpreter& interpreter_;
  Scope* before_;
  std::unique_ptr<Scope> scope_;
};

}  // namespace ecq::chat

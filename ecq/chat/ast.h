// A parsed chat template: statements and expressions, all owned by one Tree.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ecq/chat/value.h"

namespace ecq::chat {

enum class ExprKind : uint8_t {
  kLiteral,      // value
  kName,         // name
  kCaptured,     // the text of the surrounding block, for its filters
  kAttribute,    // operands[0].name
  kSubscript,    // operands[0][operands[1]]
  kSlice,        // operands[0][operands[1]:operands[2]:operands[3]], each but the first may be null
  kCall,         // operands[0](the rest, named)
  kFilter,       // operands[0] | name(the rest, named)
  kTest,         // operands[0] is name(the rest, named)
  kNot,          // not operands[0]
  kNegate,       // -operands[0]
  kPlus,         // +operands[0]
  kAnd,          // operands[0] and operands[1]
  kOr,           // operands[0] or operands[1]
  kConditional,  // operands[0] if operands[1] else operands[2], which may be null
  kBinary,       // operands[0] name operands[1]
  kCompare,      // operands[0] operators[0] operands[1] operators[1] operands[2] ...
  kConcat,       // operands joined as text
  kList,
  kTuple,
  kDict,  // key, value, key, value, ...
};

struct Expr {
  ExprKind kind;
  int line;
  std::string name;
  Value value;
  std::vector<const Expr*> operands;
  std::vector<std::pair<std::string, const Expr*>> named;
  std::vector<std::string> operators;
};

struct Stmt;
using Body = std::vector<const Stmt*>;

struct MacroNode {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<const Expr*> defaults;  // of the last parameters
  Body body;
};

enum class StmtKind : uint8_t {
  kText,      // text
  kPrint,     // expression
  kIf,        // branches, the last one perhaps without a condition
  kFor,       // targets, expression, filter; branches[0], and branches[1] if there is nothing
  kSet,       // targets, or name.attribute; expression
  kSetBlock,  // the same; branches[0], expression over kCaptured
  kMacro,     // macro
  kBreak,
  kContinue,
  kScope,   // assignments, then branches[0], with variables of their own
  kFilter,  // branches[0], expression over kCaptured
};

struct Branch {
  const Expr* condition;  // null: always
  Body body;
};

struct Stmt {
  StmtKind kind;
  int line;
  std::string text;
  std::vector<std::string> targets;  // several: unpacked
  std::string attribute;             // of the namespace targets[0]; "" for a variable
  const Expr* expression = nullptr;
  const Expr* filter = nullptr;
  std::vector<Branch> branches;
  std::vector<std::pair<std::string, const Expr*>> assignments;
  MacroNode macro;
};

struct Tree {
  std::deque<Expr> exprs;
  std::deque<Stmt> stmts;
  Body body;
};

}  // namespace ecq::chat

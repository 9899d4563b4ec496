// Expressions of chat templates.
#include "ecq/chat/expression_parser.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "ecq/chat/parser.h"
#include "ecq/chat/python_text.h"

namespace ecq::chat {
namespace {

std::string Describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd:
      return "the end of the template";
    case TokenKind::kVariableEnd:
      return "'}}'";
    case TokenKind::kBlockEnd:
      return "'%}'";
    case TokenKind::kString:
      return fmt::format("the string '{}'", ShortName(token.text));
    default:
      return fmt::format("'{}'", ShortName(token.text));
  }
}

}  // namespace

Error ExpressionParser::Unexpected(std::string_view expected) const {
  return AtLine(token().line, fmt::format("expected {}, got {}", expected, Describe(token())));
}

Status ExpressionParser::Expect(TokenKind kind) {
  if (token().kind != kind) {
    return Unexpected(kind == TokenKind::kBlockEnd ? "'%}'" : "'}}'");
  }
  Next();
  return OkStatus();
}

Status ExpressionParser::CheckDepth() const {
  if (depth_ <= kMaxParseDepth) return OkStatus();
  return AtLine(token().line, fmt::format("nested deeper than {} levels", kMaxParseDepth));
}

Expr* ExpressionParser::New(ExprKind kind, std::vector<const Expr*> operands) {
  tree_.exprs.push_back({});
  Expr* expr = &tree_.exprs.back();
  expr->kind = kind;
  expr->line = operands.empty() ? token().line : operands[0]->line;
  expr->operands = std::move(operands);
  return expr;
}

Result<const Expr*> ExpressionParser::Expression() {
  ECQ_TRY(Expr * expr, Conditional());
  return static_cast<const Expr*>(expr);
}

Result<const Expr*> ExpressionParser::Tuple(Parse element) {
  ECQ_TRY(Expr * first, (this->*element)());
  if (!IsOperator(",")) return static_cast<const Expr*>(first);
  Expr* tuple = New(ExprKind::kTuple, {first});
  while (TakeOperator(",")) {
    if (token().kind == TokenKind::kBlockEnd || token().kind == TokenKind::kVariableEnd) break;
    ECQ_TRY(const Expr* item, (this->*element)());
    tuple->operands.push_back(item);
  }
  return static_cast<const Expr*>(tuple);
}

Result<const Expr*> ExpressionParser::TupleOrExpression() {
  return Tuple(&ExpressionParser::Conditional);
}

Result<const Expr*> ExpressionParser::TupleOrOr() { return Tuple(&ExpressionParser::Or); }

Result<const Expr*> ExpressionParser::FiltersOfCaptured() {
  ECQ_TRY(Expr * expr, Filters(New(ExprKind::kCaptured)));
  return static_cast<const Expr*>(expr);
}

Result<const Expr*> ExpressionParser::FilterBlockChain() {
  ECQ_TRY(Expr * first, Filter(New(ExprKind::kCaptured)));
  ECQ_TRY(Expr * expr, Filters(first));
  return static_cast<const Expr*>(expr);
}

Result<Expr*> ExpressionParser::Conditional() {
  const NestingGuard nesting(depth_);
  ECQ_RETURN_IF_ERROR(CheckDepth());
  ECQ_TRY(Expr * expr, Or());
  while (TakeName("if")) {
    ECQ_TRY(const Expr* condition, Or());
    const Expr* otherwise = nullptr;
    if (TakeName("else")) {
      ECQ_TRY(otherwise, Conditional());
    }
    expr = New(ExprKind::kConditional, {expr, condition, otherwise});
  }
  return expr;
}

Result<Expr*> ExpressionParser::Or() {
  ECQ_TRY(Expr * left, And());
  while (TakeName("or")) {
    ECQ_TRY(const Expr* right, And());
    left = New(ExprKind::kOr, {left, right});
  }
  return left;
}

Result<Expr*> ExpressionParser::And() {
  ECQ_TRY(Expr * left, Not());
  while (TakeName("and")) {
    ECQ_TRY(const Expr* right, Not());
    left = New(ExprKind::kAnd, {left, right});
  }
  return left;
}

Result<Expr*> ExpressionParser::Not() {
  const NestingGuard nesting(depth_);
  ECQ_RETURN_IF_ERROR(CheckDepth());
  if (!TakeName("not")) return Comparison();
  ECQ_TRY(const Expr* operand, Not());
  return New(ExprKind::kNot, {operand});
}

Result<Expr*> ExpressionParser::Comparison() {
  ECQ_TRY(Expr * left, Sum());
  Expr* compare = nullptr;
  while (true) {
    std::string op;
    for (const std::string_view known : {"==", "!=", "<", "<=", ">", ">="}) {
      if (IsOperator(known)) op = known;
    }
    if (IsName("in")) op = "in";
    if (IsName("not") && at_ + 1 < tokens_.size() && tokens_[at_ + 1].kind == TokenKind::kName &&
        tokens_[at_ + 1].text == "in") {
      op = "not in";
      Next();
    }
    if (op.empty()) return compare != nullptr ? compare : left;
    Next();
    ECQ_TRY(const Expr* right, Sum());
    if (compare == nullptr) compare = New(ExprKind::kCompare, {left});
    compare->operators.push_back(std::move(op));
    compare->operands.push_back(right);
  }
}

Result<Expr*> ExpressionParser::Binary(Parse operand,
                                       std::initializer_list<std::string_view> operators) {
  ECQ_TRY(Expr * left, (this->*operand)());
  while (true) {
    std::string_view op;
    for (const std::string_view known : operators) {
      if (IsOperator(known)) op = known;
    }
    if (op.empty()) return left;
    Next();
    ECQ_TRY(const Expr* right, (this->*operand)());
    left = New(ExprKind::kBinary, {left, right});
    left->name = op;
  }
}

Result<Expr*> ExpressionParser::Sum() { return Binary(&ExpressionParser::Concat, {"+", "-"}); }

Result<Expr*> ExpressionParser::Concat() {
  ECQ_TRY(Expr * first, Product());
  if (!IsOperator("~")) return first;
  Expr* concat = New(ExprKind::kConcat, {first});
  while (TakeOperator("~")) {
    ECQ_TRY(const Expr* next, Product());
    concat->operands.push_back(next);
  }
  return concat;
}

Result<Expr*> ExpressionParser::Product() {
  return Binary(&ExpressionParser::Power, {"*", "/", "//", "%"});
}

Result<Expr*> ExpressionParser::Power() { return Binary(&ExpressionParser::Unary, {"**"}); }

Result<Expr*> ExpressionParser::Unary() {
  ECQ_TRY(Expr * expr, UnaryWithoutFilters());
  return Filters(expr);
}

Result<Expr*> ExpressionParser::UnaryWithoutFilters() {
  const NestingGuard nesting(depth_);
  ECQ_RETURN_IF_ERROR(CheckDepth());
  if (IsOperator("-") || IsOperator("+")) {
    const ExprKind kind = IsOperator("-") ? ExprKind::kNegate : ExprKind::kPlus;
    Next();
    ECQ_TRY(const Expr* operand, UnaryWithoutFilters());
    return New(kind, {operand});
  }
  ECQ_TRY(Expr * primary, Primary());
  return Postfix(primary);
}

Result<Expr*> ExpressionParser::Postfix(Expr* expr) {
  while (true) {
    if (TakeOperator(".")) {
      if (token().kind == TokenKind::kInteger) {
        ECQ_TRY(const Expr* index, Number());
        expr = New(ExprKind::kSubscript, {expr, index});
        continue;
      }
      if (token().kind != TokenKind::kName) return Unexpected("an attribute");
      expr = New(ExprKind::kAttribute, {expr});
      expr->name = token().text;
      Next();
    } else if (TakeOperator("[")) {
      ECQ_TRY(expr, Subscript(expr));
    } else if (IsOperator("(")) {
      expr = New(ExprKind::kCall, {expr});
      ECQ_RETURN_IF_ERROR(Arguments(*expr));
    } else {
      return expr;
    }
  }
}

Result<Expr*> ExpressionParser::Subscript(Expr* expr) {
  const Expr* parts[3] = {};
  size_t colons = 0;
  while (!TakeOperator("]")) {
    if (TakeOperator(":")) {
      if (++colons > 2) return Unexpected("']'");
      continue;
    }
    if (parts[colons] != nullptr) return Unexpected("']'");
    ECQ_TRY(parts[colons], Expression());
  }
  if (colons > 0) return New(ExprKind::kSlice, {expr, parts[0], parts[1], parts[2]});
  if (parts[0] == nullptr) return Unexpected("an index in front");
  return New(ExprKind::kSubscript, {expr, parts[0]});
}

Status ExpressionParser::Arguments(Expr& call) {
  Next();
  bool first = true;
  while (!TakeOperator(")")) {
    if (!std::exchange(first, false)) {
      if (!TakeOperator(",")) return Unexpected("',' or ')'");
      if (TakeOperator(")")) break;
    }
    if (IsOperator("*") || IsOperator("**")) {
      return AtLine(token().line, "'*' arguments are not supported in chat templates");
    }
    const bool is_named = token().kind == TokenKind::kName && at_ + 1 < tokens_.size() &&
                          tokens_[at_ + 1].kind == TokenKind::kOperator &&
                          tokens_[at_ + 1].text == "=";
    if (is_named) {
      std::string name = token().text;
      Next();
      Next();
      ECQ_TRY(const Expr* value, Expression());
      call.named.emplace_back(std::move(name), value);
    } else {
      if (!call.named.empty()) return Unexpected("a named argument");
      ECQ_TRY(const Expr* value, Expression());
      call.operands.push_back(value);
    }
  }
  return OkStatus();
}

Result<Expr*> ExpressionParser::Filters(Expr* expr) {
  while (true) {
    if (TakeOperator("|")) {
      ECQ_TRY(expr, Filter(expr));
    } else if (TakeName("is")) {
      ECQ_TRY(expr, Test(expr));
    } else if (IsOperator("(")) {
      expr = New(ExprKind::kCall, {expr});
      ECQ_RETURN_IF_ERROR(Arguments(*expr));
    } else {
      return expr;
    }
  }
}

Result<Expr*> ExpressionParser::Filter(Expr* subject) {
  if (token().kind != TokenKind::kName) return Unexpected("a filter");
  Expr* expr = New(ExprKind::kFilter, {subject});
  expr->line = token().line;
  expr->name = token().text;
  Next();
  if (IsOperator("(")) ECQ_RETURN_IF_ERROR(Arguments(*expr));
  return expr;
}

Result<Expr*> ExpressionParser::Test(Expr* subject) {
  const bool negated = TakeName("not");
  if (token().kind != TokenKind::kName) return Unexpected("a test");
  Expr* expr = New(ExprKind::kTest, {subject});
  expr->line = token().line;
  expr->name = token().text;
  Next();
  if (IsOperator("(")) {
    ECQ_RETURN_IF_ERROR(Arguments(*expr));
  } else {
    const TokenKind kind = token().kind;
    const bool is_operand = kind == TokenKind::kString || kind == TokenKind::kInteger ||
                            kind == TokenKind::kFloat || IsOperator("[") || IsOperator("{") ||
                            (kind == TokenKind::kName && !IsName("else") && !IsName("or") &&
                             !IsName("and") && !IsName("if") && !IsName("is"));
    if (IsName("is")) return Unexpected("no second test");
    if (is_operand) {
      ECQ_TRY(Expr * primary, Primary());
      ECQ_TRY(const Expr* operand, Postfix(primary));
      expr->operands.push_back(operand);
    }
  }
  return negated ? New(ExprKind::kNot, {expr}) : expr;
}

Result<Expr*> ExpressionParser::Primary() {
  if (token().kind == TokenKind::kInteger || token().kind == TokenKind::kFloat) return Number();
  if (token().kind == TokenKind::kString) {
    Expr* expr = New(ExprKind::kLiteral);
    std::string text;
    for (; token().kind == TokenKind::kString; Next()) text += token().text;
    expr->value = Value::Text(std::move(text));
    return expr;
  }
  if (token().kind == TokenKind::kName) {
    const std::string& name = token().text;
    Expr* expr = New(ExprKind::kLiteral);
    if (name == "true" || name == "True") {
      expr->value = true;
    } else if (name == "false" || name == "False") {
      expr->value = false;
    } else if (name == "none" || name == "None") {
      expr->value = Value::NoneValue();
    } else {
      expr->kind = ExprKind::kName;
      expr->name = name;
    }
    Next();
    return expr;
  }
  if (IsOperator("(")) return Parenthesized();
  if (IsOperator("[")) return ListLiteral();
  if (IsOperator("{")) return DictLiteral();
  return Unexpected("an expression");
}

Result<Expr*> ExpressionParser::Number() {
  Expr* expr = New(ExprKind::kLiteral);
  const std::string& text = token().text;
  if (token().kind == TokenKind::kInteger) {
    int64_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
      return Unexpected("an integer of 64 bits");
    }
    expr->value = Value::Int(value);
  } else {
    double value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
      return Unexpected("a number that fits a double");
    }
    expr->value = Value::Float(value);
  }
  Next();
  return expr;
}

Result<Expr*> ExpressionParser::Parenthesized() {
  Next();
  Expr* tuple = New(ExprKind::kTuple);
  if (TakeOperator(")")) return tuple;
  ECQ_TRY(Expr * first, Conditional());
  if (TakeOperator(")")) return first;
  tuple->operands.push_back(first);
  while (!TakeOperator(")")) {
    if (!TakeOperator(",")) return Unexpected("',' or ')'");
    if (TakeOperator(")")) break;
    ECQ_TRY(const Expr* item, Conditional());
    tuple->operands.push_back(item);
  }
  return tuple;
}

Result<Expr*> ExpressionParser::ListLiteral() {
  Expr* list = New(ExprKind::kList);
  Next();
  while (!TakeOperator("]")) {
    if (!list->operands.empty()) {
      if (!TakeOperator(",")) return Unexpected("',' or ']'");
      if (TakeOperator("]")) break;
    }
    ECQ_TRY(const Expr* item, Conditional());
    list->operands.push_back(item);
  }
  return list;
}

Result<Expr*> ExpressionParser::DictLiteral() {
  Expr* dict = New(ExprKind::kDict);
  Next();
  while (!TakeOperator("}")) {
    if (!dict->operands.empty()) {
      if (!TakeOperator(",")) return Unexpected("',' or '}'");
      if (TakeOperator("}")) break;
    }
    ECQ_TRY(const Expr* key, Conditional());
    if (!TakeOperator(":")) return Unexpected("':'");
    ECQ_TRY(const Expr* value, Conditional());
    dict->operands.push_back(key);
    dict->operands.push_back(value);
  }
  return dict;
}

}  // namespace ecq::chat

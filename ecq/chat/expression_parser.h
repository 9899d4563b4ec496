// Expressions of chat templates, by recursive descent with Jinja's precedences.
#pragma once

#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/chat/ast.h"
#include "ecq/chat/lexer.h"

namespace ecq::chat {

// Counts one level of nesting while it lives.
class NestingGuard {
 public:
  explicit NestingGuard(int& depth) : depth_(depth) { ++depth_; }
  ~NestingGuard() { --depth_; }
  NestingGuard(const NestingGuard&) = delete;
  NestingGuard& operator=(const NestingGuard&) = delete;

 private:
  int& depth_;
};

class ExpressionParser {
 public:
  // Both must outlive this; `tokens` ends with kEnd.
  ExpressionParser(Tree& tree, const std::vector<Token>& tokens) : tree_(tree), tokens_(tokens) {}

  const Token& token() const { return tokens_[at_]; }
  void Next() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  bool IsName(std::string_view name) const {
    return token().kind == TokenKind::kName && token().text == name;
  }
  bool IsOperator(std::string_view op) const {
    return token().kind == TokenKind::kOperator && token().text == op;
  }
  // Passes the token if it is that one.
  bool TakeName(std::string_view name) { return Take(IsName(name)); }
  bool TakeOperator(std::string_view op) { return Take(IsOperator(op)); }
  Status Expect(TokenKind kind);
  Error Unexpected(std::string_view expected) const;

  int& depth() { return depth_; }
  Status CheckDepth() const;

  // Errors of all: kInvalidArgument; messages start with the line.
  Result<const Expr*> Expression();         // with "a if b else c"
  Result<const Expr*> TupleOrExpression();  // also "a, b"
  Result<const Expr*> TupleOrOr();          // also "a, b", without "a if b else c"
  Result<const Expr*> FiltersOfCaptured();  // "| f | g", or nothing
  Result<const Expr*> FilterBlockChain();   // "f | g"

 private:
  using Parse = Result<Expr*> (ExpressionParser::*)();

  bool Take(bool matches) {
    if (matches) Next();
    return matches;
  }
  Expr* New(ExprKind kind, std::vector<const Expr*> operands = {});
  Result<const Expr*> Tuple(Parse element);

  Result<Expr*> Conditional();
  Result<Expr*> Or();
  Result<Expr*> And();
  Result<Expr*> Not();
  Result<Expr*> Comparison();
  Result<Expr*> Sum();
  Result<Expr*> Concat();
  Result<Expr*> Product();
  Result<Expr*> Power();
  Result<Expr*> Unary();
  Result<Expr*> UnaryWithoutFilters();
  Result<Expr*> Binary(Parse operand, std::initializer_list<std::string_view> operators);
  Result<Expr*> Postfix(Expr* expr);
  Result<Expr*> Filters(Expr* expr);
  Result<Expr*> Filter(Expr* subject);
  Result<Expr*> Test(Expr* subject);
  Result<Expr*> Primary();
  Result<Expr*> Number();
  Result<Expr*> Parenthesized();
  Result<Expr*> ListLiteral();
  Result<Expr*> DictLiteral();
  Result<Expr*> Subscript(Expr* expr);
  Status Arguments(Expr& call);

  Tree& tree_;
  const std::vector<Token>& tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace ecq::chat

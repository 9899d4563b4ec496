// Statements of chat templates.
#include "ecq/chat/parser.h"

#include <fmt/format.h>

#include <initializer_list>
#include <utility>

#include "ecq/chat/expression_parser.h"
#include "ecq/chat/lexer.h"
#include "ecq/chat/python_text.h"

namespace ecq::chat {
namespace {

class Parser {
 public:
  Parser(Tree& tree, std::vector<Token> tokens)
      : tree_(tree), tokens_(std::move(tokens)), exprs_(tree, tokens_) {}

  Status Run() {
    ECQ_TRY(tree_.body, Statements({}));
    return OkStatus();
  }

 private:
  using Ends = std::initializer_list<std::string_view>;

  Stmt* New(StmtKind kind) {
    tree_.stmts.push_back({});
    Stmt* stmt = &tree_.stmts.back();
    stmt->kind = kind;
    stmt->line = exprs_.token().line;
    return stmt;
  }

  // Statements up to the block tag that starts with one of `ends`, whose name is left as the
  // current token; up to the end of the template without `ends`.
  Result<Body> Statements(Ends ends) {
    const NestingGuard nesting(exprs_.depth());
    ECQ_RETURN_IF_ERROR(exprs_.CheckDepth());
    Body body;
    const int line = exprs_.token().line;
    while (true) {
      const Token& token = exprs_.token();
      if (token.kind == TokenKind::kEnd) {
        if (ends.size() == 0) return body;
        return AtLine(line, fmt::format("the block has no '{}'", *(ends.end() - 1)));
      }
      if (token.kind == TokenKind::kData) {
        Stmt* stmt = New(StmtKind::kText);
        stmt->text = token.text;
        body.push_back(stmt);
        exprs_.Next();
      } else if (token.kind == TokenKind::kVariableBegin) {
        exprs_.Next();
        Stmt* stmt = New(StmtKind::kPrint);
        ECQ_TRY(stmt->expression, exprs_.TupleOrExpression());
        ECQ_RETURN_IF_ERROR(exprs_.Expect(TokenKind::kVariableEnd));
        body.push_back(stmt);
      } else {
        exprs_.Next();
        if (exprs_.token().kind != TokenKind::kName) return exprs_.Unexpected("a block name");
        for (const std::string_view end : ends) {
          if (exprs_.token().text == end) return body;
        }
        ECQ_TRY(const Stmt* stmt, Block());
        body.push_back(stmt);
      }
    }
  }

  // Statements up to `end`, and its tag.
  Result<Body> StatementsThrough(std::string_view end) {
    ECQ_TRY(Body body, Statements({end}));
    exprs_.Next();
    if (end == "endmacro" && exprs_.token().kind == TokenKind::kName) exprs_.Next();
    ECQ_RETURN_IF_ERROR(EndOfTag());
    return body;
  }

  Status EndOfTag() { return exprs_.Expect(TokenKind::kBlockEnd); }

  Result<const Stmt*> Block() {
    const std::string name = exprs_.token().text;
    const int line = exprs_.token().line;
    exprs_.Next();
    if (name == "if") return If();
    if (name == "for") return For();
    if (name == "set") return Set();
    if (name == "macro") return MacroBlock();
    if (name == "break" || name == "continue") return LoopControl(name == "break", line);
    if (name == "generation" || name == "with") return ScopeBlock(name);
    if (name == "filter") return FilterBlock();
    for (const std::string_view known : {"call", "block", "extends", "include", "import", "from",
                                         "do", "autoescape", "trans", "debug"}) {
      if (name == known) {
        return AtLine(line, fmt::format("block '{}' is not supported in chat templates", name));
      }
    }
    return AtLine(line, fmt::format("unexpected block '{}'", ShortName(name)));
  }

  Result<const Stmt*> If() {
    Stmt* stmt = New(StmtKind::kIf);
    while (true) {
      ECQ_TRY(const Expr* condition, exprs_.TupleOrOr());
      ECQ_RETURN_IF_ERROR(EndOfTag());
      ECQ_TRY(Body body, Statements({"elif", "else", "endif"}));
      stmt->branches.push_back({condition, std::move(body)});
      const std::string end = exprs_.token().text;
      exprs_.Next();
      if (end == "elif") continue;
      ECQ_RETURN_IF_ERROR(EndOfTag());
      if (end == "else") {
        ECQ_TRY(Body otherwise, StatementsThrough("endif"));
        stmt->branches.push_back({nullptr, std::move(otherwise)});
      }
      return stmt;
    }
  }

  Result<const Stmt*> For() {
    Stmt* stmt = New(StmtKind::kFor);
    ECQ_TRY(stmt->targets, Targets());
    if (!exprs_.TakeName("in")) return exprs_.Unexpected("'in'");
    ECQ_TRY(stmt->expression, exprs_.TupleOrOr());
    if (exprs_.TakeName("if")) {
      ECQ_TRY(stmt->filter, exprs_.Expression());
    }
    if (exprs_.IsName("recursive")) {
      return AtLine(stmt->line, "recursive loops are not supported in chat templates");
    }
    ECQ_RETURN_IF_ERROR(EndOfTag());
    ++loops_;
    Result<Body> body = Statements({"else", "endfor"});
    --loops_;
    if (!body.ok()) return body.error();
    stmt->branches.push_back({nullptr, std::move(*body)});
    const bool has_else = exprs_.token().text == "else";
    exprs_.Next();
    ECQ_RETURN_IF_ERROR(EndOfTag());
    if (has_else) {
      ECQ_TRY(Body otherwise, StatementsThrough("endfor"));
      stmt->branches.push_back({nullptr, std::move(otherwise)});
    }
    return stmt;
  }

  // "x", or "a, b", perhaps in parentheses.
  Result<std::vector<std::string>> Targets() {
    std::vector<std::string> targets;
    const bool parentheses = exprs_.TakeOperator("(");
    do {
      if (exprs_.token().kind != TokenKind::kName) return exprs_.Unexpected("a variable");
      targets.push_back(exprs_.token().text);
      exprs_.Next();
    } while (exprs_.TakeOperator(","));
    if (parentheses && !exprs_.TakeOperator(")")) return exprs_.Unexpected("')'");
    return targets;
  }

  Result<const Stmt*> Set() {
    Stmt* stmt = New(StmtKind::kSet);
    ECQ_TRY(stmt->targets, Targets());
    if (stmt->targets.size() == 1 && exprs_.TakeOperator(".")) {
      if (exprs_.token().kind != TokenKind::kName) return exprs_.Unexpected("an attribute");
      stmt->attribute = exprs_.token().text;
      exprs_.Next();
    }
    if (exprs_.TakeOperator("=")) {
      ECQ_TRY(stmt->expression, exprs_.TupleOrExpression());
      ECQ_RETURN_IF_ERROR(EndOfTag());
      return stmt;
    }
    stmt->kind = StmtKind::kSetBlock;
    if (stmt->targets.size() != 1) return exprs_.Unexpected("'='");
    ECQ_TRY(stmt->expression, exprs_.FiltersOfCaptured());
    ECQ_RETURN_IF_ERROR(EndOfTag());
    ECQ_TRY(Body body, StatementsThrough("endset"));
    stmt->branches.push_back({nullptr, std::move(body)});
    return stmt;
  }

  Result<const Stmt*> MacroBlock() {
    Stmt* stmt = New(StmtKind::kMacro);
    MacroNode& macro = stmt->macro;
    if (exprs_.token().kind != TokenKind::kName) return exprs_.Unexpected("a macro name");
    macro.name = exprs_.token().text;
    exprs_.Next();
    if (!exprs_.TakeOperator("(")) return exprs_.Unexpected("'('");
    while (!exprs_.TakeOperator(")")) {
      if (!macro.parameters.empty() && !exprs_.TakeOperator(",")) return exprs_.Unexpected("','");
      if (exprs_.token().kind != TokenKind::kName) return exprs_.Unexpected("a parameter");
      macro.parameters.push_back(exprs_.token().text);
      exprs_.Next();
      if (exprs_.TakeOperator("=")) {
        ECQ_TRY(const Expr* value, exprs_.Expression());
        macro.defaults.push_back(value);
      } else if (!macro.defaults.empty()) {
        return exprs_.Unexpected("'=', as after the parameter before");
      }
    }
    ECQ_RETURN_IF_ERROR(EndOfTag());
    const int loops = std::exchange(loops_, 0);
    ECQ_TRY(macro.body, StatementsThrough("endmacro"));
    loops_ = loops;
    return stmt;
  }

  Result<const Stmt*> LoopControl(bool is_break, int line) {
    if (loops_ == 0) {
      return AtLine(line, fmt::format("'{}' outside a loop", is_break ? "break" : "continue"));
    }
    const Stmt* stmt = New(is_break ? StmtKind::kBreak : StmtKind::kContinue);
    ECQ_RETURN_IF_ERROR(EndOfTag());
    return stmt;
  }

  Result<const Stmt*> ScopeBlock(const std::string& name) {
    Stmt* stmt = New(StmtKind::kScope);
    while (name == "with" && exprs_.token().kind == TokenKind::kName) {
      std::string variable = exprs_.token().text;
      exprs_.Next();
      if (!exprs_.TakeOperator("=")) return exprs_.Unexpected("'='");
      ECQ_TRY(const Expr* value, exprs_.Expression());
      stmt->assignments.emplace_back(std::move(variable), value);
      if (!exprs_.TakeOperator(",")) break;
    }
    ECQ_RETURN_IF_ERROR(EndOfTag());
    ECQ_TRY(Body body, StatementsThrough("end" + name));
    stmt->branches.push_back({nullptr, std::move(body)});
    return stmt;
  }

  Result<const Stmt*> FilterBlock() {
    Stmt* stmt = New(StmtKind::kFilter);
    ECQ_TRY(stmt->expression, exprs_.FilterBlockChain());
    ECQ_RETURN_IF_ERROR(EndOfTag());
    ECQ_TRY(Body body, StatementsThrough("endfilter"));
    stmt->branches.push_back({nullptr, std::move(body)});
    return stmt;
  }

  Tree& tree_;
  std::vector<Token> tokens_;
  ExpressionParser exprs_;
  int loops_ = 0;  // that surround the current statement within its macro
};

}  // namespace

Result<std::unique_ptr<const Tree>> ParseTemplate(std::string_view source) {
  ECQ_TRY(std::vector<Token> tokens, Tokenize(source));
  auto tree = std::make_unique<Tree>();
  ECQ_RETURN_IF_ERROR(Parser(*tree, std::move(tokens)).Run());
  return std::unique_ptr<const Tree>(std::move(tree));
}

}  // namespace ecq::chat

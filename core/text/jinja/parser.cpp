#include "core/text/jinja/parser.h"

#include <algorithm>
#include <array>

#include "core/base/cat.h"
#include "core/text/jinja/expression_parser.h"
#include "core/text/jinja/lexer.h"

namespace apr::jinja {
namespace {

constexpr std::array<std::string_view, 12> kUnsupportedTags = {
    "include",    "import", "from", "extends", "block",    "call",
    "autoescape", "trans",  "do",   "debug",   "language", "pluralize"};

class Parser : private ExpressionParser {
 public:
  Parser(const Source& source, std::vector<Token> tokens)
      : ExpressionParser(source, std::move(tokens)) {}

  Result<std::vector<Statement>> run() {
    APR_ASSIGN(auto body, parse_body({}));
    if (peek().kind != TokenKind::end) {
      return error(peek(1).at, cat("{% ", peek(1).text, " %} has no beginning"));
    }
    return body;
  }

 private:
  /// Statements up to a block tag whose name is one of `ends` (left unread), or the end.
  Result<std::vector<Statement>> parse_body(std::initializer_list<std::string_view> ends) {
    const Nesting nesting(*this);
    if (nesting.too_deep()) return too_deep(peek().at);
    std::vector<Statement> body;
    while (true) {
      const Token& token = peek();
      if (token.kind == TokenKind::end) return body;
      if (token.kind == TokenKind::text) {
        Statement statement;
        statement.kind = StatementKind::text;
        statement.at = token.at;
        statement.value = Value::trusted(token.text);
        body.push_back(std::move(statement));
        ++next_;
        continue;
      }
      if (token.kind == TokenKind::output_begin) {
        Statement statement;
        statement.kind = StatementKind::output;
        statement.at = token.at;
        ++next_;
        APR_ASSIGN(statement.expr, parse_tuple(true));
        if (peek().kind != TokenKind::output_end) {
          return error(peek().at, cat("expected '}}' but found ", shown()));
        }
        ++next_;
        body.push_back(std::move(statement));
        continue;
      }
      const Token& name = peek(1);
      if (name.kind != TokenKind::name) return error(name.at, "expected the name of a tag");
      if (std::find(ends.begin(), ends.end(), name.text) != ends.end()) return body;
      if (ends.size() == 0 &&
          (name.text.starts_with("end") || name.text == "else" || name.text == "elif")) {
        return body;
      }
      ++next_;
      APR_ASSIGN(auto statement, parse_tag());
      body.push_back(std::move(statement));
    }
  }

  /// At the name of a block tag.
  Result<Statement> parse_tag() {
    const Token& name = peek();
    ++next_;
    if (name.text == "if") return parse_if(name.at);
    if (name.text == "for") return parse_for(name.at);
    if (name.text == "set") return parse_set(name.at);
    if (name.text == "macro") return parse_macro(name.at);
    if (name.text == "with") return parse_with(name.at);
    if (name.text == "filter") return parse_filter_block(name.at);
    if (name.text == "generation") {
      Statement statement = begin(StatementKind::group, name.at);
      APR_TRY(expect_block_end());
      APR_ASSIGN(statement.body, parse_body({"endgeneration"}));
      APR_TRY(close("endgeneration", name.at));
      return statement;
    }
    if (name.text == "break" || name.text == "continue") {
      if (loops_ == 0) return error(name.at, cat("{% ", name.text, " %} outside of a loop"));
      APR_TRY(expect_block_end());
      return begin(name.text == "break" ? StatementKind::leave : StatementKind::next, name.at);
    }
    if (std::find(kUnsupportedTags.begin(), kUnsupportedTags.end(), name.text) !=
        kUnsupportedTags.end()) {
      return unsupported(name.at, cat("{% ", name.text, " %}"));
    }
    if (name.text.starts_with("end") || name.text == "else" || name.text == "elif") {
      return error(name.at, cat("{% ", name.text, " %} has no beginning here"));
    }
    return error(name.at, cat("unknown tag {% ", name.text.substr(0, 40), " %}"));
  }

  static Statement begin(StatementKind kind, Offset at) {
    Statement statement;
    statement.kind = kind;
    statement.at = at;
    return statement;
  }
  /// Reads "{% name %}".
  Status close(std::string_view name, Offset begun) {
    if (peek().kind == TokenKind::end) {
      return error(begun, cat("this block is never closed"), cat("add {% ", name, " %}"));
    }
    next_ += 2;
    return expect_block_end();
  }

  Result<Statement> parse_if(Offset at) {
    Statement statement = begin(StatementKind::conditional, at);
    while (true) {
      Branch branch;
      APR_ASSIGN(branch.condition, parse_tuple(true));
      APR_TRY(expect_block_end());
      APR_ASSIGN(branch.body, parse_body({"elif", "else", "endif"}));
      statement.branches.push_back(std::move(branch));
      if (peek().kind == TokenKind::end || !is_name("elif", 1)) break;
      next_ += 2;
    }
    if (peek().kind != TokenKind::end && is_name("else", 1)) {
      next_ += 2;
      APR_TRY(expect_block_end());
      APR_ASSIGN(statement.other, parse_body({"endif"}));
    }
    APR_TRY(close("endif", at));
    return statement;
  }

  Result<Statement> parse_for(Offset at) {
    Statement statement = begin(StatementKind::loop, at);
    APR_ASSIGN(statement.targets, parse_targets(false));
    if (!skip_name("in")) return error(peek().at, cat("expected 'in' but found ", shown()));
    APR_ASSIGN(statement.expr, parse_tuple(false));
    if (skip_name("if")) {
      APR_ASSIGN(statement.condition, parse_expression());
    }
    if (is_name("recursive")) return unsupported(peek().at, "a recursive loop");
    APR_TRY(expect_block_end());
    ++loops_;
    APR_ASSIGN(statement.body, parse_body({"else", "endfor"}));
    --loops_;
    if (peek().kind != TokenKind::end && is_name("else", 1)) {
      next_ += 2;
      APR_TRY(expect_block_end());
      APR_ASSIGN(statement.other, parse_body({"endfor"}));
    }
    APR_TRY(close("endfor", at));
    return statement;
  }

  Result<std::vector<Target>> parse_targets(bool attributes) {
    std::vector<Target> targets;
    const bool bracketed = skip_symbol("(");
    do {
      if (!targets.empty() && (bracketed ? is_symbol(")") : peek().kind != TokenKind::name)) break;
      const Offset at = peek().at;
      Target target;
      APR_ASSIGN(target.name, expect_name("a variable's name"));
      if (is_constant(target.name)) return error(at, cat("cannot assign to ", target.name));
      if (attributes && skip_symbol(".")) {
        APR_ASSIGN(target.attribute, expect_name("an attribute's name"));
      }
      targets.push_back(std::move(target));
    } while (skip_symbol(","));
    if (bracketed) APR_TRY(expect_symbol(")"));
    return targets;
  }

  Result<Statement> parse_set(Offset at) {
    Statement statement = begin(StatementKind::set, at);
    APR_ASSIGN(statement.targets, parse_targets(true));
    if (skip_symbol("=")) {
      APR_ASSIGN(statement.expr, parse_tuple(true));
      APR_TRY(expect_block_end());
      return statement;
    }
    if (statement.targets.size() != 1) return error(peek().at, "expected '='");
    statement.kind = StatementKind::set_block;
    if (is_symbol("|")) {
      APR_ASSIGN(statement.expr, block_text(peek().at));
      APR_ASSIGN(statement.expr, parse_filters(std::move(statement.expr)));
    }
    APR_TRY(expect_block_end());
    APR_ASSIGN(statement.body, parse_body({"endset"}));
    APR_TRY(close("endset", at));
    return statement;
  }

  Result<ExprPtr> block_text(Offset at) { return make(ExprKind::name, at, {}, kBlockText); }

  Result<Statement> parse_filter_block(Offset at) {
    Statement statement = begin(StatementKind::filter_block, at);
    APR_ASSIGN(statement.expr, block_text(at));
    APR_ASSIGN(statement.expr, parse_filter(std::move(statement.expr)));
    APR_ASSIGN(statement.expr, parse_filters(std::move(statement.expr)));
    APR_TRY(expect_block_end());
    APR_ASSIGN(statement.body, parse_body({"endfilter"}));
    APR_TRY(close("endfilter", at));
    return statement;
  }

  Result<Statement> parse_macro(Offset at) {
    Statement statement = begin(StatementKind::macro, at);
    APR_ASSIGN(statement.name, expect_name("the macro's name"));
    APR_TRY(expect_symbol("("));
    while (!is_symbol(")")) {
      if (!statement.targets.empty()) APR_TRY(expect_symbol(","));
      if (is_symbol(")")) break;
      Target target;
      APR_ASSIGN(target.name, expect_name("a parameter's name"));
      statement.targets.push_back(std::move(target));
      ExprPtr fallback;
      if (skip_symbol("=")) {
        APR_ASSIGN(fallback, parse_expression());
      }
      statement.values.push_back(std::move(fallback));
    }
    ++next_;
    APR_TRY(expect_block_end());
    const unsigned loops = std::exchange(loops_, 0);
    APR_ASSIGN(statement.body, parse_body({"endmacro"}));
    loops_ = loops;
    APR_TRY(close("endmacro", at));
    return statement;
  }

  Result<Statement> parse_with(Offset at) {
    Statement statement = begin(StatementKind::with, at);
    while (peek().kind == TokenKind::name) {
      Target target;
      APR_ASSIGN(target.name, expect_name("a variable's name"));
      APR_TRY(expect_symbol("="));
      APR_ASSIGN(auto value, parse_expression());
      statement.targets.push_back(std::move(target));
      statement.values.push_back(std::move(value));
      if (!skip_symbol(",")) break;
    }
    APR_TRY(expect_block_end());
    APR_ASSIGN(statement.body, parse_body({"endwith"}));
    APR_TRY(close("endwith", at));
    return statement;
  }

  unsigned loops_ = 0;
};

}  // namespace

Result<std::vector<Statement>> parse_template(const Source& source) {
  APR_ASSIGN(auto tokens, tokenize(source));
  return Parser(source, std::move(tokens)).run();
}

}  // namespace apr::jinja

#include "core/text/jinja/parser.h"

#include <algorithm>
#include <array>

#include "core/base/cat.h"
#include "core/text/jinja/expression_parser.h"
#include "core/text/jinja/lexer.h"

namespace apr::jinja {
namespace {

constexpr std::array<std::string_view, 11> kUnsupportedTags = {
    "include", "import", "from",  "extends",  "block",    "autoescape",
    "trans",   "do",     "debug", "language", "pluralize"};

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
    if (name.text == "call") return parse_call_block(name.at);
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
    statement.recursive = skip_name("recursive");
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

  static Target together(std::vector<Target> targets) {
    Target target;
    target.nested = std::move(targets);
    return target;
  }

  Result<std::vector<Target>> parse_targets(bool attributes) {
    const Nesting nesting(*this);
    if (nesting.too_deep()) return too_deep(peek().at);
    std::vector<Target> targets;
    do {
      const Offset at = peek().at;
      Target target;
      if (skip_symbol("(")) {
        APR_ASSIGN(auto inner, parse_targets(attributes));
        APR_TRY(expect_symbol(")"));
        targets.push_back(inner.size() == 1 ? std::move(inner[0]) : together(std::move(inner)));
        continue;
      }
      if (!targets.empty() && is_symbol(")")) {
        if (targets.size() == 1) {  // "(a,)" takes a list of one
          Target only = together(std::move(targets));
          targets.clear();
          targets.push_back(std::move(only));
        }
        break;
      }
      APR_ASSIGN(target.name, expect_name("a variable's name"));
      if (is_constant(target.name)) return error(at, cat("cannot assign to ", target.name));
      if (attributes && skip_symbol(".")) {
        APR_ASSIGN(target.attribute, expect_name("an attribute's name"));
      }
      targets.push_back(std::move(target));
    } while (skip_symbol(","));
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
    if (statement.targets.size() != 1 || !statement.targets[0].nested.empty()) {
      return error(peek().at, "expected '='");
    }
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
    APR_TRY(parse_parameters(statement));
    APR_TRY(expect_block_end());
    APR_TRY(parse_macro_body(statement, "endmacro"));
    return statement;
  }

  /// Body and end of a macro or call block: a place of its own for break, continue and caller.
  Status parse_macro_body(Statement& statement, std::string_view end) {
    const unsigned loops = std::exchange(loops_, 0);
    const std::uint8_t uses = std::exchange(uses_, 0);
    APR_ASSIGN(statement.body, parse_body({end}));
    APR_TRY(close(end, statement.at));
    loops_ = loops;
    statement.uses = uses_;
    uses_ |= uses;
    return {};
  }

  Result<Statement> parse_call_block(Offset at) {
    Statement statement = begin(StatementKind::call_block, at);
    statement.name = "caller";
    if (is_symbol("(")) APR_TRY(parse_parameters(statement));
    const Offset call_at = peek().at;
    APR_ASSIGN(statement.expr, parse_expression());
    if (statement.expr->kind != ExprKind::call) {
      return error(call_at, "expected a macro to call", "write {% call name(…) %}");
    }
    APR_TRY(expect_block_end());
    APR_TRY(parse_macro_body(statement, "endcall"));
    return statement;
  }

  /// (name, name = default, …)
  Status parse_parameters(Statement& statement) {
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
    return {};
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

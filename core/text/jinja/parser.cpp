#include "core/text/jinja/parser.h"

#include <algorithm>
#include <array>
#include <span>

#include "core/base/cat.h"
#include "core/text/jinja/lexer.h"

namespace apr::jinja {
namespace {

constexpr std::array<std::string_view, 12> kUnsupportedTags = {
    "include",    "import", "from", "extends", "block",    "call",
    "autoescape", "trans",  "do",   "debug",   "language", "pluralize"};

struct BinaryRow {
  std::string_view symbol;
  Operator op;
};
constexpr BinaryRow kCompare[] = {{"==", Operator::equal},  {"!=", Operator::not_equal},
                                  {"<", Operator::less},    {"<=", Operator::less_equal},
                                  {">", Operator::greater}, {">=", Operator::greater_equal}};
constexpr BinaryRow kSums[] = {{"+", Operator::add}, {"-", Operator::subtract}};
constexpr BinaryRow kProducts[] = {{"*", Operator::multiply},
                                   {"/", Operator::divide},
                                   {"//", Operator::floor_divide},
                                   {"%", Operator::modulo}};
constexpr BinaryRow kPowers[] = {{"**", Operator::power}};

class Parser {
 public:
  Parser(const Source& source, std::vector<Token> tokens)
      : source_(source), tokens_(std::move(tokens)) {}

  Result<std::vector<Statement>> run() {
    APR_ASSIGN(auto body, parse_body({}));
    if (peek().kind != TokenKind::end) {
      return error(peek(1).at, cat("{% ", peek(1).text, " %} has no beginning"));
    }
    return body;
  }

 private:
  // Tokens
  // -------------------------------------------------------------------------------------------

  const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(next_ + ahead, tokens_.size() - 1)];
  }
  bool is_symbol(std::string_view symbol, std::size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::symbol && peek(ahead).text == symbol;
  }
  bool is_name(std::string_view name, std::size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::name && peek(ahead).text == name;
  }
  bool skip_symbol(std::string_view symbol) {
    if (!is_symbol(symbol)) return false;
    ++next_;
    return true;
  }
  bool skip_name(std::string_view name) {
    if (!is_name(name)) return false;
    ++next_;
    return true;
  }

  Error error(Offset at, std::string message, std::string hint = {}) const {
    return source_.error(ErrorCode::format, at, std::move(message), std::move(hint));
  }
  Error unsupported(Offset at, std::string what) const {
    return source_.error(ErrorCode::unsupported, at, cat(what, " is not supported in templates"));
  }
  std::string shown() const {
    switch (peek().kind) {
      case TokenKind::end:
        return "the end of the template";
      case TokenKind::output_end:
        return "'}}'";
      case TokenKind::block_end:
        return "'%}'";
      case TokenKind::string:
        return "a string";
      case TokenKind::integer:
      case TokenKind::number:
        return "a number";
      default:
        return cat("'", peek().text.substr(0, 40), "'");
    }
  }
  Status expect_symbol(std::string_view symbol) {
    if (skip_symbol(symbol)) return {};
    return error(peek().at, cat("expected '", symbol, "' but found ", shown()));
  }
  Status expect_block_end() {
    if (peek().kind == TokenKind::block_end) {
      ++next_;
      return {};
    }
    return error(peek().at, cat("expected '%}' but found ", shown()));
  }
  Result<std::string> expect_name(std::string_view what) {
    if (peek().kind != TokenKind::name) {
      return error(peek().at, cat("expected ", what, " but found ", shown()));
    }
    return tokens_[next_++].text;
  }

  /// Counts nesting of what recurses; the tree cannot be deeper than this allows.
  class Nesting {
   public:
    explicit Nesting(Parser& parser) : parser_(parser) { ++parser_.nesting_; }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    bool too_deep() const { return parser_.nesting_ > kMaxTreeDepth; }

   private:
    Parser& parser_;
  };
  Error too_deep(Offset at) const {
    return error(at, cat("nested more than ", kMaxTreeDepth, " levels deep"));
  }

  Result<ExprPtr> make(ExprKind kind, Offset at, std::vector<ExprPtr> items = {},
                       std::string text = {}) const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->at = at;
    expr->text = std::move(text);
    expr->items = std::move(items);
    return finished(std::move(expr));
  }
  Result<ExprPtr> finished(ExprPtr expr) const {
    for (const ExprPtr& item : expr->items) {
      if (item) expr->depth = std::max(expr->depth, item->depth + 1);
    }
    for (const auto& [name, item] : expr->named)
      expr->depth = std::max(expr->depth, item->depth + 1);
    if (expr->depth > kMaxTreeDepth) return too_deep(expr->at);
    return expr;
  }
  static std::vector<ExprPtr> one(ExprPtr first) {
    std::vector<ExprPtr> items;
    items.push_back(std::move(first));
    return items;
  }

  // Statements
  // ---------------------------------------------------------------------------------------

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

  // Expressions
  // --------------------------------------------------------------------------------------

  static bool is_constant(std::string_view name) {
    return name == "true" || name == "True" || name == "false" || name == "False" ||
           name == "none" || name == "None";
  }

  /// expression {, expression}: a tuple if there is a comma.
  Result<ExprPtr> parse_tuple(bool conditions) {
    const Offset at = peek().at;
    APR_ASSIGN(auto first, conditions ? parse_expression() : parse_or());
    if (!is_symbol(",")) return first;
    std::vector<ExprPtr> items = one(std::move(first));
    while (skip_symbol(",")) {
      const TokenKind kind = peek().kind;
      if (kind == TokenKind::output_end || kind == TokenKind::block_end || is_symbol(")") ||
          kind == TokenKind::end) {
        break;
      }
      APR_ASSIGN(auto item, conditions ? parse_expression() : parse_or());
      items.push_back(std::move(item));
    }
    return make(ExprKind::tuple, at, std::move(items));
  }

  Result<ExprPtr> parse_expression() {
    const Nesting nesting(*this);
    if (nesting.too_deep()) return too_deep(peek().at);
    APR_ASSIGN(auto expr, parse_or());
    while (is_name("if")) {
      const Offset at = peek().at;
      ++next_;
      std::vector<ExprPtr> items = one(std::move(expr));
      APR_ASSIGN(auto condition, parse_or());
      items.push_back(std::move(condition));
      ExprPtr other;
      if (skip_name("else")) {
        APR_ASSIGN(other, parse_expression());
      }
      items.push_back(std::move(other));
      APR_ASSIGN(expr, make(ExprKind::condition, at, std::move(items)));
    }
    return expr;
  }

  Result<ExprPtr> parse_or() { return parse_logical("or"); }

  Result<ExprPtr> parse_logical(std::string_view word) {
    const bool is_or = word == "or";
    const Offset at = peek().at;
    APR_ASSIGN(auto first, is_or ? parse_logical("and") : parse_not());
    if (!is_name(word)) return first;
    std::vector<ExprPtr> items = one(std::move(first));
    while (skip_name(word)) {
      APR_ASSIGN(auto item, is_or ? parse_logical("and") : parse_not());
      items.push_back(std::move(item));
    }
    return make(is_or ? ExprKind::logical_or : ExprKind::logical_and, at, std::move(items));
  }

  Result<ExprPtr> parse_not() {
    if (!is_name("not")) return parse_compare();
    const Nesting nesting(*this);
    if (nesting.too_deep()) return too_deep(peek().at);
    const Offset at = peek().at;
    ++next_;
    APR_ASSIGN(auto operand, parse_not());
    return make(ExprKind::logical_not, at, one(std::move(operand)));
  }

  std::optional<Operator> compare_operator() {
    for (const BinaryRow& row : kCompare) {
      if (skip_symbol(row.symbol)) return row.op;
    }
    if (skip_name("in")) return Operator::in;
    if (is_name("not") && is_name("in", 1)) {
      next_ += 2;
      return Operator::not_in;
    }
    return std::nullopt;
  }

  Result<ExprPtr> parse_compare() {
    const Offset at = peek().at;
    APR_ASSIGN(auto first, parse_binary(0));
    auto chain = std::make_unique<Expr>();
    chain->kind = ExprKind::compare;
    chain->at = at;
    while (const auto op = compare_operator()) {
      if (chain->items.empty()) chain->items.push_back(std::move(first));
      APR_ASSIGN(auto operand, parse_binary(0));
      chain->operators.push_back(*op);
      chain->items.push_back(std::move(operand));
    }
    if (chain->items.empty()) return first;
    return finished(std::move(chain));
  }

  /// Sums, joins (~), products, powers: each level binds tighter than the one before.
  Result<ExprPtr> parse_binary(int level) {
    if (level == 4) return parse_unary(true);
    const std::span<const BinaryRow> rows = level == 0   ? std::span<const BinaryRow>(kSums)
                                            : level == 2 ? std::span<const BinaryRow>(kProducts)
                                                         : std::span<const BinaryRow>(kPowers);
    const Offset at = peek().at;
    APR_ASSIGN(auto first, parse_binary(level + 1));
    auto chain = std::make_unique<Expr>();
    chain->kind = level == 1 ? ExprKind::join : ExprKind::arithmetic;
    chain->at = at;
    while (true) {
      std::optional<Operator> op;
      if (level == 1) {
        if (skip_symbol("~")) op = Operator::add;
      } else {
        for (const BinaryRow& row : rows) {
          if (!op && skip_symbol(row.symbol)) op = row.op;
        }
      }
      if (!op) break;
      if (chain->items.empty()) chain->items.push_back(std::move(first));
      APR_ASSIGN(auto operand, parse_binary(level + 1));
      chain->operators.push_back(*op);
      chain->items.push_back(std::move(operand));
    }
    if (chain->items.empty()) return first;
    return finished(std::move(chain));
  }

  Result<ExprPtr> parse_unary(bool with_filters) {
    ExprPtr expr;
    const Offset at = peek().at;
    if (is_symbol("-") || is_symbol("+")) {
      const Nesting nesting(*this);
      if (nesting.too_deep()) return too_deep(at);
      const ExprKind kind = is_symbol("-") ? ExprKind::negative : ExprKind::positive;
      ++next_;
      APR_ASSIGN(auto operand, parse_unary(false));
      APR_ASSIGN(expr, make(kind, at, one(std::move(operand))));
    } else {
      APR_ASSIGN(expr, parse_primary());
    }
    APR_ASSIGN(expr, parse_postfix(std::move(expr)));
    if (with_filters) {
      APR_ASSIGN(expr, parse_filters(std::move(expr)));
    }
    return expr;
  }

  Result<ExprPtr> parse_primary() {
    const Token& token = peek();
    const Offset at = token.at;
    switch (token.kind) {
      case TokenKind::name: {
        ++next_;
        if (!is_constant(token.text)) return make(ExprKind::name, at, {}, token.text);
        if (token.text == "none" || token.text == "None") return literal(at, None{});
        return literal(at, token.text == "true" || token.text == "True");
      }
      case TokenKind::string: {
        std::string text;
        while (peek().kind == TokenKind::string) text += tokens_[next_++].text;
        return literal(at, Value::trusted(text));
      }
      case TokenKind::integer:
        ++next_;
        return literal(at, token.integer);
      case TokenKind::number:
        ++next_;
        return literal(at, token.number);
      case TokenKind::symbol:
        if (token.text == "(") return parse_group();
        if (token.text == "[") return parse_list();
        if (token.text == "{") return parse_dict();
        break;
      default:
        break;
    }
    return error(at, cat("expected an expression but found ", shown()));
  }

  Result<ExprPtr> literal(Offset at, Value value) const {
    APR_ASSIGN(auto expr, make(ExprKind::literal, at));
    expr->value = std::move(value);
    return expr;
  }

  Result<ExprPtr> parse_group() {
    const Offset at = peek().at;
    ++next_;
    if (skip_symbol(")")) return make(ExprKind::tuple, at);
    APR_ASSIGN(auto inner, parse_tuple(true));
    APR_TRY(expect_symbol(")"));
    return inner;
  }

  Result<ExprPtr> parse_list() {
    const Offset at = peek().at;
    ++next_;
    std::vector<ExprPtr> items;
    while (!is_symbol("]")) {
      if (!items.empty()) APR_TRY(expect_symbol(","));
      if (is_symbol("]")) break;
      APR_ASSIGN(auto item, parse_expression());
      items.push_back(std::move(item));
    }
    ++next_;
    return make(ExprKind::list, at, std::move(items));
  }

  Result<ExprPtr> parse_dict() {
    const Offset at = peek().at;
    ++next_;
    std::vector<ExprPtr> items;
    while (!is_symbol("}")) {
      if (!items.empty()) APR_TRY(expect_symbol(","));
      if (is_symbol("}")) break;
      APR_ASSIGN(auto key, parse_expression());
      APR_TRY(expect_symbol(":"));
      APR_ASSIGN(auto value, parse_expression());
      items.push_back(std::move(key));
      items.push_back(std::move(value));
    }
    ++next_;
    return make(ExprKind::dict, at, std::move(items));
  }

  Result<ExprPtr> parse_postfix(ExprPtr expr) {
    while (true) {
      const Offset at = peek().at;
      if (skip_symbol(".")) {
        if (peek().kind == TokenKind::integer) {
          std::vector<ExprPtr> items = one(std::move(expr));
          APR_ASSIGN(auto index, literal(peek().at, peek().integer));
          ++next_;
          items.push_back(std::move(index));
          APR_ASSIGN(expr, make(ExprKind::subscript, at, std::move(items)));
          continue;
        }
        const Offset name_at = peek().at;
        APR_ASSIGN(auto name, expect_name("an attribute's name"));
        APR_ASSIGN(expr, make(ExprKind::attribute, name_at, one(std::move(expr)), std::move(name)));
      } else if (skip_symbol("[")) {
        APR_ASSIGN(expr, parse_subscript(std::move(expr), at));
      } else if (is_symbol("(")) {
        APR_ASSIGN(expr, parse_call(ExprKind::call, std::move(expr), {}, at));
      } else {
        return expr;
      }
    }
  }

  Result<ExprPtr> parse_subscript(ExprPtr object, Offset at) {
    std::vector<ExprPtr> items = one(std::move(object));
    bool slice = false;
    for (int part = 0; part < 3; ++part) {
      ExprPtr value;
      if (!is_symbol(":") && !is_symbol("]")) {
        APR_ASSIGN(value, parse_expression());
      }
      if (part == 0 && !value && is_symbol("]")) return error(peek().at, "empty subscript");
      items.push_back(std::move(value));
      if (!skip_symbol(":")) break;
      slice = true;
    }
    if (is_symbol(",")) return unsupported(peek().at, "a subscript of several values");
    APR_TRY(expect_symbol("]"));
    if (slice) items.resize(4);
    return make(slice ? ExprKind::slice : ExprKind::subscript, at, std::move(items));
  }

  /// "(arguments)" if there is one; the call's, filter's or test's first item is `subject`.
  Result<ExprPtr> parse_call(ExprKind kind, ExprPtr subject, std::string name, Offset at) {
    auto call = std::make_unique<Expr>();
    call->kind = kind;
    call->at = at;
    call->text = std::move(name);
    call->items = one(std::move(subject));
    if (!skip_symbol("(")) return finished(std::move(call));
    bool first = true;
    while (!is_symbol(")")) {
      if (!first) APR_TRY(expect_symbol(","));
      first = false;
      if (is_symbol(")")) break;
      if (is_symbol("*") || is_symbol("**")) {
        return unsupported(peek().at, "unpacking of arguments");
      }
      if (peek().kind == TokenKind::name && is_symbol("=", 1)) {
        std::string parameter = peek().text;
        for (const auto& given : call->named) {
          if (given.first == parameter) {
            return error(peek().at, cat("the argument ", parameter, " is given twice"));
          }
        }
        next_ += 2;
        APR_ASSIGN(auto value, parse_expression());
        call->named.emplace_back(std::move(parameter), std::move(value));
      } else {
        if (!call->named.empty()) {
          return error(peek().at, "a positional argument after a named one");
        }
        APR_ASSIGN(auto value, parse_expression());
        call->items.push_back(std::move(value));
      }
    }
    ++next_;
    return finished(std::move(call));
  }

  Result<ExprPtr> parse_filter(ExprPtr subject) {
    const Offset at = peek().at;
    APR_ASSIGN(auto name, expect_name("a filter's name"));
    return parse_call(ExprKind::filter, std::move(subject), std::move(name), at);
  }

  Result<ExprPtr> parse_filters(ExprPtr expr) {
    while (true) {
      if (skip_symbol("|")) {
        APR_ASSIGN(expr, parse_filter(std::move(expr)));
      } else if (skip_name("is")) {
        APR_ASSIGN(expr, parse_test(std::move(expr)));
      } else if (is_symbol("(")) {
        const Offset at = peek().at;
        APR_ASSIGN(expr, parse_call(ExprKind::call, std::move(expr), {}, at));
      } else {
        return expr;
      }
    }
  }

  Result<ExprPtr> parse_test(ExprPtr subject) {
    const bool negated = skip_name("not");
    const Offset at = peek().at;
    APR_ASSIGN(auto name, expect_name("a test's name"));
    ExprPtr test;
    if (is_symbol("(")) {
      APR_ASSIGN(test, parse_call(ExprKind::test, std::move(subject), std::move(name), at));
    } else {
      std::vector<ExprPtr> items = one(std::move(subject));
      if (starts_test_argument()) {
        const Nesting nesting(*this);
        if (nesting.too_deep()) return too_deep(at);
        APR_ASSIGN(auto argument, parse_primary());
        APR_ASSIGN(argument, parse_postfix(std::move(argument)));
        items.push_back(std::move(argument));
      }
      APR_ASSIGN(test, make(ExprKind::test, at, std::move(items), std::move(name)));
    }
    test->negated = negated;
    return test;
  }

  bool starts_test_argument() const {
    const Token& token = peek();
    switch (token.kind) {
      case TokenKind::string:
      case TokenKind::integer:
      case TokenKind::number:
        return true;
      case TokenKind::symbol:
        return token.text == "[" || token.text == "{";
      case TokenKind::name: {
        constexpr std::array<std::string_view, 8> kWords = {"else", "or", "and", "if",
                                                            "in",   "is", "not", "recursive"};
        return std::find(kWords.begin(), kWords.end(), token.text) == kWords.end();
      }
      default:
        return false;
    }
  }

  const Source& source_;
  std::vector<Token> tokens_;
  std::size_t next_ = 0;
  unsigned nesting_ = 0;
  unsigned loops_ = 0;
};

}  // namespace

Result<std::vector<Statement>> parse_template(const Source& source) {
  APR_ASSIGN(auto tokens, tokenize(source));
  return Parser(source, std::move(tokens)).run();
}

}  // namespace apr::jinja

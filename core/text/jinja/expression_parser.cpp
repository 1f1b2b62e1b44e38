#include "core/text/jinja/expression_parser.h"

#include <array>
#include <span>

#include "core/base/suggest.h"
#include "core/text/jinja/builtins.h"

namespace apr::jinja {

namespace {

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

}  // namespace

bool ExpressionParser::is_constant(std::string_view name) {
  return name == "true" || name == "True" || name == "false" || name == "False" || name == "none" ||
         name == "None";
}

Result<ExprPtr> ExpressionParser::parse_tuple(bool conditions) {
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

Result<ExprPtr> ExpressionParser::parse_expression() {
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

Result<ExprPtr> ExpressionParser::parse_or() {
  return parse_logical("or");
}

Result<ExprPtr> ExpressionParser::parse_logical(std::string_view word) {
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

Result<ExprPtr> ExpressionParser::parse_not() {
  if (!is_name("not")) return parse_compare();
  const Nesting nesting(*this);
  if (nesting.too_deep()) return too_deep(peek().at);
  const Offset at = peek().at;
  ++next_;
  APR_ASSIGN(auto operand, parse_not());
  return make(ExprKind::logical_not, at, one(std::move(operand)));
}

std::optional<Operator> ExpressionParser::compare_operator() {
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

Result<ExprPtr> ExpressionParser::parse_compare() {
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

Result<ExprPtr> ExpressionParser::parse_binary(int level) {
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

Result<ExprPtr> ExpressionParser::parse_unary(bool with_filters) {
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

Result<ExprPtr> ExpressionParser::parse_primary() {
  const Token& token = peek();
  const Offset at = token.at;
  switch (token.kind) {
    case TokenKind::name: {
      ++next_;
      if (token.text == "caller") uses_ |= kUsesCaller;
      if (token.text == "varargs") uses_ |= kUsesVarargs;
      if (token.text == "kwargs") uses_ |= kUsesKwargs;
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

Result<ExprPtr> ExpressionParser::literal(Offset at, Value value) const {
  APR_ASSIGN(auto expr, make(ExprKind::literal, at));
  expr->value = std::move(value);
  return expr;
}

Result<ExprPtr> ExpressionParser::parse_group() {
  const Offset at = peek().at;
  ++next_;
  if (skip_symbol(")")) return make(ExprKind::tuple, at);
  APR_ASSIGN(auto inner, parse_tuple(true));
  APR_TRY(expect_symbol(")"));
  return inner;
}

Result<ExprPtr> ExpressionParser::parse_list() {
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

Result<ExprPtr> ExpressionParser::parse_dict() {
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

Result<ExprPtr> ExpressionParser::parse_postfix(ExprPtr expr) {
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

Result<ExprPtr> ExpressionParser::parse_subscript(ExprPtr object, Offset at) {
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

Result<ExprPtr> ExpressionParser::parse_call(ExprKind kind, ExprPtr subject, std::string name,
                                             Offset at) {
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
    if (call->more_named) return error(peek().at, "an argument after **");
    if (is_symbol("*") || is_symbol("**")) {
      ExprPtr& more = is_symbol("*") ? call->more_items : call->more_named;
      if (more) return error(peek().at, cat("a second ", peek().text, " in one call"));
      ++next_;
      APR_ASSIGN(more, parse_expression());
      continue;
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
      if (!call->named.empty() || call->more_items) {
        return error(peek().at, "a positional argument after a named one");
      }
      APR_ASSIGN(auto value, parse_expression());
      call->items.push_back(std::move(value));
    }
  }
  ++next_;
  return finished(std::move(call));
}

Result<ExprPtr> ExpressionParser::parse_filter(ExprPtr subject) {
  const Offset at = peek().at;
  APR_ASSIGN(auto name, expect_name("a filter's name"));
  APR_ASSIGN(auto filter, parse_call(ExprKind::filter, std::move(subject), std::move(name), at));
  APR_TRY(check_filter(*filter));
  return filter;
}

Status ExpressionParser::check_name(bool is_filter, std::string_view name, Offset at) const {
  if ((is_filter ? find_filter(name) : find_test(name)) != nullptr) return {};
  const std::string nearest = nearest_name(name, is_filter ? filter_names() : test_names());
  return source_.error(
      ErrorCode::unsupported, at,
      cat("the ", is_filter ? "filter " : "test ", name.substr(0, 40), " is not known here"),
      nearest.empty() ? "" : cat("did you mean ", nearest, "?"));
}

Status ExpressionParser::check_filter(const Expr& filter) const {
  APR_TRY(check_name(true, filter.text, filter.at));
  // map('f'), select('t'), selectattr('a', 't'): the name is known now when it is written out.
  const bool by_attribute = filter.text == "selectattr" || filter.text == "rejectattr";
  const bool maps = filter.text == "map";
  if (!by_attribute && !maps && filter.text != "select" && filter.text != "reject") return {};
  const std::size_t place = by_attribute ? 2 : 1;
  if (filter.items.size() <= place) return {};
  const Expr& name = *filter.items[place];
  if (name.kind != ExprKind::literal || !name.value.is_string()) return {};
  return check_name(maps, name.value.string(), name.at);
}

Result<ExprPtr> ExpressionParser::parse_filters(ExprPtr expr) {
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

Result<ExprPtr> ExpressionParser::parse_test(ExprPtr subject) {
  const bool negated = skip_name("not");
  const Offset at = peek().at;
  APR_ASSIGN(auto name, expect_name("a test's name"));
  APR_TRY(check_name(false, name, at));
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

bool ExpressionParser::starts_test_argument() const {
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

}  // namespace apr::jinja

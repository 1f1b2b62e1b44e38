// Tokens -> expressions. The statements are in parser.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/cat.h"
#include "core/text/jinja/lexer.h"
#include "core/text/jinja/syntax.h"

namespace apr::jinja {

/// A cursor over the tokens and everything below a statement. The tree it makes is nowhere deeper
/// than kMaxTreeDepth, and neither is its own recursion.
class ExpressionParser {
 protected:
  ExpressionParser(const Source& source, std::vector<Token> tokens)
      : source_(source), tokens_(std::move(tokens)) {}

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
    explicit Nesting(ExpressionParser& parser) : parser_(parser) { ++parser_.nesting_; }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    bool too_deep() const { return parser_.nesting_ > kMaxTreeDepth; }

   private:
    ExpressionParser& parser_;
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
    for (const ExprPtr* item : {&expr->more_items, &expr->more_named})
      if (*item) expr->depth = std::max(expr->depth, (*item)->depth + 1);
    if (expr->depth > kMaxTreeDepth) return too_deep(expr->at);
    return expr;
  }
  static std::vector<ExprPtr> one(ExprPtr first) {
    std::vector<ExprPtr> items;
    items.push_back(std::move(first));
    return items;
  }

  // Expressions, from the loosest to the tightest binding.
  static bool is_constant(std::string_view name);
  /// expression {, expression}: a tuple if there is a comma.
  Result<ExprPtr> parse_tuple(bool conditions);
  Result<ExprPtr> parse_expression();
  Result<ExprPtr> parse_or();
  Result<ExprPtr> parse_logical(std::string_view word);
  Result<ExprPtr> parse_not();
  std::optional<Operator> compare_operator();
  Result<ExprPtr> parse_compare();
  /// Sums, joins (~), products, powers: each level binds tighter than the one before.
  Result<ExprPtr> parse_binary(int level);
  Result<ExprPtr> parse_unary(bool with_filters);
  Result<ExprPtr> parse_primary();
  Result<ExprPtr> literal(Offset at, Value value) const;
  Result<ExprPtr> parse_group();
  Result<ExprPtr> parse_list();
  Result<ExprPtr> parse_dict();
  Result<ExprPtr> parse_postfix(ExprPtr expr);
  Result<ExprPtr> parse_subscript(ExprPtr object, Offset at);
  /// "(arguments)" if there is one; the call's, filter's or test's first item is `subject`.
  Result<ExprPtr> parse_call(ExprKind kind, ExprPtr subject, std::string name, Offset at);
  Result<ExprPtr> parse_filter(ExprPtr subject);
  Result<ExprPtr> parse_filters(ExprPtr expr);
  Result<ExprPtr> parse_test(ExprPtr subject);
  bool starts_test_argument() const;
  /// Refuses a filter or test that there is none of, also where map and select name it.
  Status check_filter(const Expr& filter) const;
  Status check_name(bool is_filter, std::string_view name, Offset at) const;

  const Source& source_;
  std::vector<Token> tokens_;
  std::size_t next_ = 0;
  unsigned nesting_ = 0;
  std::uint8_t uses_ = 0;  ///< MacroUse of the names read so far
};

}  // namespace apr::jinja

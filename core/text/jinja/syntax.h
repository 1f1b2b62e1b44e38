// The tree of a parsed template. Its depth is bounded by the parser (kMaxTreeDepth), so that
// walking and destroying it may recurse.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/text/jinja/source.h"
#include "core/text/jinja/value.h"

namespace apr::jinja {

inline constexpr unsigned kMaxTreeDepth = 64;

enum class ExprKind : std::uint8_t {
  literal,      ///< value
  name,         ///< text
  list,         ///< items
  tuple,        ///< items
  dict,         ///< items: key, value, key, value, …
  attribute,    ///< items[0] . text
  subscript,    ///< items[0] [ items[1] ]
  slice,        ///< items[0] [ items[1] : items[2] : items[3] ], each of the last three may be null
  call,         ///< items[0] ( items[1…], named )
  filter,       ///< items[0] | text ( items[1…], named )
  test,         ///< items[0] is text ( items[1…] ); negated
  negative,     ///< - items[0]
  positive,     ///< + items[0]
  logical_not,  ///< not items[0]
  logical_and,  ///< items
  logical_or,   ///< items
  arithmetic,   ///< items[0] operators[0] items[1] operators[1] items[2] …, left to right
  compare,      ///< likewise, as Python chains comparisons
  join,         ///< items joined with ~
  condition,    ///< items[0] if items[1] else items[2] (may be null)
};

enum class Operator : std::uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  in,
  not_in,
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind = ExprKind::literal;
  Offset at = 0;
  unsigned depth = 1;
  bool negated = false;
  std::string text;
  Value value;
  std::vector<ExprPtr> items;
  std::vector<Operator> operators;
  std::vector<std::pair<std::string, ExprPtr>> named;
};

enum class StatementKind : std::uint8_t {
  text,          ///< value
  output,        ///< expr
  conditional,   ///< branches, other
  loop,          ///< targets, expr, condition, body, other
  set,           ///< targets = expr
  set_block,     ///< targets[0] = the output of body, through the filters of expr if there are any
  macro,         ///< name(targets with defaults), body
  with,          ///< targets[i] = values[i], body
  filter_block,  ///< body through the filters of expr
  group,         ///< body, as it is
  leave,         ///< break
  next,          ///< continue
};

struct Statement;

struct Branch {
  ExprPtr condition;
  std::vector<Statement> body;
};

/// A place that can be assigned to: a name, or an attribute of a namespace.
struct Target {
  std::string name;
  std::string attribute;  ///< empty: the name itself
};

struct Statement {
  StatementKind kind = StatementKind::text;
  Offset at = 0;
  std::string name;
  Value value;
  ExprPtr expr;
  ExprPtr condition;
  std::vector<Target> targets;
  std::vector<ExprPtr> values;  ///< defaults of a macro's parameters (null: none), values of with
  std::vector<Branch> branches;
  std::vector<Statement> body;
  std::vector<Statement> other;
};

/// The expression that stands for "the text so far" in the filters of a block.
inline constexpr const char* kBlockText = "%block";

}  // namespace apr::jinja

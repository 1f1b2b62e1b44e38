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
  ExprPtr more_items;  ///< call( *more_items )
  ExprPtr more_named;  ///< call( **more_named )
};

enum class StatementKind : std::uint8_t {
  text,          ///< value
  output,        ///< expr
  conditional,   ///< branches, other
  loop,          ///< targets, expr, condition, body, other
  set,           ///< targets = expr
  set_block,     ///< targets[0] = the output of body, through the filters of expr if there are any
  macro,         ///< name(targets with defaults), body
  call_block,    ///< expr, a call, with a macro "caller"(targets with defaults) of the body
  with,          ///< targets[i] = values[i], body
  filter_block,  ///< body through the filters of expr
  group,         ///< body, in a scope of its own
  leave,         ///< break
  next,          ///< continue
};

struct Statement;

struct Branch {
  ExprPtr condition;
  std::vector<Statement> body;
};

/// A place that can be assigned to: a name, an attribute of a namespace, or several places.
struct Target {
  std::string name;
  std::string attribute;       ///< empty: the name itself
  std::vector<Target> nested;  ///< (a, b) inside a list of targets; the name is empty then
};

/// Names that mean something inside a macro, if its body mentions them.
enum MacroUse : std::uint8_t { kUsesCaller = 1, kUsesVarargs = 2, kUsesKwargs = 4 };

struct Statement {
  StatementKind kind = StatementKind::text;
  bool recursive = false;  ///< a loop that its body may call
  std::uint8_t uses = 0;   ///< of a macro: MacroUse
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

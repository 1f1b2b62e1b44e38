// The small language of `${…}` and `when:`.
//
//   ${params.max_kld}                        a parameter
//   ${stages.shrink.output}                  the path of a stage's output
//   ${stages.eval.report.perplexity}         a figure of a stage's report
//   ${stages.tune.output ?? stages.import.output}
//   ${stages.shrink[q4_0].output}            of one combination of a matrix
//   ${stages.shrink[matrix.scheme].output}   of the one with this stage's own value
//   ${stages.shrink[*].output}               of all of them: a list
//   ${matrix.scheme}  ${env.HF_HOME}  ${secrets.SIGNING_KEY}
//   when: params.chat == true && !(params.mode != 'fast')
//
// Operators, loosest first: ??  ||  &&  == !=  < <= > >=  !  ( ). Literals: null, true, false,
// numbers as in JSON, 'text' or "text". What belongs to a skipped stage is null. There is no
// arithmetic, no call, no loop.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/base/result.h"

namespace apr::pipeline {

/// One place between the brackets of `stages.x[…]`.
struct Selector {
  enum class Kind { label, value, axis, all };
  Kind kind = Kind::label;
  std::string
      text;  ///< a label, a quoted value, or the name of an axis of the stage where it stands
  friend bool operator==(const Selector&, const Selector&) = default;
};

struct Reference {
  enum class Kind { param, output, report, matrix, environment, secret };
  Kind kind = Kind::param;
  std::string name;               ///< of the parameter, stage, axis or variable
  std::vector<Selector> select;   ///< empty without brackets
  std::string port;               ///< of an output
  std::vector<std::string> path;  ///< keys into a report
  std::size_t offset = 0;         ///< into the text that was parsed
  std::string to_string() const;
  bool of_stage() const { return kind == Kind::output || kind == Kind::report; }
};

/// A remark about a text, at an offset into it.
struct Problem {
  std::size_t offset = 0;
  std::string message;
  std::string hint;
};

enum class StaticType { any, null, boolean, number, text, list };
std::string_view name_of(StaticType type);

class Expression {
 public:
  /// Empty if the text is not an expression; `problem` says why.
  static std::optional<Expression> parse(std::string_view text, Problem& problem);

  /// Values of references; an Error ends the evaluation.
  using Lookup = std::function<Result<Json>(const Reference&)>;
  Result<Json> evaluate(const Lookup& lookup) const;

  /// The type as far as it can be known before the run; operands that never fit are reported.
  using TypeLookup = std::function<StaticType(const Reference&)>;
  StaticType check(const TypeLookup& lookup, std::vector<Problem>& problems) const;

  std::vector<Reference> references() const;

 private:
  enum class Operator {
    literal,
    reference,
    negate,
    coalesce,
    either,
    both,
    equal,
    unequal,
    less,
    less_equal,
    greater,
    greater_equal,
  };
  struct Node {
    Operator op = Operator::literal;
    Json literal;
    Reference reference;
    int left = -1;
    int right = -1;
    std::size_t offset = 0;
  };
  class Parser;
  static std::string_view symbol(Operator op);
  Result<Json> value_of(int node, const Lookup& lookup) const;
  StaticType type_of(int node, const TypeLookup& lookup, std::vector<Problem>& problems) const;

  std::vector<Node> nodes_;
  int root_ = -1;
};

/// A text with `${…}` in it; `$${` stands for a literal `${`.
class TextTemplate {
 public:
  static std::optional<TextTemplate> parse(std::string_view text, Problem& problem);

  bool is_literal() const { return parts_.size() == 1 && !parts_[0].expression; }
  /// The whole text is one `${…}`, which keeps the type of its value.
  bool is_single() const { return parts_.size() == 1 && parts_[0].expression.has_value(); }
  /// Text with the values put in; null if a value is null.
  Result<Json> evaluate(const Expression::Lookup& lookup) const;
  StaticType check(const Expression::TypeLookup& lookup, std::vector<Problem>& problems) const;
  std::vector<Reference> references() const;

 private:
  struct Part {
    std::string literal;
    std::optional<Expression> expression;
    std::size_t offset = 0;
  };
  std::vector<Part> parts_;
};

}  // namespace apr::pipeline

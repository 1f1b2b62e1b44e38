// Walks a template's tree. Nothing of the process is reachable from here but the values passed in;
// steps, depth and output are bounded by the meter and kMaxCallDepth.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text/jinja/function.h"
#include "core/text/jinja/meter.h"
#include "core/text/jinja/source.h"
#include "core/text/jinja/syntax.h"
#include "core/text/jinja/text_builder.h"
#include "core/text/jinja/value.h"

namespace apr::jinja {

/// Levels of statements, expressions and macro calls inside one another.
inline constexpr unsigned kMaxCallDepth = 300;

struct Arguments {
  std::vector<Value> values;
  std::vector<std::pair<std::string_view, Value>> named;
  /// Names from here on came out of a mapping, **x, which keeps them; they are untrusted.
  std::size_t written = SIZE_MAX;
  Value mapping;

  Value name(std::size_t i) const {
    return Value(i < written ? MarkedText::trusted(named[i].first)
                             : MarkedText::untrusted(named[i].first));
  }
};

class Interpreter {
 public:
  Interpreter(const Source& source, Meter& meter) : source_(source), meter_(meter), out_(&main_) {
    frames_.emplace_back();
  }

  void define(std::string_view name, Value value) { frames_[0].variables[name] = std::move(value); }
  /// Lets the template ask for the time: seconds since 1970, taken as they are.
  void set_now(std::int64_t seconds) { now_ = seconds; }
  Result<MarkedText> run(const std::vector<Statement>& body);

  // For filters, tests, methods and functions.
  Meter& meter() { return meter_; }
  std::optional<std::int64_t> now() const { return now_; }
  Error fail(Offset at, std::string message, std::string hint = {}) const;
  Error limit(Offset at) const;
  Result<Value> call(const Value& callee, Arguments arguments, Offset at);
  /// Items of a list, keys of a mapping, characters of a string, nothing of undefined; always a
  /// list.
  Result<Value> to_list(const Value& value, Offset at);
  Value attribute(const Value& object, std::string_view name);
  /// object[key], and "a.b.0" in steps where a filter takes such a path.
  Result<Value> item(const Value& object, const Value& key, Offset at);
  Result<Value> path(const Value& object, const Value& path, Offset at);
  Result<Value> new_namespace(const Arguments& arguments, Offset at);
  Result<Value> new_joiner(const Value& separator, Offset at);
  Result<Value> new_cycler(const Value& items, Offset at);  ///< a list that is not empty
  /// loop.changed(): whether the values differ from those of the last time in this loop.
  bool changed(const LoopState& loop, Value values);

 private:
  enum class Flow : std::uint8_t { on, leave, next };
  struct Frame {
    std::map<std::string_view, Value> variables;
    bool macro = false;  ///< what is outside of it but the outermost frame is not visible
  };
  class Level;

  Result<Flow> execute(const std::vector<Statement>& body);
  Result<Flow> execute_one(const Statement& statement);
  Result<Flow> run_loop(const Statement& statement);
  Result<Flow> loop_over(const Statement& statement, const Value& source, unsigned level);
  Result<Flow> run_conditional(const Statement& statement);
  Status run_output(const Statement& statement);
  Status run_set(const Statement& statement);
  Status run_block(const Statement& statement);
  Status run_macro(const Statement& statement);
  Status run_call_block(const Statement& statement);
  Result<Flow> run_group(const Statement& statement);
  /// A macro of the statement's parameters and body, with the variables visible here.
  Result<Value> new_macro(const Statement& statement);
  Result<Flow> run_with(const Statement& statement);
  Status assign(const std::vector<Target>& targets, Value value, Offset at);
  Status assign_one(const Target& target, Value value, Offset at);
  Status unpack(const std::vector<Target>& targets, const Value& value, Offset at);
  Result<Value> filtered_items(const Statement& statement, const Value& items);

  Result<Value> evaluate(const Expr& expr);
  Result<Value> evaluate_name(const Expr& expr);
  Result<Value> evaluate_items(const Expr& expr);
  Result<Value> evaluate_dict(const Expr& expr);
  Result<Value> evaluate_attribute(const Expr& expr);
  Result<Value> evaluate_subscript(const Expr& expr);
  Result<Value> evaluate_slice(const Expr& expr);
  Result<Value> evaluate_call(const Expr& expr, const Value* caller = nullptr);
  Result<Value> evaluate_filter(const Expr& expr);
  Result<Value> evaluate_test(const Expr& expr);
  Result<Value> evaluate_sign(const Expr& expr);
  Result<Value> evaluate_logical(const Expr& expr);
  Result<Value> evaluate_arithmetic(const Expr& expr);
  Result<Value> evaluate_compare(const Expr& expr);
  Result<Value> evaluate_join(const Expr& expr);
  Result<Value> evaluate_condition(const Expr& expr);
  Result<Arguments> evaluate_arguments(const Expr& expr);
  Result<Value> call_macro(const Function& function, Arguments arguments, Offset at);
  Result<Value> call_loop(const LoopState& loop, const Arguments& arguments, Offset at);
  static Value new_function(Function::Kind kind, std::string_view name, const Value& self);
  Result<Value> call_cycler(const Function& function, const Arguments& arguments, Offset at);

  Value* find(std::string_view name);
  static Value loop_attribute(const Value& object, std::string_view name);

  const Source& source_;
  Meter& meter_;
  TextBuilder main_{meter_};
  TextBuilder* out_;
  std::vector<Frame> frames_;
  std::vector<std::map<std::string, Value, std::less<>>> namespaces_;
  std::map<std::uint64_t, Value> changed_;  ///< by loop
  std::uint64_t loops_ = 0;
  std::optional<std::int64_t> now_;
  unsigned depth_ = 0;
};

/// How an expression reads in a message: "message.content", or "the value".
std::string described(const Expr& expr);

}  // namespace apr::jinja

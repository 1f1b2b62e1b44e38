#include "core/text/jinja/interpreter.h"

#include <algorithm>

#include "core/base/cat.h"
#include "core/text/jinja/builtins.h"
#include "core/text/jinja/characters.h"

namespace apr::jinja {

/// One level of nesting.
class Interpreter::Level {
 public:
  explicit Level(Interpreter& in) : in_(in) { ++in_.depth_; }
  ~Level() { --in_.depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;
  bool too_deep() const { return in_.depth_ > kMaxCallDepth; }

 private:
  Interpreter& in_;
};

Error Interpreter::fail(Offset at, std::string message, std::string hint) const {
  return source_.error(ErrorCode::format, at, std::move(message), std::move(hint));
}

Error Interpreter::limit(Offset at) const {
  if (meter_.too_long()) {
    return fail(at, cat("the template makes a text of more than ", meter_.max_text(), " bytes"));
  }
  return fail(at, cat("the template takes more than ", meter_.total(), " steps"));
}

Result<MarkedText> Interpreter::run(const std::vector<Statement>& body) {
  APR_ASSIGN(const Flow flow, execute(body));
  static_cast<void>(flow);
  if (meter_.spent()) return limit(0);
  return main_.take();
}

Value* Interpreter::find(std::string_view name) {
  for (std::size_t i = frames_.size(); i-- > 1;) {
    const auto found = frames_[i].variables.find(name);
    if (found != frames_[i].variables.end()) return &found->second;
    if (frames_[i].macro) break;
  }
  const auto found = frames_[0].variables.find(name);
  return found == frames_[0].variables.end() ? nullptr : &found->second;
}

Result<Interpreter::Flow> Interpreter::execute(const std::vector<Statement>& body) {
  const Level level(*this);
  if (level.too_deep()) {
    return fail(body.empty() ? 0 : body[0].at, cat("more than ", kMaxCallDepth, " levels deep"),
                "does a macro call itself without end?");
  }
  for (const Statement& statement : body) {
    if (!meter_.step()) return limit(statement.at);
    APR_ASSIGN(const Flow flow, execute_one(statement));
    if (meter_.spent()) return limit(statement.at);
    if (flow != Flow::on) return flow;
  }
  return Flow::on;
}

Result<Interpreter::Flow> Interpreter::execute_one(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::text:
      out_->put(statement.value.text());
      return Flow::on;
    case StatementKind::output:
      APR_TRY(run_output(statement));
      return Flow::on;
    case StatementKind::conditional:
      return run_conditional(statement);
    case StatementKind::loop:
      return run_loop(statement);
    case StatementKind::set:
      APR_TRY(run_set(statement));
      return Flow::on;
    case StatementKind::set_block:
    case StatementKind::filter_block:
      APR_TRY(run_block(statement));
      return Flow::on;
    case StatementKind::macro:
      APR_TRY(run_macro(statement));
      return Flow::on;
    case StatementKind::with:
      return run_with(statement);
    case StatementKind::call_block:
      APR_TRY(run_call_block(statement));
      return Flow::on;
    case StatementKind::group:
      return run_group(statement);
    case StatementKind::leave:
      return Flow::leave;
    case StatementKind::next:
      return Flow::next;
  }
  return Flow::on;
}

Status Interpreter::run_output(const Statement& statement) {
  APR_ASSIGN(const Value value, evaluate(*statement.expr));
  if (value.is_string()) {
    out_->put(value.text());
  } else {
    out_->put(to_text(value, meter_));
  }
  return {};
}

Result<Interpreter::Flow> Interpreter::run_conditional(const Statement& statement) {
  for (const Branch& branch : statement.branches) {
    APR_ASSIGN(const Value condition, evaluate(*branch.condition));
    if (truthy(condition)) return execute(branch.body);
  }
  return execute(statement.other);
}

Result<Value> Interpreter::filtered_items(const Statement& statement, const Value& items) {
  if (!statement.condition) return items;
  std::vector<Value> kept;
  for (const Value& item : items.items().values) {
    if (!meter_.step()) return limit(statement.at);
    frames_.emplace_back();
    Status status = assign(statement.targets, item, statement.at);
    Result<Value> wanted = status ? evaluate(*statement.condition) : Result<Value>(status.error());
    frames_.pop_back();
    if (!wanted) return wanted;
    if (truthy(*wanted)) kept.push_back(item);
  }
  return Value::list(std::move(kept));
}

Result<Interpreter::Flow> Interpreter::run_group(const Statement& statement) {
  frames_.emplace_back();
  APR_ASSIGN(const Flow flow, execute(statement.body));
  frames_.pop_back();
  return flow;
}

Result<Interpreter::Flow> Interpreter::run_loop(const Statement& statement) {
  APR_ASSIGN(const Value source, evaluate(*statement.expr));
  return loop_over(statement, source, 0);
}

Result<Interpreter::Flow> Interpreter::loop_over(const Statement& statement, const Value& source,
                                                 unsigned depth) {
  if (!source.is_list() && !source.is_dict() && !source.is_string() && !source.is_undefined()) {
    return fail(statement.expr->at, cat("cannot loop over ", described(*statement.expr), ": it is ",
                                        with_article(source)));
  }
  APR_ASSIGN(const Value all, to_list(source, statement.expr->at));
  APR_ASSIGN(const Value items, filtered_items(statement, all));
  const std::vector<Value>& values = items.items().values;
  if (values.empty()) return execute(statement.other);
  if (items.depth() >= kMaxValueDepth) {
    return fail(statement.at, cat("values nested more than ", kMaxValueDepth, " levels deep"));
  }

  auto state = std::make_shared<LoopState>();
  state->items = items;
  state->id = loops_++;
  state->level = depth;
  state->recursive = statement.recursive ? &statement : nullptr;
  state->height = frames_.size();
  Flow flow = Flow::on;
  bool whole_turn = false;  // Jinja's else runs unless some turn got to the end of the body
  for (std::size_t i = 0; i < values.size() && flow != Flow::leave; ++i) {
    if (!meter_.step()) return limit(statement.at);
    state->index = i;
    frames_.emplace_back();
    frames_.back().variables["loop"] = Value(std::shared_ptr<const LoopState>(state));
    APR_TRY(assign(statement.targets, values[i], statement.at));
    APR_ASSIGN(flow, execute(statement.body));
    frames_.pop_back();
    whole_turn = whole_turn || flow == Flow::on;
  }
  return whole_turn ? Flow::on : execute(statement.other);
}

Status Interpreter::run_set(const Statement& statement) {
  APR_ASSIGN(Value value, evaluate(*statement.expr));
  return assign(statement.targets, std::move(value), statement.at);
}

Status Interpreter::assign(const std::vector<Target>& targets, Value value, Offset at) {
  if (targets.size() == 1) return assign_one(targets[0], std::move(value), at);
  return unpack(targets, value, at);
}

Status Interpreter::unpack(const std::vector<Target>& targets, const Value& value, Offset at) {
  if (!value.is_list() && !value.is_string() && !value.is_dict()) {
    return fail(at, cat("cannot unpack ", with_article(value), " into ", targets.size(), " names"));
  }
  APR_ASSIGN(const Value items, to_list(value, at));
  const std::vector<Value>& values = items.items().values;
  if (values.size() != targets.size()) {
    return fail(at,
                cat("cannot unpack ", values.size(), " values into ", targets.size(), " names"));
  }
  for (std::size_t i = 0; i < targets.size(); ++i) {
    APR_TRY(assign_one(targets[i], values[i], at));
  }
  return {};
}

Status Interpreter::assign_one(const Target& target, Value value, Offset at) {
  if (!target.nested.empty()) return unpack(target.nested, value, at);
  if (target.attribute.empty()) {
    frames_.back().variables[target.name] = std::move(value);
    return {};
  }
  const Value* object = find(target.name);
  if (object == nullptr || object->kind() != Kind::name_space) {
    return fail(at,
                cat("cannot set ", target.name, ".", target.attribute, ": ", target.name,
                    " is no namespace"),
                cat("write {% set ", target.name, " = namespace() %} first"));
  }
  namespaces_[object->name_space().index][target.attribute] = std::move(value);
  return {};
}

Status Interpreter::run_block(const Statement& statement) {
  TextBuilder inner(meter_);
  TextBuilder* outer = std::exchange(out_, &inner);
  frames_.emplace_back();
  const Result<Flow> flow = execute(statement.body);
  out_ = outer;
  if (!flow) return flow.error();
  frames_.pop_back();
  Value text(inner.take());
  if (statement.expr) {
    frames_.emplace_back();
    frames_.back().variables[kBlockText] = std::move(text);
    APR_ASSIGN(text, evaluate(*statement.expr));
    frames_.pop_back();
  }
  if (statement.kind == StatementKind::set_block) {
    return assign_one(statement.targets[0], std::move(text), statement.at);
  }
  out_->put(to_text(text, meter_));
  return {};
}

Status Interpreter::run_macro(const Statement& statement) {
  APR_ASSIGN(frames_.back().variables[statement.name], new_macro(statement));
  return {};
}

Status Interpreter::run_call_block(const Statement& statement) {
  APR_ASSIGN(const Value caller, new_macro(statement));
  APR_ASSIGN(const Value text, evaluate_call(*statement.expr, &caller));
  out_->put(to_text(text, meter_));
  return {};
}

Result<Value> Interpreter::new_macro(const Statement& statement) {
  auto function = std::make_shared<Function>();
  function->kind = Function::Kind::macro;
  function->name = statement.name;
  function->macro = &statement;
  for (std::size_t i = frames_.size(); i-- > 1;) {
    for (const auto& [name, value] : frames_[i].variables) {
      if (!meter_.step()) return limit(statement.at);
      function->depth = std::max(function->depth, value.depth() + 1);
      function->captured.emplace_back(name, value);
    }
    if (frames_[i].macro) break;
  }
  if (function->depth > kMaxValueDepth) {
    return fail(statement.at, cat("values nested more than ", kMaxValueDepth, " levels deep"));
  }
  return Value(std::shared_ptr<const Function>(function));
}

Result<Interpreter::Flow> Interpreter::run_with(const Statement& statement) {
  std::vector<Value> values;
  for (const ExprPtr& expr : statement.values) {
    APR_ASSIGN(auto value, evaluate(*expr));
    values.push_back(std::move(value));
  }
  frames_.emplace_back();
  for (std::size_t i = 0; i < values.size(); ++i) {
    APR_TRY(assign_one(statement.targets[i], std::move(values[i]), statement.at));
  }
  APR_ASSIGN(const Flow flow, execute(statement.body));
  frames_.pop_back();
  return flow;
}

Result<Value> Interpreter::call_macro(const Function& function, Arguments arguments, Offset at) {
  const Statement& macro = *function.macro;
  std::vector<Value> more;
  if (arguments.values.size() > macro.targets.size() && (macro.uses & kUsesVarargs) != 0) {
    const auto rest = arguments.values.begin() + static_cast<std::ptrdiff_t>(macro.targets.size());
    more.assign(rest, arguments.values.end());
    arguments.values.erase(rest, arguments.values.end());
  }
  if (arguments.values.size() > macro.targets.size()) {
    return fail(at, cat("the macro ", macro.name, " takes ", macro.targets.size(),
                        macro.targets.size() == 1 ? " argument, not " : " arguments, not ",
                        arguments.values.size()));
  }
  std::vector<Value> given = std::move(arguments.values);
  const std::size_t positional = given.size();
  given.resize(macro.targets.size());
  std::vector<bool> known(macro.targets.size(), false);
  std::fill(known.begin(), known.begin() + static_cast<std::ptrdiff_t>(positional), true);
  Value caller;
  std::vector<std::pair<Value, Value>> further;
  for (std::size_t n = 0; n < arguments.named.size(); ++n) {
    auto& [name, value] = arguments.named[n];
    std::size_t i = 0;
    while (i < macro.targets.size() && macro.targets[i].name != name) ++i;
    if (!meter_.step(i)) return limit(at);
    if (i == macro.targets.size() && name == "caller" && (macro.uses & kUsesCaller) != 0) {
      caller = std::move(value);
      continue;
    }
    if (i == macro.targets.size() && (macro.uses & kUsesKwargs) != 0) {
      further.emplace_back(arguments.name(n), std::move(value));
      continue;
    }
    if (i == macro.targets.size() || known[i]) {
      return fail(at,
                  cat("the macro ", macro.name,
                      i == macro.targets.size() ? " has no parameter " : " is given twice ", name));
    }
    given[i] = std::move(value);
    known[i] = true;
  }
  TextBuilder inner(meter_);
  TextBuilder* outer = std::exchange(out_, &inner);
  const std::size_t height = frames_.size();
  frames_.emplace_back();
  frames_.back().macro = true;
  // The innermost definition of a name came first.
  for (const auto& [name, value] : function.captured) {
    if (!meter_.step()) return limit(at);
    frames_.back().variables.try_emplace(name, value);
  }
  auto& variables = frames_.back().variables;
  if ((macro.uses & kUsesCaller) != 0) variables["caller"] = std::move(caller);
  if ((macro.uses & kUsesVarargs) != 0) variables["varargs"] = Value::list(std::move(more), true);
  if ((macro.uses & kUsesKwargs) != 0) variables["kwargs"] = Value::dict(std::move(further));
  for (std::size_t i = 0; i < macro.targets.size(); ++i) {
    Value value = std::move(given[i]);
    if (!known[i] && macro.values[i]) {
      APR_ASSIGN(value, evaluate(*macro.values[i]));
    }
    frames_.back().variables[macro.targets[i].name] = std::move(value);
  }
  APR_ASSIGN(const Flow flow, execute(macro.body));
  static_cast<void>(flow);
  frames_.resize(height);
  out_ = outer;
  return Value(inner.take());
}

/// loop(items) inside of a recursive loop: its body again, seeing what the loop itself sees.
Result<Value> Interpreter::call_loop(const LoopState& loop, const Arguments& arguments, Offset at) {
  if (loop.recursive == nullptr) {
    return fail(at, "this loop cannot be called", "write {% for … recursive %}");
  }
  if (arguments.values.size() != 1 || !arguments.named.empty()) {
    return fail(at, "loop() takes what to loop over");
  }
  if (loop.height > frames_.size()) return fail(at, "this loop is over and cannot be called");
  TextBuilder inner(meter_);
  TextBuilder* outer = std::exchange(out_, &inner);
  const auto first = frames_.begin() + static_cast<std::ptrdiff_t>(loop.height);
  std::vector<Frame> hidden(std::make_move_iterator(first), std::make_move_iterator(frames_.end()));
  frames_.erase(first, frames_.end());
  APR_ASSIGN(const Flow flow, loop_over(*loop.recursive, arguments.values[0], loop.level + 1));
  static_cast<void>(flow);
  frames_.insert(frames_.end(), std::make_move_iterator(hidden.begin()),
                 std::make_move_iterator(hidden.end()));
  out_ = outer;
  return Value(inner.take());
}

}  // namespace apr::jinja

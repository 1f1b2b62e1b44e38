// joiner() and cycler(): values that count how often they are called.
#include "core/base/cat.h"
#include "core/text/jinja/interpreter.h"

namespace apr::jinja {

Value Interpreter::new_function(Function::Kind kind, std::string_view name, const Value& self) {
  Function function;
  function.kind = kind;
  function.name = name;
  function.self = self;
  return Value(std::make_shared<const Function>(std::move(function)));
}

Result<Value> Interpreter::new_joiner(const Value& separator, Offset at) {
  APR_ASSIGN(const Value state, new_namespace({}, at));
  namespaces_[state.name_space().index]["separator"] = separator;
  return new_function(Function::Kind::joiner, "joiner", state);
}

Result<Value> Interpreter::new_cycler(const Value& items, Offset at) {
  APR_ASSIGN(const Value shown, new_namespace({}, at));
  APR_ASSIGN(const Value state, new_namespace({}, at));
  auto& members = namespaces_[shown.name_space().index];
  members["current"] = items.items().values.front();
  members["next"] = new_function(Function::Kind::cycler_next, "next", state);
  members["reset"] = new_function(Function::Kind::cycler_reset, "reset", state);
  auto& hidden = namespaces_[state.name_space().index];
  hidden["items"] = items;
  hidden["place"] = Value(std::int64_t{0});
  hidden["shown"] = shown;
  return shown;
}

/// joiner() and the methods of cycler(). Their state is kept in a namespace of its own, which no
/// template can reach.
Result<Value> Interpreter::call_cycler(const Function& function, const Arguments& arguments,
                                       Offset at) {
  if (!arguments.values.empty() || !arguments.named.empty()) {
    return fail(at, cat(function.name, " takes no arguments"));
  }
  auto& state = namespaces_[function.self.name_space().index];
  if (function.kind == Function::Kind::joiner) {
    const bool first = state.try_emplace("used", true).second;
    return first ? Value::trusted("") : state["separator"];
  }
  const List& items = state["items"].items();
  const auto count = static_cast<std::int64_t>(items.values.size());
  const bool next = function.kind == Function::Kind::cycler_next;
  const std::int64_t now = state["place"].whole();
  const std::int64_t place = next ? (now + 1) % count : 0;
  state["place"] = Value(place);
  namespaces_[state["shown"].name_space().index]["current"] =
      items.values[static_cast<std::size_t>(place)];
  return next ? items.values[static_cast<std::size_t>(now)] : Value(None{});
}

}  // namespace apr::jinja

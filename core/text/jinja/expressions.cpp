// Evaluation of expressions.
#include <charconv>

#include "core/base/cat.h"
#include "core/text/jinja/builtins.h"
#include "core/text/jinja/characters.h"
#include "core/text/jinja/interpreter.h"

namespace apr::jinja {

std::string described(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::name:
      return expr.text == kBlockText ? "the block" : expr.text;
    case ExprKind::attribute:
      return cat(described(*expr.items[0]), ".", expr.text);
    case ExprKind::subscript: {
      const Expr& key = *expr.items[1];
      if (key.kind == ExprKind::literal && key.value.is_string()) {
        return cat(described(*expr.items[0]), "['", key.value.string().substr(0, 40), "']");
      }
      if (key.kind == ExprKind::literal && key.value.is_integer()) {
        return cat(described(*expr.items[0]), "[", key.value.whole(), "]");
      }
      return cat(described(*expr.items[0]), "[…]");
    }
    default:
      return "the value";
  }
}

Result<Value> Interpreter::evaluate(const Expr& expr) {
  if (!meter_.step()) return limit(expr.at);
  if (depth_ >= kMaxCallDepth) {
    return fail(expr.at, cat("more than ", kMaxCallDepth, " levels deep"),
                "does a macro call itself without end?");
  }
  ++depth_;
  Result<Value> value = [&]() -> Result<Value> {
    switch (expr.kind) {
      case ExprKind::literal:
        return expr.value;
      case ExprKind::name:
        return evaluate_name(expr);
      case ExprKind::list:
      case ExprKind::tuple:
        return evaluate_items(expr);
      case ExprKind::dict:
        return evaluate_dict(expr);
      case ExprKind::attribute:
        return evaluate_attribute(expr);
      case ExprKind::subscript:
        return evaluate_subscript(expr);
      case ExprKind::slice:
        return evaluate_slice(expr);
      case ExprKind::call:
        return evaluate_call(expr);
      case ExprKind::filter:
        return evaluate_filter(expr);
      case ExprKind::test:
        return evaluate_test(expr);
      case ExprKind::negative:
      case ExprKind::positive:
        return evaluate_sign(expr);
      case ExprKind::logical_not:
      case ExprKind::logical_and:
      case ExprKind::logical_or:
        return evaluate_logical(expr);
      case ExprKind::arithmetic:
        return evaluate_arithmetic(expr);
      case ExprKind::compare:
        return evaluate_compare(expr);
      case ExprKind::join:
        return evaluate_join(expr);
      case ExprKind::condition:
        return evaluate_condition(expr);
    }
    return Value();
  }();
  --depth_;
  if (meter_.spent() && value) return limit(expr.at);
  if (value && value->depth() > kMaxValueDepth) {
    return fail(expr.at, cat("values nested more than ", kMaxValueDepth, " levels deep"));
  }
  return value;
}

Result<Value> Interpreter::evaluate_name(const Expr& expr) {
  if (const Value* value = find(expr.text)) return *value;
  if (find_global(expr.text) != nullptr && (expr.text != "strftime_now" || now_)) {
    Function function;
    function.name = expr.text;
    return Value(std::make_shared<const Function>(std::move(function)));
  }
  return Value();
}

Result<Value> Interpreter::evaluate_items(const Expr& expr) {
  std::vector<Value> values;
  values.reserve(expr.items.size());
  for (const ExprPtr& item : expr.items) {
    APR_ASSIGN(auto value, evaluate(*item));
    values.push_back(std::move(value));
  }
  return Value::list(std::move(values), expr.kind == ExprKind::tuple);
}

Result<Value> Interpreter::evaluate_dict(const Expr& expr) {
  std::vector<std::pair<Value, Value>> entries;
  for (std::size_t i = 0; i < expr.items.size(); i += 2) {
    APR_ASSIGN(auto key, evaluate(*expr.items[i]));
    if (!key.is_string() && !key.is_whole() && !key.is_none()) {
      return fail(expr.items[i]->at, cat(with_article(key), " cannot be a key"));
    }
    APR_ASSIGN(auto value, evaluate(*expr.items[i + 1]));
    entries.emplace_back(std::move(key), std::move(value));
  }
  return Value::dict(std::move(entries));
}

Value Interpreter::loop_attribute(const Value& object, std::string_view name) {
  const LoopState& loop = object.loop();
  const std::vector<Value>& items = loop.items.items().values;
  const auto number = [](std::size_t n) { return Value(static_cast<std::int64_t>(n)); };
  if (name == "index") return number(loop.index + 1);
  if (name == "index0") return number(loop.index);
  if (name == "revindex") return number(items.size() - loop.index);
  if (name == "revindex0") return number(items.size() - loop.index - 1);
  if (name == "first") return Value(loop.index == 0);
  if (name == "last") return Value(loop.index + 1 == items.size());
  if (name == "length") return number(items.size());
  if (name == "depth") return number(loop.level + 1);
  if (name == "depth0") return number(loop.level);
  if (name == "previtem") return loop.index > 0 ? items[loop.index - 1] : Value();
  if (name == "nextitem") return loop.index + 1 < items.size() ? items[loop.index + 1] : Value();
  return Value();
}

Value Interpreter::attribute(const Value& object, std::string_view name) {
  if (object.kind() == Kind::loop && find_method(object, name) == nullptr) {
    return loop_attribute(object, name);
  }
  if (object.is_list() && object.items().group && (name == "grouper" || name == "list")) {
    return object.items().values[name == "list" ? 1 : 0];
  }
  if (object.kind() == Kind::name_space) {
    const auto& variables = namespaces_[object.name_space().index];
    const auto found = variables.find(name);
    return found == variables.end() ? Value() : found->second;
  }
  if (find_method(object, name) != nullptr || is_changing_method(object, name)) {
    Function method;
    method.kind = Function::Kind::method;
    method.name = name;
    method.self = object;
    method.depth = object.depth() + 1;
    return Value(std::make_shared<const Function>(std::move(method)));
  }
  if (object.is_dict()) {
    if (const Value* found = object.entries().find(name)) return *found;
  }
  return Value();
}

Result<Value> Interpreter::evaluate_attribute(const Expr& expr) {
  APR_ASSIGN(const Value object, evaluate(*expr.items[0]));
  if (object.is_undefined()) {
    return fail(expr.at, cat(described(*expr.items[0]), " is undefined, so it has no ", expr.text));
  }
  return attribute(object, expr.text);
}

Result<Value> Interpreter::item(const Value& object, const Value& key, Offset at) {
  if (object.is_dict()) {
    if (const Value* found = object.entries().find(key)) return *found;
    if (key.is_string()) return attribute(object, key.string());
    return Value();
  }
  if (object.is_list() && key.is_whole()) {
    const auto& values = object.items().values;
    const auto size = static_cast<std::int64_t>(values.size());
    const std::int64_t index = key.whole() < 0 ? key.whole() + size : key.whole();
    return index >= 0 && index < size ? values[static_cast<std::size_t>(index)] : Value();
  }
  if (object.is_string() && key.is_whole()) {
    const MarkedText& text = object.text();
    if (!meter_.bytes(text.size())) return limit(at);
    std::int64_t index = key.whole();
    if (index < 0) index += static_cast<std::int64_t>(count_characters(text.text()));
    if (index < 0) return Value();
    std::size_t begin = 0;
    while (begin < text.size() && index > 0) {
      begin += character_at(text.text(), begin).size;
      --index;
    }
    if (begin >= text.size()) return Value();
    return Value(text.slice(begin, begin + character_at(text.text(), begin).size));
  }
  if (key.is_string()) return attribute(object, key.string());
  return Value();
}

Result<Value> Interpreter::path(const Value& object, const Value& path, Offset at) {
  if (!path.is_string()) return item(object, path, at);
  Value value = object;
  std::string_view rest = path.string();
  while (true) {
    if (!meter_.step()) return limit(at);
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    std::int64_t index = 0;
    const auto read = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool numeric =
        !part.empty() && read.ec == std::errc{} && read.ptr == part.data() + part.size();
    if (value.is_undefined()) return value;
    APR_ASSIGN(value, item(value, numeric ? Value(index) : Value::trusted(part), at));
    if (dot == std::string_view::npos) return value;
    rest.remove_prefix(dot + 1);
  }
}

Result<Value> Interpreter::evaluate_subscript(const Expr& expr) {
  APR_ASSIGN(const Value object, evaluate(*expr.items[0]));
  APR_ASSIGN(const Value key, evaluate(*expr.items[1]));
  if (object.is_undefined()) {
    return fail(expr.at, cat(described(*expr.items[0]), " is undefined, so it has no items"));
  }
  return item(object, key, expr.at);
}

Result<Value> Interpreter::evaluate_slice(const Expr& expr) {
  APR_ASSIGN(const Value object, evaluate(*expr.items[0]));
  if (!object.is_list() && !object.is_string()) {
    return fail(expr.at, cat("cannot take a slice of ", described(*expr.items[0]), ": it is ",
                             kind_name(object)));
  }
  Value bounds[3] = {Value(None{}), Value(None{}), Value(None{})};
  for (std::size_t i = 0; i < 3; ++i) {
    if (!expr.items[i + 1]) continue;
    APR_ASSIGN(bounds[i], evaluate(*expr.items[i + 1]));
  }
  return slice_value(*this, object, bounds[0], bounds[1], bounds[2], expr.at);
}

Result<Arguments> Interpreter::evaluate_arguments(const Expr& expr) {
  Arguments arguments;
  for (std::size_t i = 1; i < expr.items.size(); ++i) {
    APR_ASSIGN(auto value, evaluate(*expr.items[i]));
    arguments.values.push_back(std::move(value));
  }
  if (expr.more_items) {
    APR_ASSIGN(const Value more, evaluate(*expr.more_items));
    APR_ASSIGN(const Value list, to_list(more, expr.more_items->at));
    const std::vector<Value>& values = list.items().values;
    if (!meter_.step(values.size())) return limit(expr.at);
    arguments.values.insert(arguments.values.end(), values.begin(), values.end());
  }
  for (const auto& [name, item] : expr.named) {
    APR_ASSIGN(auto value, evaluate(*item));
    arguments.named.emplace_back(name, std::move(value));
  }
  if (expr.more_named) {
    const Offset at = expr.more_named->at;
    APR_ASSIGN(arguments.mapping, evaluate(*expr.more_named));
    if (!arguments.mapping.is_dict()) {
      return fail(at, cat("** takes a mapping, not ", kind_name(arguments.mapping)));
    }
    arguments.written = arguments.named.size();
    for (const auto& [key, value] : arguments.mapping.entries().entries()) {
      if (!meter_.step(1 + arguments.written)) return limit(at);
      if (!key.is_string()) return fail(at, cat("** needs names, not ", kind_name(key)));
      for (std::size_t i = 0; i < arguments.written; ++i) {
        if (arguments.named[i].first == key.string()) {
          return fail(at, cat("the argument ", key.string().substr(0, 40), " is given twice"));
        }
      }
      arguments.named.emplace_back(key.string(), value);
    }
  }
  return arguments;
}

Result<Value> Interpreter::evaluate_call(const Expr& expr, const Value* caller) {
  APR_ASSIGN(const Value callee, evaluate(*expr.items[0]));
  APR_ASSIGN(auto arguments, evaluate_arguments(expr));
  if (caller != nullptr) {
    arguments.named.insert(arguments.named.begin(), {"caller", *caller});
    if (arguments.written != SIZE_MAX) ++arguments.written;
  }
  if (callee.kind() == Kind::loop) return call_loop(callee.loop(), arguments, expr.at);
  if (callee.kind() != Kind::function) {
    const std::string name = described(*expr.items[0]);
    if (name == "strftime_now") {
      return fail(expr.at, "the template asks for the date, and none was given",
                  "give the date with --date YYYY-MM-DD");
    }
    return fail(expr.items[0]->at,
                cat(name, callee.is_undefined() ? " is undefined" : " is a ",
                    callee.is_undefined() ? "" : kind_name(callee), " and cannot be called"));
  }
  return call(callee, std::move(arguments), expr.at);
}

Result<Value> Interpreter::call(const Value& callee, Arguments arguments, Offset at) {
  const Function& function = callee.function();
  if (function.kind == Function::Kind::macro) return call_macro(function, std::move(arguments), at);
  if (function.kind != Function::Kind::global && function.kind != Function::Kind::method) {
    return call_cycler(function, arguments, at);
  }
  const bool is_method = function.kind == Function::Kind::method;
  const Builtin builtin =
      is_method ? find_method(function.self, function.name) : find_global(function.name);
  if (builtin == nullptr) {
    return fail(at, cat(".", function.name, "() would change a value, which templates cannot"),
                "build a new one with + or keep it in a namespace()");
  }
  return builtin(Call{*this, function.name, function.self, arguments, at});
}

Result<Value> Interpreter::evaluate_filter(const Expr& expr) {
  const Builtin filter = find_filter(expr.text);  // there is one: the parser asked
  APR_ASSIGN(const Value value, evaluate(*expr.items[0]));
  APR_ASSIGN(const Arguments arguments, evaluate_arguments(expr));
  return filter(Call{*this, expr.text, value, arguments, expr.at});
}

Result<Value> Interpreter::evaluate_test(const Expr& expr) {
  const Builtin test = find_test(expr.text);
  APR_ASSIGN(const Value value, evaluate(*expr.items[0]));
  APR_ASSIGN(const Arguments arguments, evaluate_arguments(expr));
  APR_ASSIGN(const Value answer, test(Call{*this, expr.text, value, arguments, expr.at}));
  return Value(truthy(answer) != expr.negated);
}

Result<Value> Interpreter::evaluate_sign(const Expr& expr) {
  APR_ASSIGN(const Value value, evaluate(*expr.items[0]));
  if (!value.is_number()) {
    return fail(expr.at, cat(described(*expr.items[0]), " is no number but ", kind_name(value)));
  }
  const bool negative = expr.kind == ExprKind::negative;
  if (value.is_float()) return Value(negative ? -value.number() : value.number());
  std::int64_t result = 0;
  if (negative ? __builtin_sub_overflow(std::int64_t{0}, value.whole(), &result)
               : __builtin_add_overflow(std::int64_t{0}, value.whole(), &result)) {
    return fail(expr.at, "the number does not fit 64 bits");
  }
  return Value(result);
}

Result<Value> Interpreter::evaluate_logical(const Expr& expr) {
  if (expr.kind == ExprKind::logical_not) {
    APR_ASSIGN(const Value value, evaluate(*expr.items[0]));
    return Value(!truthy(value));
  }
  Value value;
  for (const ExprPtr& item : expr.items) {
    APR_ASSIGN(value, evaluate(*item));
    if (truthy(value) == (expr.kind == ExprKind::logical_or)) break;
  }
  return value;
}

Result<Value> Interpreter::evaluate_arithmetic(const Expr& expr) {
  APR_ASSIGN(Value value, evaluate(*expr.items[0]));
  for (std::size_t i = 0; i < expr.operators.size(); ++i) {
    APR_ASSIGN(const Value right, evaluate(*expr.items[i + 1]));
    const Expr& left = i == 0 ? *expr.items[0] : expr;
    APR_ASSIGN(value, arithmetic(*this, expr.operators[i], left, value, *expr.items[i + 1], right,
                                 expr.items[i + 1]->at));
  }
  return value;
}

Result<Value> Interpreter::evaluate_compare(const Expr& expr) {
  APR_ASSIGN(Value left, evaluate(*expr.items[0]));
  for (std::size_t i = 0; i < expr.operators.size(); ++i) {
    APR_ASSIGN(Value right, evaluate(*expr.items[i + 1]));
    APR_ASSIGN(const bool holds,
               compare_values(*this, expr.operators[i], left, right, expr.items[i + 1]->at));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Interpreter::evaluate_join(const Expr& expr) {
  TextBuilder text(meter_);
  for (const ExprPtr& item : expr.items) {
    APR_ASSIGN(const Value value, evaluate(*item));
    if (value.is_string()) {
      text.put(value.text());
    } else {
      text.put(to_text(value, meter_));
    }
  }
  return Value(text.take());
}

Result<Value> Interpreter::evaluate_condition(const Expr& expr) {
  APR_ASSIGN(const Value condition, evaluate(*expr.items[1]));
  if (truthy(condition)) return evaluate(*expr.items[0]);
  if (expr.items[2]) return evaluate(*expr.items[2]);
  return Value();
}

Result<Value> Interpreter::to_list(const Value& value, Offset at) {
  switch (value.kind()) {
    case Kind::list:
      return value;
    case Kind::undefined:
      return Value::list({});
    case Kind::dict: {
      std::vector<Value> keys;
      if (!meter_.step(value.entries().size())) return limit(at);
      for (const auto& entry : value.entries().entries()) keys.push_back(entry.first);
      return Value::list(std::move(keys));
    }
    case Kind::string: {
      const MarkedText& text = value.text();
      if (!meter_.step(text.size())) return limit(at);
      std::vector<Value> characters;
      for (std::size_t i = 0; i < text.size();) {
        const std::size_t size = character_at(text.text(), i).size;
        characters.emplace_back(text.slice(i, i + size));
        i += size;
      }
      return Value::list(std::move(characters));
    }
    default:
      return fail(at, cat(with_article(value), " has no items"));
  }
}

Result<Value> Interpreter::new_namespace(const Arguments& arguments, Offset at) {
  std::map<std::string, Value, std::less<>> variables;
  for (const Value& value : arguments.values) {
    if (!value.is_dict()) return fail(at, "namespace() takes a mapping or name=value");
    if (!meter_.step(value.entries().size())) return limit(at);
    for (const auto& [key, member] : value.entries().entries()) {
      if (key.is_string()) variables[key.string()] = member;
    }
  }
  for (const auto& [name, value] : arguments.named) variables[std::string(name)] = value;
  if (!meter_.step(4)) return limit(at);
  namespaces_.push_back(std::move(variables));
  return Value(NamespaceRef{static_cast<std::uint32_t>(namespaces_.size() - 1)});
}

bool Interpreter::changed(const LoopState& loop, Value values) {
  const auto found = changed_.find(loop.id);
  if (found != changed_.end() && equal(found->second, values, meter_)) return false;
  changed_[loop.id] = std::move(values);
  return true;
}

}  // namespace apr::jinja

// Python's operators on values.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/cat.h"
#include "core/text/jinja/builtins.h"
#include "core/text/jinja/characters.h"

namespace apr::jinja {
namespace {

std::string_view symbol(Operator op) {
  switch (op) {
    case Operator::add:
      return "+";
    case Operator::subtract:
      return "-";
    case Operator::multiply:
      return "*";
    case Operator::divide:
      return "/";
    case Operator::floor_divide:
      return "//";
    case Operator::modulo:
      return "%";
    case Operator::power:
      return "**";
    case Operator::less:
      return "<";
    case Operator::less_equal:
      return "<=";
    case Operator::greater:
      return ">";
    case Operator::greater_equal:
      return ">=";
    default:
      return "==";
  }
}

Result<Value> whole_arithmetic(Interpreter& in, Operator op, std::int64_t a, std::int64_t b,
                               Offset at) {
  std::int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Operator::add:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Operator::subtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Operator::multiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Operator::floor_divide:
    case Operator::modulo: {
      if (b == 0) return in.fail(at, "division by zero");
      if (b == -1) {  // the one division that overflows, and the remainder that traps with it
        if (op == Operator::modulo) return Value(std::int64_t{0});
        overflow = __builtin_sub_overflow(std::int64_t{0}, a, &result);
        break;
      }
      const std::int64_t quotient = a / b;
      const std::int64_t rest = a % b;
      const bool round_down = rest != 0 && (rest < 0) != (b < 0);
      result = op == Operator::modulo ? (round_down ? rest + b : rest)
                                      : (round_down ? quotient - 1 : quotient);
      break;
    }
    case Operator::power: {
      if (b < 0) {
        if (a == 0) return in.fail(at, "division by zero");
        return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
      }
      result = 1;
      std::int64_t base = a;
      for (std::int64_t e = b; e > 0; e >>= 1) {
        if ((e & 1) != 0 && __builtin_mul_overflow(result, base, &result)) overflow = true;
        if (e > 1 && __builtin_mul_overflow(base, base, &base)) overflow = true;
        if (overflow) break;
      }
      break;
    }
    default:
      break;
  }
  if (overflow) return in.fail(at, "the number does not fit 64 bits");
  return Value(result);
}

Result<Value> float_arithmetic(Interpreter& in, Operator op, double a, double b, Offset at) {
  const bool divides =
      op == Operator::divide || op == Operator::floor_divide || op == Operator::modulo;
  if (divides && b == 0) return in.fail(at, "division by zero");
  switch (op) {
    case Operator::add:
      return Value(a + b);
    case Operator::subtract:
      return Value(a - b);
    case Operator::multiply:
      return Value(a * b);
    case Operator::divide:
      return Value(a / b);
    case Operator::floor_divide:
      return Value(std::floor(a / b));
    case Operator::modulo: {
      const double rest = std::fmod(a, b);
      return Value(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
    }
    default:
      return Value(std::pow(a, b));
  }
}

Result<Value> repeat(Interpreter& in, const Value& value, std::int64_t count, Offset at) {
  if (value.is_string()) {
    TextBuilder text(in.meter());
    for (std::int64_t i = 0; i < count && !in.meter().spent() && !value.string().empty(); ++i) {
      text.put(value.text());
    }
    return like(value, Value(text.take()));
  }
  std::vector<Value> items;
  const auto& values = value.items().values;
  for (std::int64_t i = 0; i < count && !values.empty(); ++i) {
    if (!in.meter().step(values.size())) return in.limit(at);
    items.insert(items.end(), values.begin(), values.end());
  }
  return Value::list(std::move(items), value.items().tuple);
}

std::string operand(const Expr& expr, const Value& value) {
  const std::string name = described(expr);
  if (value.is_undefined()) return cat(name, " is undefined");
  return cat(name, " is ", with_article(value));
}

}  // namespace

Result<Value> arithmetic(Interpreter& in, Operator op, const Expr& left, const Value& a,
                         const Expr& right, const Value& b, Offset at) {
  if (a.is_number() && b.is_number()) {
    if (a.is_whole() && b.is_whole() && op != Operator::divide) {
      return whole_arithmetic(in, op, a.whole(), b.whole(), at);
    }
    return float_arithmetic(in, op, a.number(), b.number(), at);
  }
  if (op == Operator::add && a.is_string() && b.is_string()) {
    const bool markup = a.is_markup() || b.is_markup();
    TextBuilder text(in.meter());
    for (const Value* part : {&a, &b}) {
      text.put(markup && !part->is_markup() ? html_escaped(part->text(), in.meter())
                                            : part->text());
    }
    return markup ? Value::markup(text.take()) : Value(text.take());
  }
  if (op == Operator::add && a.is_list() && b.is_list() && a.items().tuple == b.items().tuple) {
    std::vector<Value> items = a.items().values;
    if (!in.meter().step(items.size() + b.items().values.size())) return in.limit(at);
    items.insert(items.end(), b.items().values.begin(), b.items().values.end());
    return Value::list(std::move(items), a.items().tuple);
  }
  if (op == Operator::multiply) {
    if ((a.is_string() || a.is_list()) && b.is_whole()) return repeat(in, a, b.whole(), at);
    if ((b.is_string() || b.is_list()) && a.is_whole()) return repeat(in, b, a.whole(), at);
  }
  if (op == Operator::modulo && a.is_string() && !b.is_undefined()) {
    return format_percent(in, a.text(), b, at);
  }
  return in.fail(at, cat("cannot compute ", kind_name(a), " ", symbol(op), " ", kind_name(b), ": ",
                         operand(left, a), ", ", operand(right, b)));
}

Result<bool> contains(Interpreter& in, const Value& container, const Value& item, Offset at) {
  switch (container.kind()) {
    case Kind::undefined:
      return false;
    case Kind::dict:
      return container.entries().find(item) != nullptr;
    case Kind::list:
      for (const Value& value : container.items().values) {
        if (equal(value, item, in.meter())) return true;
        if (in.meter().spent()) return in.limit(at);
      }
      return false;
    case Kind::string:
      if (!item.is_string()) {
        return in.fail(at, cat("only a string can be in a string, not ", kind_name(item)));
      }
      if (!in.meter().bytes(container.string().size())) return in.limit(at);
      return find_text(container.string(), item.string()) != std::string_view::npos;
    default:
      return in.fail(at, cat("nothing can be in ", with_article(container)));
  }
}

Result<bool> compare_values(Interpreter& in, Operator op, const Value& a, const Value& b,
                            Offset at) {
  if (op == Operator::equal) return equal(a, b, in.meter());
  if (op == Operator::not_equal) return !equal(a, b, in.meter());
  if (op == Operator::in) return contains(in, b, a, at);
  if (op == Operator::not_in) {
    APR_ASSIGN(const bool found, contains(in, b, a, at));
    return !found;
  }
  const auto order = compare(a, b, in.meter());
  if (!order) {
    return in.fail(at, cat("cannot compare ", kind_name(a), " ", symbol(op), " ", kind_name(b)));
  }
  switch (op) {
    case Operator::less:
      return *order == Order::less;
    case Operator::less_equal:
      return *order == Order::less || *order == Order::equal;
    case Operator::greater:
      return *order == Order::greater;
    default:
      return *order == Order::greater || *order == Order::equal;
  }
}

Result<Value> slice_value(Interpreter& in, const Value& object, const Value& begin,
                          const Value& end, const Value& step, Offset at) {
  for (const Value* bound : {&begin, &end, &step}) {
    if (!bound->is_none() && !bound->is_whole()) {
      return in.fail(at, cat("a slice takes whole numbers, not ", kind_name(*bound)));
    }
  }
  const std::int64_t stride = step.is_none() ? 1 : step.whole();
  if (stride == 0) return in.fail(at, "a slice's step cannot be zero");

  std::vector<std::size_t> offsets;  // of a string's characters
  if (object.is_string()) {
    if (!in.meter().step(1 + object.string().size() / 16)) return in.limit(at);
    offsets = character_offsets(object.string());
  }
  const auto size = static_cast<std::int64_t>(object.is_string() ? offsets.size() - 1
                                                                 : object.items().values.size());
  const auto clamp = [&](const Value& bound, std::int64_t fallback) {
    if (bound.is_none()) return fallback;
    std::int64_t place = bound.whole();
    if (place < 0) place = place < -size ? -1 : place + size;
    const std::int64_t low = stride > 0 ? 0 : -1;
    return std::clamp(place, low, stride > 0 ? size : size - 1);
  };
  const std::int64_t from = clamp(begin, stride > 0 ? 0 : size - 1);
  const std::int64_t to = clamp(end, stride > 0 ? size : -1);

  if (object.is_string() && stride == 1) {
    if (from >= to) return Value(MarkedText());
    return like(object, Value(object.text().slice(offsets[static_cast<std::size_t>(from)],
                                                  offsets[static_cast<std::size_t>(to)])));
  }
  std::vector<Value> items;
  TextBuilder text(in.meter());
  for (std::int64_t i = from; stride > 0 ? i < to : i > to;) {
    if (!in.meter().step()) return in.limit(at);
    const auto index = static_cast<std::size_t>(i);
    if (object.is_string()) {
      text.put_slice(object.text(), offsets[index], offsets[index + 1]);
    } else {
      items.push_back(object.items().values[index]);
    }
    if (__builtin_add_overflow(i, stride, &i)) break;
  }
  if (object.is_string()) return like(object, Value(text.take()));
  return Value::list(std::move(items), object.items().tuple);
}

}  // namespace apr::jinja

// What may stand behind "is".
#include <cmath>

#include "core/base/cat.h"
#include "core/text/jinja/builtins.h"

namespace apr::jinja {
namespace {

template <bool (*Question)(const Value&)>
Result<Value> ask(const Call& call) {
  APR_TRY(bind(call, {}));
  return Value(Question(call.self));
}

bool is_defined(const Value& v) {
  return !v.is_undefined();
}
bool is_undefined(const Value& v) {
  return v.is_undefined();
}
bool is_none(const Value& v) {
  return v.is_none();
}
bool is_string(const Value& v) {
  return v.is_string();
}
bool is_number(const Value& v) {
  return v.is_number();
}
bool is_integer(const Value& v) {
  return v.is_integer();
}
bool is_float(const Value& v) {
  return v.is_float();
}
bool is_boolean(const Value& v) {
  return v.is_boolean();
}
bool is_true(const Value& v) {
  return v.is_boolean() && v.boolean();
}
bool is_false(const Value& v) {
  return v.is_boolean() && !v.boolean();
}
bool is_mapping(const Value& v) {
  return v.is_dict();
}
bool is_markup(const Value& v) {
  return v.is_markup();
}
bool is_iterable(const Value& v) {
  return v.is_list() || v.is_dict() || v.is_string() || v.is_undefined();
}
bool is_sequence(const Value& v) {
  return is_iterable(v) && !(v.is_list() && v.items().lazy);
}
bool is_callable(const Value& v) {
  return v.kind() == Kind::function || v.is_undefined();
}

template <Operator Op>
Result<Value> compared(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"other"}, 1));
  APR_ASSIGN(const bool holds, compare_values(call.in, Op, call.self, *args[0], call.at));
  return Value(holds);
}

Result<Value> same_as(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"other"}, 1));
  return Value(call.self.same_object(*args[0]));
}

template <int Rest>
Result<Value> parity(const Call& call) {
  APR_TRY(bind(call, {}));
  if (call.self.is_float()) return Value(std::abs(std::fmod(call.self.number(), 2)) == Rest);
  if (!call.self.is_whole()) {
    return call.fail(cat(call.name, " asks about a whole number, not ", kind_name(call.self)));
  }
  return Value((call.self.whole() & 1) == Rest);
}

Result<Value> divisible_by(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"num"}, 1));
  if (!call.self.is_whole() || !args[0]->is_whole()) {
    return call.fail("divisibleby asks about whole numbers");
  }
  const std::int64_t divisor = args[0]->whole();
  if (divisor == 0) return call.fail("division by zero");
  return Value(divisor == -1 || call.self.whole() % divisor == 0);
}

template <Case Wanted>
Result<Value> in_case(const Call& call) {
  APR_TRY(bind(call, {}));
  const MarkedText text = to_text(call.self, call.in.meter());
  const Case other = Wanted == Case::upper ? Case::lower : Case::upper;
  return Value(with_case(text, Wanted, call.in.meter()).text() == text.text() &&
               with_case(text, other, call.in.meter()).text() != text.text());
}

/// Whether there is a filter or test of this name.
template <Builtin (*Find)(std::string_view)>
Result<Value> names_one(const Call& call) {
  APR_TRY(bind(call, {}));
  return Value(call.self.is_string() && Find(call.self.string()) != nullptr);
}

constexpr BuiltinRow kTests[] = {
    {"filter", names_one<find_filter>},
    {"test", names_one<find_test>},
    {"defined", ask<is_defined>},
    {"undefined", ask<is_undefined>},
    {"none", ask<is_none>},
    {"string", ask<is_string>},
    {"escaped", ask<is_markup>},
    {"number", ask<is_number>},
    {"integer", ask<is_integer>},
    {"float", ask<is_float>},
    {"boolean", ask<is_boolean>},
    {"true", ask<is_true>},
    {"false", ask<is_false>},
    {"mapping", ask<is_mapping>},
    {"iterable", ask<is_iterable>},
    {"sequence", ask<is_sequence>},
    {"callable", ask<is_callable>},
    {"eq", compared<Operator::equal>},
    {"equalto", compared<Operator::equal>},
    {"==", compared<Operator::equal>},
    {"ne", compared<Operator::not_equal>},
    {"!=", compared<Operator::not_equal>},
    {"lt", compared<Operator::less>},
    {"lessthan", compared<Operator::less>},
    {"<", compared<Operator::less>},
    {"le", compared<Operator::less_equal>},
    {"<=", compared<Operator::less_equal>},
    {"gt", compared<Operator::greater>},
    {"greaterthan", compared<Operator::greater>},
    {">", compared<Operator::greater>},
    {"ge", compared<Operator::greater_equal>},
    {">=", compared<Operator::greater_equal>},
    {"in", compared<Operator::in>},
    {"sameas", same_as},
    {"odd", parity<1>},
    {"even", parity<0>},
    {"divisibleby", divisible_by},
    {"upper", in_case<Case::upper>},
    {"lower", in_case<Case::lower>},
};

}  // namespace

Builtin find_test(std::string_view name) {
  for (const BuiltinRow& row : kTests) {
    if (row.name == name) return row.function;
  }
  return nullptr;
}

const std::vector<std::string>& test_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const BuiltinRow& row : kTests) list.emplace_back(row.name);
    return list;
  }();
  return names;
}

}  // namespace apr::jinja

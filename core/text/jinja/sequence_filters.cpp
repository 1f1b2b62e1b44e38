// Filters on lists and mappings.
#include <algorithm>

#include "core/base/cat.h"
#include "core/text/jinja/builtins.h"
#include "core/text/jinja/characters.h"
#include "core/text/jinja/filters.h"

namespace apr::jinja::filters {
namespace {

bool set(const Value* argument) {
  return argument != nullptr && !argument->is_none();
}

/// What select, reject and map take: as in Jinja2, nothing at all of none, 0 and the like.
Result<Value> items_or_none(const Call& call) {
  if (!truthy(call.self)) return Value::list({});
  return call.in.to_list(call.self, call.at);
}

/// Keeps the items for which a test, named by the arguments from `first` on, gives `wanted`.
Result<Value> pick(const Call& call, bool by_attribute, bool wanted) {
  if (!call.arguments.named.empty()) return call.fail(cat(call.name, " takes no named arguments"));
  const auto& given = call.arguments.values;
  std::size_t next = 0;
  if (by_attribute && given.empty()) return call.fail(cat(call.name, " needs an attribute's name"));
  const Value attribute = by_attribute ? given[next++] : Value();
  Builtin test = nullptr;
  Arguments rest;
  std::string_view name;
  if (next < given.size()) {
    if (!given[next].is_string()) return call.fail(cat(call.name, " needs the name of a test"));
    name = given[next++].string();
    test = find_test(name);
    if (test == nullptr)
      return call.fail(cat("the test ", name.substr(0, 40), " is not known here"));
    rest.values.assign(given.begin() + static_cast<std::ptrdiff_t>(next), given.end());
  }
  APR_ASSIGN(const Value source, items_or_none(call));
  std::vector<Value> kept;
  for (const Value& item : source.items().values) {
    if (!call.in.meter().step()) return call.in.limit(call.at);
    Value subject = item;
    if (by_attribute) {
      APR_ASSIGN(subject, call.in.path(item, attribute, call.at));
    }
    Value answer = subject;
    if (test != nullptr) {
      APR_ASSIGN(answer, test(Call{call.in, name, subject, rest, call.at}));
    }
    if (truthy(answer) == wanted) kept.push_back(item);
  }
  return Value::lazy_list(std::move(kept));
}

struct Keyed {
  Value key;
  Value item;
};

/// The parts of "a,b.c": sort() orders by several attributes.
std::vector<Value> attributes_of(const Value* attribute, bool several) {
  if (!set(attribute)) return {};
  if (!several || !attribute->is_string()) return {*attribute};
  std::vector<Value> parts;
  std::string_view rest = attribute->string();
  while (true) {
    const std::size_t comma = rest.find(',');
    parts.push_back(Value::trusted(rest.substr(0, comma)));
    if (comma == std::string_view::npos) return parts;
    rest.remove_prefix(comma + 1);
  }
}

Value folded(const Call& call, const Value& value) {
  if (!value.is_string()) return value;
  return Value(with_case(value.text(), Case::lower, call.in.meter()));
}

/// Items with what they are ordered by: themselves or attributes, without case unless asked.
Result<std::vector<Keyed>> keyed(const Call& call, const Value* attribute, bool case_sensitive,
                                 bool several = false, const Value* fallback = nullptr) {
  const std::vector<Value> paths = attributes_of(attribute, several);
  APR_ASSIGN(const Value source, call.in.to_list(call.self, call.at));
  std::vector<Keyed> result;
  for (const Value& item : source.items().values) {
    if (!call.in.meter().step()) return call.in.limit(call.at);
    std::vector<Value> keys;
    for (const Value& path : paths) {
      APR_ASSIGN(auto key, call.in.path(item, path, call.at));
      if (key.is_undefined() && fallback != nullptr) key = *fallback;
      keys.push_back(case_sensitive ? std::move(key) : folded(call, key));
    }
    Value key = keys.size() > 1    ? Value::list(std::move(keys))
                : keys.size() == 1 ? keys[0]
                : case_sensitive   ? item
                                   : folded(call, item);
    result.push_back({std::move(key), item});
  }
  return result;
}

/// A merge sort that stops when a pair has no order: std::sort wants a comparison that cannot fail.
Result<std::vector<Keyed>> sorted(const Call& call, std::vector<Keyed> items, bool reverse) {
  std::vector<Keyed> merged(items.size());
  for (std::size_t width = 1; width < items.size(); width *= 2) {
    for (std::size_t begin = 0; begin < items.size(); begin += 2 * width) {
      const std::size_t middle = std::min(begin + width, items.size());
      const std::size_t end = std::min(begin + 2 * width, items.size());
      std::size_t a = begin;
      std::size_t b = middle;
      for (std::size_t out = begin; out < end; ++out) {
        bool take_b = a == middle;
        if (a < middle && b < end) {
          const auto order = compare(items[b].key, items[a].key, call.in.meter());
          if (call.in.meter().spent()) return call.in.limit(call.at);
          if (!order) {
            return call.fail(cat(call.name, ": ", kind_name(items[a].key), " and ",
                                 kind_name(items[b].key), " have no order"));
          }
          take_b = *order == (reverse ? Order::greater : Order::less);
        }
        merged[out] = take_b ? items[b++] : items[a++];
      }
    }
    items.swap(merged);
  }
  return items;
}

Result<Value> extreme(const Call& call, Order wanted) {
  APR_ASSIGN(const auto args, bind(call, {"case_sensitive", "attribute"}));
  APR_ASSIGN(const auto items, keyed(call, args[1], args[0] != nullptr && truthy(*args[0])));
  if (items.empty()) return Value();
  const Keyed* best = &items[0];
  for (const Keyed& item : items) {
    const auto order = compare(item.key, best->key, call.in.meter());
    if (!order) return call.fail(cat(call.name, ": the values have no order"));
    if (*order == wanted) best = &item;
  }
  return best->item;
}

}  // namespace

Result<Value> length(const Call& call) {
  APR_TRY(bind(call, {}));
  const Value& value = call.self;
  std::size_t size = 0;
  switch (value.kind()) {
    case Kind::undefined:
      break;
    case Kind::list:
      size = value.items().values.size();
      break;
    case Kind::dict:
      size = value.entries().size();
      break;
    case Kind::string:
      if (!call.in.meter().bytes(value.string().size())) return call.in.limit(call.at);
      size = count_characters(value.string());
      break;
    default:
      return call.fail(cat(with_article(value), " has no length"));
  }
  return Value(static_cast<std::int64_t>(size));
}

Result<Value> fallback(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"default_value", "boolean"}));
  const bool by_truth = args[1] != nullptr && truthy(*args[1]);
  if (call.self.is_undefined() || (by_truth && !truthy(call.self))) {
    return args[0] != nullptr ? *args[0] : Value::trusted("");
  }
  return call.self;
}

Result<Value> join(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"d", "attribute"}));
  const MarkedText separator =
      args[0] == nullptr ? MarkedText() : to_text(*args[0], call.in.meter());
  return join_values(call, call.self, separator, args[1]);
}

Result<Value> first(const Call& call) {
  APR_TRY(bind(call, {}));
  if (call.self.is_string()) return call.in.item(call.self, Value(std::int64_t{0}), call.at);
  APR_ASSIGN(const Value items, call.in.to_list(call.self, call.at));
  return items.items().values.empty() ? Value() : items.items().values.front();
}

Result<Value> last(const Call& call) {
  APR_TRY(bind(call, {}));
  APR_ASSIGN(const Value items, call.in.to_list(call.self, call.at));
  return items.items().values.empty() ? Value() : items.items().values.back();
}

Result<Value> list(const Call& call) {
  APR_TRY(bind(call, {}));
  APR_ASSIGN(const Value items, call.in.to_list(call.self, call.at));
  if (!items.items().tuple && !items.items().lazy) return items;
  return Value::list(items.items().values);
}

Result<Value> items(const Call& call) {
  APR_TRY(bind(call, {}));
  if (call.self.is_undefined()) return Value::lazy_list({});
  if (!call.self.is_dict()) {
    return call.fail(cat("items takes a mapping, not ", kind_name(call.self)));
  }
  std::vector<Value> pairs;
  if (!call.in.meter().step(call.self.entries().size())) return call.in.limit(call.at);
  for (const auto& [key, value] : call.self.entries().entries()) {
    pairs.push_back(Value::list({key, value}, true));
  }
  return Value::lazy_list(std::move(pairs));
}

Result<Value> select(const Call& call) {
  return pick(call, false, true);
}
Result<Value> reject(const Call& call) {
  return pick(call, false, false);
}
Result<Value> selectattr(const Call& call) {
  return pick(call, true, true);
}
Result<Value> rejectattr(const Call& call) {
  return pick(call, true, false);
}

Result<Value> map(const Call& call) {
  APR_ASSIGN(const Value source, items_or_none(call));
  std::vector<Value> mapped;
  const auto& given = call.arguments;
  if (given.values.empty()) {
    APR_ASSIGN(const auto args, bind(call, {"attribute", "default"}));
    if (args[0] == nullptr) return call.fail("map needs a filter's name or attribute=");
    for (const Value& item : source.items().values) {
      APR_ASSIGN(auto member, call.in.path(item, *args[0], call.at));
      if (member.is_undefined() && args[1] != nullptr) member = *args[1];
      mapped.push_back(std::move(member));
    }
    return Value::lazy_list(std::move(mapped));
  }
  if (!given.values[0].is_string()) return call.fail("map needs the name of a filter");
  const std::string_view name = given.values[0].string();
  const Builtin filter = find_filter(name);
  if (filter == nullptr) {
    return call.fail(cat("the filter ", name.substr(0, 40), " is not known here"));
  }
  if (filter == &map) return call.fail("map cannot map itself");
  Arguments rest;
  rest.values.assign(given.values.begin() + 1, given.values.end());
  rest.named = given.named;
  for (const Value& item : source.items().values) {
    if (!call.in.meter().step()) return call.in.limit(call.at);
    APR_ASSIGN(auto value, filter(Call{call.in, name, item, rest, call.at}));
    mapped.push_back(std::move(value));
  }
  return Value::lazy_list(std::move(mapped));
}

Result<Value> sort(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"reverse", "case_sensitive", "attribute"}));
  APR_ASSIGN(auto items, keyed(call, args[2], args[1] != nullptr && truthy(*args[1]), true));
  APR_ASSIGN(auto ordered, sorted(call, std::move(items), args[0] != nullptr && truthy(*args[0])));
  std::vector<Value> values;
  for (Keyed& item : ordered) values.push_back(std::move(item.item));
  return Value::list(std::move(values));
}

Result<Value> unique(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"case_sensitive", "attribute"}));
  APR_ASSIGN(const auto items, keyed(call, args[1], args[0] != nullptr && truthy(*args[0])));
  std::vector<const Value*> seen;
  std::vector<Value> kept;
  for (const Keyed& item : items) {
    bool known = false;
    for (const Value* other : seen) {
      if (call.in.meter().spent()) return call.in.limit(call.at);
      if (equal(*other, item.key, call.in.meter())) known = true;
      if (known) break;
    }
    if (known) continue;
    seen.push_back(&item.key);
    kept.push_back(item.item);
  }
  return Value::lazy_list(std::move(kept));
}

Result<Value> reverse(const Call& call) {
  APR_TRY(bind(call, {}));
  if (call.self.is_string()) {
    const Value backwards(std::int64_t{-1});
    return slice_value(call.in, call.self, Value(None{}), Value(None{}), backwards, call.at);
  }
  APR_ASSIGN(const Value items, call.in.to_list(call.self, call.at));
  if (!call.in.meter().step(items.items().values.size())) return call.in.limit(call.at);
  return Value::lazy_list({items.items().values.rbegin(), items.items().values.rend()});
}

/// Lists of the items that share a value, each with that value, in the order of the values.
Result<Value> groupby(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"attribute", "default", "case_sensitive"}, 1));
  const bool case_sensitive = args[2] != nullptr && truthy(*args[2]);
  APR_ASSIGN(auto items, keyed(call, args[0], case_sensitive, false, args[1]));
  APR_ASSIGN(const auto ordered, sorted(call, std::move(items), false));
  std::vector<Value> groups;
  for (std::size_t begin = 0; begin < ordered.size();) {
    std::vector<Value> members;
    std::size_t end = begin;
    while (end < ordered.size() && equal(ordered[end].key, ordered[begin].key, call.in.meter())) {
      if (!call.in.meter().step()) return call.in.limit(call.at);
      members.push_back(ordered[end++].item);
    }
    if (end == begin) {
      if (call.in.meter().spent()) return call.in.limit(call.at);
      members.push_back(ordered[end++].item);  // equal to nothing, itself included: NaN
    }
    APR_ASSIGN(Value shared, call.in.path(ordered[begin].item, *args[0], call.at));
    if (shared.is_undefined() && args[1] != nullptr) shared = *args[1];
    List group;
    group.tuple = true;
    group.group = true;
    group.values = {std::move(shared), Value::list(std::move(members))};
    for (const Value& part : group.values) group.depth = std::max(group.depth, part.depth() + 1);
    groups.emplace_back(std::make_shared<const List>(std::move(group)));
    begin = end;
  }
  return Value::list(std::move(groups));
}

Result<Value> dictsort(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"case_sensitive", "by", "reverse"}));
  if (!call.self.is_dict()) {
    return call.fail(cat("dictsort takes a mapping, not ", kind_name(call.self)));
  }
  const std::string_view by =
      args[1] != nullptr && args[1]->is_string() ? args[1]->string() : std::string_view("key");
  if (by != "key" && by != "value") return call.fail("dictsort sorts by 'key' or 'value'");
  const bool case_sensitive = args[0] != nullptr && truthy(*args[0]);
  std::vector<Keyed> entries;
  for (const auto& [key, value] : call.self.entries().entries()) {
    if (!call.in.meter().step()) return call.in.limit(call.at);
    Value order = by == "key" ? key : value;
    if (!case_sensitive && order.is_string()) {
      order = Value(with_case(order.text(), Case::lower, call.in.meter()));
    }
    entries.push_back({std::move(order), Value::list({key, value}, true)});
  }
  APR_ASSIGN(auto ordered,
             sorted(call, std::move(entries), args[2] != nullptr && truthy(*args[2])));
  std::vector<Value> pairs;
  for (Keyed& entry : ordered) pairs.push_back(std::move(entry.item));
  return Value::list(std::move(pairs));
}

Result<Value> sum(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"attribute", "start"}));
  APR_ASSIGN(const Value source, call.in.to_list(call.self, call.at));
  Value total = args[1] != nullptr ? *args[1] : Value(std::int64_t{0});
  const Expr unnamed;
  for (const Value& item : source.items().values) {
    if (!call.in.meter().step()) return call.in.limit(call.at);
    Value member = item;
    if (set(args[0])) {
      APR_ASSIGN(member, call.in.path(item, *args[0], call.at));
    }
    APR_ASSIGN(total, arithmetic(call.in, Operator::add, unnamed, total, unnamed, member, call.at));
  }
  return total;
}

Result<Value> min(const Call& call) {
  return extreme(call, Order::less);
}
Result<Value> max(const Call& call) {
  return extreme(call, Order::greater);
}

Result<Value> attr(const Call& call) {
  APR_ASSIGN(const auto args, bind(call, {"name"}, 1));
  if (!args[0]->is_string()) return call.fail("attr takes a name");
  if (call.self.is_dict() && find_method(call.self, args[0]->string()) == nullptr) return Value();
  return call.in.attribute(call.self, args[0]->string());
}

}  // namespace apr::jinja::filters

#include "core/text/jinja/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "core/base/cat.h"
#include "core/text/jinja/characters.h"
#include "core/text/jinja/function.h"

namespace apr::jinja {
namespace {

/// Order of dictionary keys, for look-up only: strings by bytes, numbers by value, then the rest.
int key_class(const Value& key) {
  if (key.is_string()) return 0;
  if (key.is_number()) return 1;
  if (key.is_none()) return 2;
  return 3;
}

bool key_less(const Value& a, const Value& b) {
  const int class_a = key_class(a);
  const int class_b = key_class(b);
  if (class_a != class_b) return class_a < class_b;
  if (class_a == 0) return a.string() < b.string();
  if (class_a == 1) {
    if (a.is_whole() && b.is_whole()) return a.whole() < b.whole();
    return a.number() < b.number();
  }
  return false;
}

}  // namespace

namespace {

List list_of(std::vector<Value> items) {
  List list;
  for (const Value& item : items) list.depth = std::max(list.depth, item.depth() + 1);
  list.values = std::move(items);
  return list;
}

}  // namespace

Value Value::list(std::vector<Value> items, bool tuple) {
  List list = list_of(std::move(items));
  list.tuple = tuple;
  return std::make_shared<const List>(std::move(list));
}

Value Value::lazy_list(std::vector<Value> items) {
  List list = list_of(std::move(items));
  list.lazy = true;
  return std::make_shared<const List>(std::move(list));
}

Value Value::dict(std::vector<std::pair<Value, Value>> entries) {
  return std::make_shared<const Dict>(std::move(entries));
}

unsigned Value::depth() const {
  switch (kind()) {
    case Kind::list:
      return items().depth;
    case Kind::dict:
      return entries().depth();
    case Kind::function:
      return function().depth;
    case Kind::loop:
      return loop().items.depth() + 1;
    default:
      return 0;
  }
}

bool Value::same_object(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::undefined:
      return false;
    case Kind::none:
      return true;
    case Kind::boolean:
      return boolean() == other.boolean();
    case Kind::integer:
      return whole() == other.whole();
    case Kind::number:
      return number() == other.number();
    case Kind::string:
      return string() == other.string();
    case Kind::list:
      return &items() == &other.items();
    case Kind::dict:
      return &entries() == &other.entries();
    case Kind::name_space:
      return name_space().index == other.name_space().index;
    case Kind::function:
      return &function() == &other.function();
    case Kind::loop:
      return &loop() == &other.loop();
  }
  return false;
}

Dict::Dict(std::vector<std::pair<Value, Value>> entries) : entries_(std::move(entries)) {
  by_key_.resize(entries_.size());
  for (std::size_t i = 0; i < by_key_.size(); ++i) by_key_[i] = static_cast<std::uint32_t>(i);
  const auto less = [this](std::uint32_t a, std::uint32_t b) {
    return key_less(entries_[a].first, entries_[b].first);
  };
  std::sort(by_key_.begin(), by_key_.end(),
            [&](std::uint32_t a, std::uint32_t b) { return less(a, b) || (!less(b, a) && a < b); });
  bool repeated = false;
  for (std::size_t i = 1; i < by_key_.size() && !repeated; ++i) {
    repeated = !less(by_key_[i - 1], by_key_[i]);
  }
  if (repeated) {
    std::vector<bool> drop(entries_.size(), false);
    for (std::size_t i = 0; i < by_key_.size();) {
      std::size_t end = i + 1;
      while (end < by_key_.size() && !less(by_key_[i], by_key_[end])) ++end;
      entries_[by_key_[i]].second = entries_[by_key_[end - 1]].second;
      for (std::size_t k = i + 1; k < end; ++k) drop[by_key_[k]] = true;
      i = end;
    }
    std::vector<std::pair<Value, Value>> kept;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      if (!drop[i]) kept.push_back(std::move(entries_[i]));
    }
    *this = Dict(std::move(kept));
    return;
  }
  for (const auto& [key, value] : entries_) {
    depth_ = std::max({depth_, key.depth() + 1, value.depth() + 1});
  }
}

const Value* Dict::find(std::string_view key) const {
  const auto found = std::lower_bound(
      by_key_.begin(), by_key_.end(), key, [this](std::uint32_t entry, std::string_view wanted) {
        const Value& k = entries_[entry].first;
        return k.is_string() && std::string_view(k.string()) < wanted;
      });
  if (found == by_key_.end()) return nullptr;
  const auto& [k, value] = entries_[*found];
  return k.is_string() && k.string() == key ? &value : nullptr;
}

const Value* Dict::find(const Value& key) const {
  const auto found = std::lower_bound(by_key_.begin(), by_key_.end(), key,
                                      [this](std::uint32_t entry, const Value& wanted) {
                                        return key_less(entries_[entry].first, wanted);
                                      });
  if (found == by_key_.end() || key_class(key) == 3) return nullptr;
  const auto& [k, value] = entries_[*found];
  return key_less(key, k) ? nullptr : &value;
}

std::string_view kind_name(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return "undefined";
    case Kind::none:
      return "none";
    case Kind::boolean:
      return "boolean";
    case Kind::integer:
      return "integer";
    case Kind::number:
      return "float";
    case Kind::string:
      return "string";
    case Kind::list:
      return value.items().tuple ? "tuple" : "list";
    case Kind::dict:
      return "mapping";
    case Kind::name_space:
      return "namespace";
    case Kind::function:
      return "function";
    case Kind::loop:
      return "loop";
  }
  return "value";
}

std::string with_article(const Value& value) {
  const std::string_view kind = kind_name(value);
  if (value.is_none() || value.is_undefined()) return std::string(kind);
  return cat(kind.starts_with('i') ? "an " : "a ", kind);
}

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
      return value.boolean();
    case Kind::integer:
      return value.whole() != 0;
    case Kind::number:
      return value.number() != 0;
    case Kind::string:
      return !value.string().empty();
    case Kind::list:
      return value.items().lazy || !value.items().values.empty();
    case Kind::dict:
      return value.entries().size() != 0;
    case Kind::name_space:
    case Kind::function:
    case Kind::loop:
      return true;
  }
  return false;
}

bool equal(const Value& a, const Value& b, Meter& meter) {
  if (!meter.step()) return false;
  if (a.is_number() && b.is_number()) {
    if (a.is_whole() && b.is_whole()) return a.whole() == b.whole();
    return a.number() == b.number();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::string:
      return a.string().size() == b.string().size() && meter.bytes(a.string().size()) &&
             a.string() == b.string();
    case Kind::list: {
      const List& x = a.items();
      const List& y = b.items();
      if (x.values.size() != y.values.size() || x.tuple != y.tuple) return false;
      for (std::size_t i = 0; i < x.values.size(); ++i) {
        if (!equal(x.values[i], y.values[i], meter)) return false;
      }
      return true;
    }
    case Kind::dict: {
      if (a.entries().size() != b.entries().size()) return false;
      for (const auto& [key, value] : a.entries().entries()) {
        const Value* other = b.entries().find(key);
        if (other == nullptr || !equal(value, *other, meter)) return false;
      }
      return true;
    }
    default:
      return a.same_object(b);
  }
}

std::optional<Order> compare(const Value& a, const Value& b, Meter& meter) {
  const auto order = [](const auto& x, const auto& y) {
    return x < y ? Order::less : y < x ? Order::greater : x == y ? Order::equal : Order::unordered;
  };
  if (!meter.step()) return Order::equal;
  if (a.is_number() && b.is_number()) {
    if (a.is_whole() && b.is_whole()) return order(a.whole(), b.whole());
    return order(a.number(), b.number());
  }
  if (a.is_string() && b.is_string()) {
    if (!meter.bytes(std::min(a.string().size(), b.string().size()))) return Order::equal;
    return order(a.string(), b.string());
  }
  if (a.is_list() && b.is_list()) {
    const auto& x = a.items().values;
    const auto& y = b.items().values;
    for (std::size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!equal(x[i], y[i], meter)) return compare(x[i], y[i], meter);
    }
    return order(x.size(), y.size());
  }
  return std::nullopt;
}

std::optional<Value> from_json(const Json& json, bool trusted) {
  struct Converter {
    bool trusted;
    MarkedText text(const std::string& s) const {
      return trusted ? MarkedText::trusted(s) : MarkedText::untrusted(s);
    }
    std::optional<Value> convert(const Json& value, unsigned depth) const {
      if (depth > kMaxValueDepth) return std::nullopt;
      switch (value.kind()) {
        case Json::Kind::null:
          return Value(None{});
        case Json::Kind::boolean:
          return Value(value.as_boolean());
        case Json::Kind::integer:
          return Value(value.as_integer());
        case Json::Kind::number:
          return Value(value.as_number());
        case Json::Kind::string:
          return Value(text(value.as_string()));
        case Json::Kind::array: {
          std::vector<Value> items;
          items.reserve(value.as_array().size());
          for (const Json& item : value.as_array()) {
            auto converted = convert(item, depth + 1);
            if (!converted) return std::nullopt;
            items.push_back(*std::move(converted));
          }
          return Value::list(std::move(items));
        }
        case Json::Kind::object: {
          std::vector<std::pair<Value, Value>> entries;
          entries.reserve(value.as_object().size());
          for (const auto& [key, member] : value.as_object()) {
            auto converted = convert(member, depth + 1);
            if (!converted) return std::nullopt;
            entries.emplace_back(text(key), *std::move(converted));
          }
          return Value::dict(std::move(entries));
        }
      }
      return std::nullopt;
    }
  };
  return Converter{trusted}.convert(json, 0);
}

}  // namespace apr::jinja

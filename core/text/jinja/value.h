// Values of the template language: Python's, without anything that could reach outside.
//
// Values are immutable; the one thing that can be assigned to, a namespace, lives in the
// interpreter and is named by its number, so that no cycle of owners can form. Containers know how
// deep they are and are refused beyond kMaxValueDepth, so that walking and destroying them may
// recurse.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/json.h"
#include "core/text/jinja/meter.h"
#include "core/text/marked_text.h"

namespace apr::jinja {

inline constexpr unsigned kMaxValueDepth = 100;

struct None {};
struct NamespaceRef {
  std::uint32_t index = 0;
};
class Value;
struct List;
class Dict;
struct Function;
struct LoopState;
struct Statement;

enum class Kind : std::uint8_t {
  undefined,
  none,
  boolean,
  integer,
  number,
  string,
  list,
  dict,
  name_space,
  function,
  loop,
};

class Value {
 public:
  Value() = default;
  Value(None) : kind_(Kind::none) {}
  Value(bool value) : kind_(Kind::boolean), bits_(value ? 1 : 0) {}
  Value(std::int64_t value) : kind_(Kind::integer), bits_(value) {}
  Value(double value) : kind_(Kind::number), bits_(std::bit_cast<std::int64_t>(value)) {}
  Value(NamespaceRef ref) : kind_(Kind::name_space), bits_(ref.index) {}
  Value(MarkedText text)
      : kind_(Kind::string), object_(std::make_shared<const MarkedText>(std::move(text))) {}
  Value(std::shared_ptr<const Dict> dict) : kind_(Kind::dict), object_(std::move(dict)) {}
  Value(std::shared_ptr<const List> list) : kind_(Kind::list), object_(std::move(list)) {}
  Value(std::shared_ptr<const Function> function)
      : kind_(Kind::function), object_(std::move(function)) {}
  Value(std::shared_ptr<const LoopState> loop) : kind_(Kind::loop), object_(std::move(loop)) {}

  static Value trusted(std::string_view text) { return Value(MarkedText::trusted(text)); }
  /// Text that counts as HTML already (Jinja's Markup): what is added to it with + is escaped.
  static Value markup(MarkedText text) {
    Value value(std::move(text));
    value.bits_ = 1;
    return value;
  }
  static Value list(std::vector<Value> items, bool tuple = false);
  /// What stands in for a generator: true even when it is empty.
  static Value lazy_list(std::vector<Value> items);
  static Value dict(std::vector<std::pair<Value, Value>> entries);

  Kind kind() const { return kind_; }
  bool is_undefined() const { return kind() == Kind::undefined; }
  bool is_none() const { return kind() == Kind::none; }
  bool is_boolean() const { return kind() == Kind::boolean; }
  bool is_integer() const { return kind() == Kind::integer; }
  bool is_float() const { return kind() == Kind::number; }
  bool is_number() const { return is_integer() || is_float() || is_boolean(); }
  bool is_string() const { return kind() == Kind::string; }
  bool is_markup() const { return is_string() && bits_ != 0; }
  bool is_list() const { return kind() == Kind::list; }
  bool is_dict() const { return kind() == Kind::dict; }
  /// An integer or a boolean, which counts as 0 or 1.
  bool is_whole() const { return is_integer() || is_boolean(); }

  // For values of the right kind.
  bool boolean() const { return bits_ != 0; }
  std::int64_t whole() const { return bits_; }
  double number() const {
    return is_float() ? std::bit_cast<double>(bits_) : static_cast<double>(bits_);
  }
  const MarkedText& text() const { return object<MarkedText>(); }
  const std::string& string() const { return text().text(); }
  const List& items() const { return object<List>(); }
  const Dict& entries() const { return object<Dict>(); }
  NamespaceRef name_space() const { return {static_cast<std::uint32_t>(bits_)}; }
  const Function& function() const { return object<Function>(); }
  const LoopState& loop() const { return object<LoopState>(); }

  /// Levels of containers; 0 for everything else.
  unsigned depth() const;
  /// Whether two values are one object (Python's `is`).
  bool same_object(const Value& other) const;

 private:
  template <typename T>
  const T& object() const {
    return *static_cast<const T*>(object_.get());
  }
  Kind kind_ = Kind::undefined;
  std::int64_t bits_ = 0;
  std::shared_ptr<const void> object_;
};

struct List {
  std::vector<Value> values;
  bool tuple = false;
  bool lazy = false;   ///< stands in for a generator
  bool group = false;  ///< a tuple made by groupby: its parts are called grouper and list
  unsigned depth = 1;
};

/// Entries in the order in which their keys first appeared; a later value of a key replaces the
/// earlier.
class Dict {
 public:
  explicit Dict(std::vector<std::pair<Value, Value>> entries);
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }
  std::size_t size() const { return entries_.size(); }
  const Value* find(std::string_view key) const;
  /// Keys of other kinds than strings too; a key that cannot be one is just not there.
  const Value* find(const Value& key) const;
  unsigned depth() const { return depth_; }

 private:
  std::vector<std::pair<Value, Value>> entries_;
  std::vector<std::uint32_t> by_key_;  ///< entries, sorted by key
  unsigned depth_ = 1;
};

/// The `loop` of a for statement, at one of its turns.
struct LoopState {
  Value items;  ///< a list
  std::size_t index = 0;
  std::uint64_t id = 0;                  ///< for loop.changed()
  unsigned level = 0;                    ///< of recursion
  const Statement* recursive = nullptr;  ///< the loop's statement, if its body may call it
  std::size_t height = 0;                ///< frames outside of the loop
};

/// "string", "list", … as error messages name kinds.
std::string_view kind_name(const Value& value);

/// The same in a sentence: "an integer", "a list", "none".
std::string with_article(const Value& value);
bool truthy(const Value& value);

/// Python's ==. False once the meter is spent.
bool equal(const Value& a, const Value& b, Meter& meter);
enum class Order : std::uint8_t { less, equal, greater, unordered };
/// Python's <, for numbers, strings and lists; nothing for kinds that have no order.
std::optional<Order> compare(const Value& a, const Value& b, Meter& meter);

/// Python's str() and repr(). Marks are kept; what str() itself adds is trusted for numbers and the
/// like, and untrusted for the punctuation of lists and dicts. Cut short once the meter is spent.
MarkedText to_text(const Value& value, Meter& meter);
MarkedText to_repr(const Value& value, Meter& meter);
/// Python's spelling of a float.
std::string float_text(double value);

/// JSON from outside: every string is untrusted unless told otherwise. Nothing if it is nested too
/// deeply.
std::optional<Value> from_json(const Json& json, bool trusted = false);

}  // namespace apr::jinja

#include "core/graph/graph.h"

#include <algorithm>
#include <cstdlib>

namespace apr {

std::string_view name_of(Rows rows) {
  switch (rows) {
    case Rows::tokens:
      return "tokens";
    case Rows::logit_rows:
      return "logit_rows";
    case Rows::context:
      return "context";
    case Rows::frames:
      return "frames";
    case Rows::states:
      return "states";
    case Rows::sequences:
      return "sequences";
    case Rows::pairs:
      return "pairs";
    case Rows::state_pairs:
      return "state_pairs";
    case Rows::cross_pairs:
      return "cross_pairs";
  }
  return "?";
}

bool is_pairs(Rows rows) {
  return rows == Rows::pairs || rows == Rows::state_pairs || rows == Rows::cross_pairs;
}

std::uint64_t RowCounts::of(Rows rows) const {
  switch (rows) {
    case Rows::tokens:
      return tokens;
    case Rows::logit_rows:
      return logit_rows;
    case Rows::context:
      return context;
    case Rows::frames:
      return frames;
    case Rows::states:
      return states;
    case Rows::sequences:
      return sequences;
    case Rows::pairs:
      return pairs;
    case Rows::state_pairs:
      return state_pairs;
    case Rows::cross_pairs:
      return cross_pairs;
  }
  return 0;
}

namespace {

/// The builder has filled in every declared attribute with its declared type, so a miss is a
/// mistake in the program, which no input can reach.
template <typename T>
const T& attribute_of(const Node& node, std::string_view name) {
  for (const Attribute& attribute : node.attributes) {
    if (attribute.name != name) continue;
    if (const T* value = std::get_if<T>(&attribute.value)) return *value;
  }
  std::abort();
}

}  // namespace

std::int64_t Node::integer(std::string_view attribute) const {
  return attribute_of<std::int64_t>(*this, attribute);
}
double Node::number(std::string_view attribute) const {
  return attribute_of<double>(*this, attribute);
}
bool Node::flag(std::string_view attribute) const {
  return attribute_of<bool>(*this, attribute);
}
const std::string& Node::text(std::string_view attribute) const {
  return attribute_of<std::string>(*this, attribute);
}
std::span<const double> Node::numbers(std::string_view attribute) const {
  return attribute_of<std::vector<double>>(*this, attribute);
}

std::optional<ValueId> Graph::find_value(std::string_view name) const {
  const auto found = std::find_if(values_.begin(), values_.end(),
                                  [&](const Value& value) { return value.name == name; });
  if (found == values_.end()) {
    for (const auto& [output, id] : output_names_) {
      if (output == name) return id;
    }
    return std::nullopt;
  }
  return static_cast<ValueId>(found - values_.begin());
}

}  // namespace apr

#include "orchestrator/pipeline/expression.h"

#include <algorithm>

#include "core/base/cat.h"

namespace apr::pipeline {
namespace {

std::string_view type_name(const Json& value) {
  return value.is_string() ? "text" : value.kind_name();
}

bool is_ordering(std::string_view symbol) {
  return symbol == "<" || symbol == "<=" || symbol == ">" || symbol == ">=";
}

Error mistake(std::string message) {
  return make_error(ErrorCode::usage, std::move(message));
}

}  // namespace

std::string_view name_of(StaticType type) {
  switch (type) {
    case StaticType::any:
      return "value";
    case StaticType::null:
      return "null";
    case StaticType::boolean:
      return "boolean";
    case StaticType::number:
      return "number";
    case StaticType::text:
      return "text";
    case StaticType::list:
      return "list";
  }
  return "value";
}

std::string Reference::to_string() const {
  if (kind == Kind::param) return cat("params.", name);
  if (kind == Kind::matrix) return cat("matrix.", name);
  if (kind == Kind::environment) return cat("env.", name);
  if (kind == Kind::secret) return cat("secrets.", name);
  std::string text = cat("stages.", name);
  for (std::size_t i = 0; i < select.size(); ++i) {
    text += cat(i == 0 ? "[" : ",", select[i].kind == Selector::Kind::axis ? "matrix." : "",
                select[i].text, i + 1 == select.size() ? "]" : "");
  }
  if (kind == Kind::output) return cat(text, ".", port);
  text += ".report";
  for (const std::string& key : path) text += cat(".", key);
  return text;
}

std::string_view Expression::symbol(Operator op) {
  switch (op) {
    case Operator::negate:
      return "!";
    case Operator::coalesce:
      return "??";
    case Operator::either:
      return "||";
    case Operator::both:
      return "&&";
    case Operator::equal:
      return "==";
    case Operator::unequal:
      return "!=";
    case Operator::less:
      return "<";
    case Operator::less_equal:
      return "<=";
    case Operator::greater:
      return ">";
    case Operator::greater_equal:
      return ">=";
    default:
      return "";
  }
}

Result<Json> Expression::evaluate(const Lookup& lookup) const {
  return value_of(root_, lookup);
}

Result<Json> Expression::value_of(int index, const Lookup& lookup) const {
  const Node& node = nodes_[static_cast<std::size_t>(index)];
  if (node.op == Operator::literal) return node.literal;
  if (node.op == Operator::reference) return lookup(node.reference);
  APR_ASSIGN(Json left, value_of(node.left, lookup));
  const auto boolean = [&](const Json& value) -> Result<bool> {
    if (value.is_boolean()) return value.as_boolean();
    return mistake(cat("'", symbol(node.op), "' needs true or false, not ", type_name(value)));
  };
  switch (node.op) {
    case Operator::negate: {
      APR_ASSIGN(const bool value, boolean(left));
      return Json(!value);
    }
    case Operator::coalesce:
      if (!left.is_null()) return left;
      return value_of(node.right, lookup);
    case Operator::either:
    case Operator::both: {
      APR_ASSIGN(const bool value, boolean(left));
      if (value == (node.op == Operator::either)) return Json(value);
      APR_ASSIGN(const Json other, value_of(node.right, lookup));
      APR_ASSIGN(const bool second, boolean(other));
      return Json(second);
    }
    default:
      break;
  }
  APR_ASSIGN(const Json right, value_of(node.right, lookup));
  if (node.op == Operator::equal || node.op == Operator::unequal) {
    const bool numbers = left.is_number() && right.is_number();
    const bool same = numbers ? left.as_number() == right.as_number() : left == right;
    return Json(same == (node.op == Operator::equal));
  }
  if (!left.is_number() || !right.is_number()) {
    return mistake(cat("'", symbol(node.op), "' compares numbers, not ", type_name(left), " and ",
                       type_name(right)));
  }
  const double a = left.as_number();
  const double b = right.as_number();
  switch (node.op) {
    case Operator::less:
      return Json(a < b);
    case Operator::less_equal:
      return Json(a <= b);
    case Operator::greater:
      return Json(a > b);
    default:
      return Json(a >= b);
  }
}

StaticType Expression::check(const TypeLookup& lookup, std::vector<Problem>& problems) const {
  for (const Node& node : nodes_) {
    const bool secret =
        node.op == Operator::reference && node.reference.kind == Reference::Kind::secret;
    if (secret && nodes_.size() > 1) {
      problems.push_back({node.offset, "a secret cannot be compared or replaced",
                          cat("write ${", node.reference.to_string(), "} alone")});
    }
  }
  return type_of(root_, lookup, problems);
}

StaticType Expression::type_of(int index, const TypeLookup& lookup,
                               std::vector<Problem>& problems) const {
  const Node& node = nodes_[static_cast<std::size_t>(index)];
  if (node.op == Operator::literal) {
    if (node.literal.is_null()) return StaticType::null;
    if (node.literal.is_boolean()) return StaticType::boolean;
    return node.literal.is_number() ? StaticType::number : StaticType::text;
  }
  if (node.op == Operator::reference) return lookup(node.reference);
  const StaticType left = type_of(node.left, lookup, problems);
  const StaticType right = node.right < 0 ? StaticType::any : type_of(node.right, lookup, problems);
  const std::string_view sign = symbol(node.op);
  const auto expect = [&](StaticType found, StaticType wanted) {
    if (found == StaticType::any || found == wanted) return;
    problems.push_back(
        {node.offset, cat("'", sign, "' needs a ", name_of(wanted), ", not ", name_of(found)), ""});
  };
  if (node.op == Operator::coalesce) return left == right ? left : StaticType::any;
  if (node.op == Operator::negate || node.op == Operator::either || node.op == Operator::both) {
    expect(left, StaticType::boolean);
    if (node.right >= 0) expect(right, StaticType::boolean);
  } else if (is_ordering(sign)) {
    expect(left, StaticType::number);
    expect(right, StaticType::number);
  } else if (left != right && left != StaticType::any && right != StaticType::any &&
             left != StaticType::null && right != StaticType::null) {
    problems.push_back({node.offset,
                        cat("'", sign, "' compares a ", name_of(left), " with a ", name_of(right),
                            ", which are never equal"),
                        ""});
  }
  return StaticType::boolean;
}

std::vector<Reference> Expression::references() const {
  std::vector<Reference> found;
  for (const Node& node : nodes_) {
    if (node.op == Operator::reference) found.push_back(node.reference);
  }
  return found;
}

std::optional<TextTemplate> TextTemplate::parse(std::string_view text, Problem& problem) {
  TextTemplate result;
  std::string literal;
  std::size_t at = 0;
  while (at < text.size()) {
    if (text.substr(at).starts_with("$${")) {
      literal += "${";
      at += 3;
      continue;
    }
    if (!text.substr(at).starts_with("${")) {
      literal += text[at++];
      continue;
    }
    // The end is the first '}' outside quotes.
    std::size_t end = at + 2;
    char quote = 0;
    while (end < text.size() && (quote != 0 || text[end] != '}')) {
      if (quote != 0) {
        if (text[end] == quote) quote = 0;
      } else if (text[end] == '\'' || text[end] == '"') {
        quote = text[end];
      }
      ++end;
    }
    if (end == text.size()) {
      problem = {at, "'${' without its '}'", "write $${ for the two characters themselves"};
      return std::nullopt;
    }
    if (!literal.empty()) result.parts_.push_back({std::move(literal), std::nullopt, 0});
    literal.clear();
    auto expression = Expression::parse(text.substr(at + 2, end - at - 2), problem);
    if (!expression) {
      problem.offset += at + 2;
      return std::nullopt;
    }
    result.parts_.push_back({"", std::move(expression), at + 2});
    at = end + 1;
  }
  if (!literal.empty() || result.parts_.empty()) {
    result.parts_.push_back({std::move(literal), std::nullopt, 0});
  }
  return result;
}

Result<Json> TextTemplate::evaluate(const Expression::Lookup& lookup) const {
  if (is_single()) return parts_[0].expression->evaluate(lookup);
  std::string text;
  for (const Part& part : parts_) {
    if (!part.expression) {
      text += part.literal;
      continue;
    }
    APR_ASSIGN(const Json value, part.expression->evaluate(lookup));
    if (value.is_null()) return Json();
    if (value.is_array() || value.is_object()) {
      return mistake(cat("a ", value.kind_name(), " cannot be put into a text"));
    }
    text += value.is_string() ? value.as_string() : value.dump();
  }
  return Json(std::move(text));
}

StaticType TextTemplate::check(const Expression::TypeLookup& lookup,
                               std::vector<Problem>& problems) const {
  StaticType type = StaticType::text;
  for (const Part& part : parts_) {
    if (!part.expression) continue;
    const std::size_t before = problems.size();
    type = part.expression->check(lookup, problems);
    for (std::size_t i = before; i < problems.size(); ++i) problems[i].offset += part.offset;
  }
  return is_single() ? type : StaticType::text;
}

std::vector<Reference> TextTemplate::references() const {
  std::vector<Reference> found;
  for (const Part& part : parts_) {
    if (!part.expression) continue;
    for (Reference reference : part.expression->references()) {
      reference.offset += part.offset;
      found.push_back(std::move(reference));
    }
  }
  return found;
}

}  // namespace apr::pipeline

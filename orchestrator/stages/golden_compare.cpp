// Comparing one value with its reference, and saying what the difference looks like. Remarks are
// only made when the numbers show them:
//
//   not numbers   how many, and where the first is
//   reordered     the same numbers in another order
//   scaled        one factor explains all but a hundredth of the difference
//   by position   the first token agrees and a later one does not: at position 0 a rotary embedding
//   turns
//                 nothing and attention sees one key, so the mistake depends on the position
#include <algorithm>
#include <cmath>

#include "core/base/cat.h"
#include "orchestrator/stages/golden_check.h"

namespace apr {

namespace {

struct Sums {
  double reference_squares = 0;
  double difference_squares = 0;
  double products = 0;  ///< reference × found
  double largest_reference = 0;
  std::size_t not_numbers = 0;
  std::size_t first_not_number = 0;
  std::size_t worst = 0;
  double worst_difference = 0;
};

Sums sum_up(std::span<const float> reference, std::span<const float> found) {
  Sums sums;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double r = reference[i];
    const double f = found[i];
    sums.largest_reference = std::max(sums.largest_reference, std::fabs(r));
    if (!std::isfinite(f)) {
      if (sums.not_numbers++ == 0) sums.first_not_number = i;
      continue;
    }
    const double difference = std::fabs(r - f);
    sums.reference_squares += r * r;
    sums.difference_squares += difference * difference;
    sums.products += r * f;
    if (difference > sums.worst_difference) {
      sums.worst_difference = difference;
      sums.worst = i;
    }
  }
  return sums;
}

std::vector<std::uint64_t> index_of(const Shape& shape, std::size_t flat) {
  std::vector<std::uint64_t> index(shape.rank());
  for (std::size_t i = shape.rank(); i-- > 0;) {
    const std::uint64_t dim = std::max<std::uint64_t>(shape[i], 1);
    index[i] = flat % dim;
    flat /= dim;
  }
  return index;
}

bool is_reordered(std::span<const float> reference, std::span<const float> found) {
  std::vector<float> a(reference.begin(), reference.end());
  std::vector<float> b(found.begin(), found.end());
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  double largest = 0;
  double difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(a[i])));
    difference = std::max(difference, std::fabs(static_cast<double>(a[i]) - b[i]));
  }
  return difference <= 1e-4 * largest;
}

/// What the tokens say, which are the last dimension but one: [token, feature], [head, query, key].
std::string positions_remark(const NodeCheck& check, const GoldenValue& reference,
                             std::span<const float> found, double allowed) {
  const Shape& shape = reference.shape;
  if (shape.rank() < 2 || check.node == "embed") return {};
  const std::uint64_t columns = std::max<std::uint64_t>(shape.columns(), 1);
  const std::uint64_t tokens = shape[shape.rank() - 2];
  std::uint64_t first_bad = tokens;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(reference.numbers[i]) - found[i]);
    if (difference > allowed) first_bad = std::min(first_bad, i / columns % tokens);
  }
  if (first_bad == 0 || first_bad == tokens) return {};
  return cat("the first ", first_bad == 1 ? "token agrees" : cat(first_bad, " tokens agree"),
             " and token ", first_bad,
             " does not: the mistake depends on the position (rotary embedding, mask, cache)");
}

std::string remark_of(const NodeCheck& check, const Sums& sums, const GoldenValue& reference,
                      std::span<const float> found, double allowed) {
  if (sums.not_numbers > 0) {
    return cat(sums.not_numbers, " of ", found.size(), " values are not numbers");
  }
  if (sums.worst_difference > 0 && is_reordered(reference.numbers, found)) {
    return "the same numbers in another order";
  }
  if (sums.reference_squares > 0) {
    const double factor = sums.products / sums.reference_squares;
    const double found_squares =
        sums.difference_squares - sums.reference_squares + 2 * sums.products;
    const double left = found_squares - factor * factor * sums.reference_squares;
    if (left <= 1e-4 * sums.difference_squares) return cat("the reference times ", factor);
  }
  return positions_remark(check, reference, found, allowed);
}

}  // namespace

NodeCheck check_node(std::string node, const GoldenValue& reference, std::span<const float> found,
                     const GoldenTolerance& tolerance) {
  NodeCheck check;
  check.node = std::move(node);
  check.difference = check.measured = check.relative_rms = std::nan("");
  if (found.size() != reference.numbers.size()) {
    check.remark =
        cat("it has ", found.size(), " values, the reference has ", reference.numbers.size());
    return check;
  }
  const Sums sums = sum_up(reference.numbers, found);
  double allowed = tolerance.node * std::max(1.0, sums.largest_reference);
  if (check.node.find(".attn_probs") != std::string::npos) {
    allowed = tolerance.attention_probabilities.value_or(allowed);
  } else {
    allowed = std::min(allowed, tolerance.hidden_states.value_or(allowed));
  }
  if (check.node == "embed") allowed = tolerance.embed;
  const std::string_view base = std::string_view(check.node).substr(check.node.rfind('.') + 1);
  if (base.starts_with("logits")) allowed = tolerance.logits;
  const std::size_t worst = sums.not_numbers > 0 ? sums.first_not_number : sums.worst;
  if (!found.empty()) {
    check.at = index_of(reference.shape, worst);
    check.reference = reference.numbers[worst];
    check.found = found[worst];
  }
  if (sums.not_numbers == 0) {
    check.difference = sums.worst_difference;
    check.relative_rms = sums.reference_squares > 0
                             ? std::sqrt(sums.difference_squares / sums.reference_squares)
                             : std::sqrt(sums.difference_squares);
  }
  check.measured = tolerance.type_aware ? check.relative_rms : check.difference;
  check.tolerance = tolerance.type_aware ? tolerance.relative_rms : allowed;
  check.passed = check.measured <= check.tolerance;
  if (!check.passed) check.remark = remark_of(check, sums, reference, found, allowed);
  return check;
}

Json to_json(const NodeCheck& check) {
  Json at = Json::array();
  for (const std::uint64_t index : check.at) at.push_back(index);
  Json json = Json::object({{"node", check.node},
                            {"passed", check.passed},
                            {"difference", check.difference},
                            {"relative_rms", check.relative_rms},
                            {"measured", check.measured},
                            {"tolerance", check.tolerance},
                            {"at", std::move(at)},
                            {"reference", check.reference},
                            {"found", check.found}});
  if (!check.remark.empty()) json.set("remark", check.remark);
  return json;
}

}  // namespace apr

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

/// What is compared: stored numbers and the model's, padding left out.
struct Compared {
  const Shape& shape;  ///< of the stored value
  std::span<const float> reference;
  std::span<const float> found;
  std::span<const std::size_t> places;
  bool has_positions;  ///< rows are tokens in order
  std::size_t place(std::size_t i) const { return places.empty() ? i : places[i]; }
};

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
  for (std::size_t i = 0; i < found.size(); ++i) {
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
std::string positions_remark(const Compared& compared, double allowed) {
  const Shape& shape = compared.shape;
  if (shape.rank() < 2 || !compared.has_positions) return {};
  const std::uint64_t columns = std::max<std::uint64_t>(shape.columns(), 1);
  const std::uint64_t tokens = shape[shape.rank() - 2];
  std::uint64_t first_bad = tokens;
  for (std::size_t i = 0; i < compared.found.size(); ++i) {
    const double difference =
        std::fabs(static_cast<double>(compared.reference[i]) - compared.found[i]);
    if (difference > allowed) first_bad = std::min(first_bad, compared.place(i) / columns % tokens);
  }
  if (first_bad == 0 || first_bad == tokens) return {};
  return cat("the first ", first_bad == 1 ? "token agrees" : cat(first_bad, " tokens agree"),
             " and token ", first_bad,
             " does not: the mistake depends on the position (rotary embedding, mask, cache)");
}

std::string remark_of(const Compared& compared, const Sums& sums, double allowed) {
  if (sums.not_numbers > 0) {
    return cat(sums.not_numbers, " of ", compared.found.size(), " values are not numbers");
  }
  if (sums.worst_difference > 0 && is_reordered(compared.reference, compared.found)) {
    return "the same numbers in another order";
  }
  if (sums.reference_squares > 0) {
    const double factor = sums.products / sums.reference_squares;
    const double found_squares =
        sums.difference_squares - sums.reference_squares + 2 * sums.products;
    const double left = found_squares - factor * factor * sums.reference_squares;
    if (left <= 1e-4 * sums.difference_squares) return cat("the reference times ", factor);
  }
  return positions_remark(compared, allowed);
}

bool has_positions(ValueClass value_class) {
  switch (value_class) {
    case ValueClass::hidden_states:
    case ValueClass::attention_probabilities:
    case ValueClass::logits:
    case ValueClass::decoder_hidden_states:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string_view name_of(ValueClass value_class) {
  switch (value_class) {
    case ValueClass::embed:
      return "embed";
    case ValueClass::hidden_states:
      return "hidden_states";
    case ValueClass::attention_probabilities:
      return "attention_probabilities";
    case ValueClass::logits:
      return "logits";
    case ValueClass::pooler_output:
      return "pooler_output";
    case ValueClass::sentence_embedding:
      return "sentence_embedding";
    case ValueClass::encoder_hidden_states:
      return "encoder_hidden_states";
    case ValueClass::encoder_final_norm:
      return "encoder_final_norm";
    case ValueClass::decoder_hidden_states:
      return "decoder_hidden_states";
    case ValueClass::input_features:
      return "input_features";
    case ValueClass::mel_filters:
      return "mel_filters";
  }
  return "?";
}

ValueClass class_of(const Graph& graph, std::string_view value) {
  if (value == kLogits) return ValueClass::logits;
  if (value == kSentenceEmbedding) return ValueClass::sentence_embedding;
  if (value == kInputFeatures) return ValueClass::input_features;
  if (value == kMelFilters) return ValueClass::mel_filters;
  if (value == "embed") return ValueClass::embed;
  const auto id = graph.find_value(value);
  const Rows rows = id ? graph.value(*id).type.rows : Rows::tokens;
  if (is_pairs(rows)) return ValueClass::attention_probabilities;
  if (rows == Rows::sequences) return ValueClass::pooler_output;
  if (rows == Rows::states || rows == Rows::frames) {
    return value.ends_with("final_norm") ? ValueClass::encoder_final_norm
                                         : ValueClass::encoder_hidden_states;
  }
  return graph.facts().max_frames > 0 ? ValueClass::decoder_hidden_states
                                      : ValueClass::hidden_states;
}

double GoldenTolerance::allowed(ValueClass value_class, double largest) const {
  const auto suggestion = suggested.find(name_of(value_class));
  const bool is_suggested = suggestion != suggested.end();
  const double smaller = is_suggested ? suggestion->second : HUGE_VAL;
  switch (value_class) {
    case ValueClass::embed:
      return embed;
    case ValueClass::logits:
      return std::min(logits, smaller);
    case ValueClass::mel_filters:
      return std::min(node * largest, smaller);
    case ValueClass::attention_probabilities:
      if (is_suggested) return smaller;
      [[fallthrough]];
    default:
      return std::min(node * std::max(1.0, largest), smaller);
  }
}

NodeCheck check_node(std::string node, const GoldenValue& reference, const Pairing& pairing,
                     const GoldenTolerance& tolerance, ValueClass value_class) {
  NodeCheck check;
  check.node = std::move(node);
  check.difference = check.measured = check.relative_rms = std::nan("");
  if (!pairing.problem.empty()) {
    check.remark = pairing.problem;
    return check;
  }
  std::vector<float> gathered;
  for (const std::size_t place : pairing.places) gathered.push_back(reference.numbers[place]);
  const Compared compared{reference.shape, pairing.places.empty() ? reference.numbers : gathered,
                          pairing.found, pairing.places,
                          has_positions(value_class) && reference.listed.empty()};
  const Sums sums = sum_up(compared.reference, compared.found);
  const double allowed = tolerance.allowed(value_class, sums.largest_reference);
  const std::size_t worst = sums.not_numbers > 0 ? sums.first_not_number : sums.worst;
  if (!compared.found.empty()) {
    check.at = index_of(reference.shape, compared.place(worst));
    check.reference = compared.reference[worst];
    check.found = compared.found[worst];
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
  if (!check.passed) check.remark = remark_of(compared, sums, allowed);
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

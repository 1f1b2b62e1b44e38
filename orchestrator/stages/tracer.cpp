#include "orchestrator/stages/tracer.h"

#include <algorithm>
#include <cmath>

#include "core/base/cat.h"
#include "core/base/hash.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/step_tokens.h"

namespace apr {

namespace {

constexpr SequenceId kPrompt = 0;

struct Statistics {
  double min = HUGE_VAL;
  double max = -HUGE_VAL;
  double mean = 0;
  double rms = 0;
  std::uint64_t not_numbers = 0;
};

Statistics statistics_of(std::span<const float> numbers) {
  Statistics result;
  double sum = 0;
  double squares = 0;
  for (const float number : numbers) {
    if (!std::isfinite(number)) {
      ++result.not_numbers;
      continue;
    }
    const double value = number;
    result.min = std::min(result.min, value);
    result.max = std::max(result.max, value);
    sum += value;
    squares += value * value;
  }
  const auto count = static_cast<double>(numbers.size() - result.not_numbers);
  if (count > 0) {
    result.mean = sum / count;
    result.rms = std::sqrt(squares / count);
  } else {
    result.min = result.max = std::nan("");
  }
  return result;
}

template <typename Number>
Json list_of(const std::vector<Number>& numbers) {
  Json list = Json::array();
  for (const Number number : numbers) list.push_back(std::int64_t{number});
  return list;
}

Json dims_of(const Shape& shape) {
  Json list = Json::array();
  for (const std::uint64_t dim : shape.dims()) list.push_back(dim);
  return list;
}

}  // namespace

Status Tracer::run(const std::vector<std::string>& names, std::size_t greedy) {
  const bool is_causal = model_.facts().causal;
  const std::size_t positions = prompt_.ids.size() + std::max<std::size_t>(greedy, 1);
  const std::uint32_t most = model_.facts().max_position_embeddings;
  const std::size_t context = most == 0 ? positions : std::min<std::size_t>(positions, most);
  APR_ASSIGN(Session session, model_.start(static_cast<std::uint32_t>(context)));
  TapCollector encoder;
  if (!prompt_.frames.empty()) {
    APR_TRY(session.encode(kPrompt, prompt_.frames, {&encoder, nullptr}));
  }
  StepTokens step;
  step.add(kPrompt, 0, prompt_.ids, prompt_.types);
  TapCollector taps;
  APR_ASSIGN(const auto output, step.run(session, {&taps, nullptr}));
  keep_values(names, taps, encoder, session.states(kPrompt));
  if (!is_causal) return {};
  const std::size_t vocabulary = model_.facts().vocab_size;
  keep("logits_all", Shape{prompt_.ids.size(), vocabulary}, output, false);
  last_.assign(output.end() - static_cast<std::ptrdiff_t>(vocabulary), output.end());
  top_ = largest_ids(last_, 10);
  std::vector<float> logits = last_;
  for (std::size_t i = 0; i < greedy; ++i) {
    APR_TRY(check_interrupted());
    const TokenId next = largest_ids(logits, 1).front();
    greedy_.push_back(next);
    if (i + 1 == greedy) break;
    APR_ASSIGN(const auto row, session.append(kPrompt, {&next, 1}));
    logits.assign(row.begin(), row.end());
  }
  return {};
}

void Tracer::keep(const std::string& node, Shape shape, std::span<const float> numbers,
                  bool is_shared) {
  values_.push_back({is_shared ? node : cat(prompt_.name, ".", node), shape,
                     std::vector<float>(numbers.begin(), numbers.end())});
  named_.push_back({node, is_shared});
}

void Tracer::keep_values(const std::vector<std::string>& names, const TapCollector& taps,
                         const TapCollector& encoder, std::size_t states) {
  const Graph& graph = model_.graph();
  if (!prompt_.frames.empty()) {
    for (const ValueId id : graph.inputs()) {
      const ValueType& type = graph.value(id).type;
      if (type.rows == Rows::frames) keep_features(static_cast<std::size_t>(type.features));
    }
  }
  const std::size_t tokens = prompt_.ids.size();
  for (const std::string& name : names) {
    if (name == kLogits) continue;
    const ValueType& type = graph.value(*graph.find_value(name)).type;
    const std::size_t features = static_cast<std::size_t>(type.features);
    const bool is_shared =
        type.rows == Rows::frames || type.rows == Rows::states || type.rows == Rows::state_pairs;
    const auto numbers = (is_shared ? encoder : taps).numbers(graph, name);
    if (numbers.empty()) continue;
    Shape shape{numbers.size() / features, features};
    if (type.rows == Rows::pairs) shape = Shape{features, tokens, tokens};
    if (type.rows == Rows::state_pairs) shape = Shape{features, states, states};
    if (type.rows == Rows::cross_pairs) shape = Shape{features, tokens, states};
    if (type.rows == Rows::sequences) shape = Shape{features};
    keep(name, shape, numbers, is_shared);
  }
}

/// The frames that differ from the last one, and what all others are like.
void Tracer::keep_features(std::size_t features) {
  const std::size_t frames = prompt_.frames.size() / features;
  const float last = prompt_.frames.back();
  std::size_t stored = frames;
  const auto is_constant = [&](std::size_t frame) {
    const auto row = std::span(prompt_.frames).subspan(frame * features, features);
    return std::ranges::all_of(row, [&](float number) { return number == last; });
  };
  while (stored > 1 && is_constant(stored - 1)) --stored;
  const std::vector<float> table = transposed(prompt_.frames, frames);
  std::vector<float> first;
  for (std::size_t f = 0; f < features; ++f) {
    const auto row = std::span(table).subspan(f * frames, stored);
    first.insert(first.end(), row.begin(), row.end());
  }
  keep(cat(kInputFeatures, ".first", stored), Shape{features, stored}, first, true);
  features_ = Json::object(
      {{"shape", dims_of(Shape{features, frames})},
       {"stored_frames", stored},
       {"constant_from_frame", stored},
       {"constant_after", static_cast<double>(last)},
       {"sha256_full_float32", sha256(std::as_bytes(std::span<const float>(table))).hex()}});
}

Json Tracer::statistics() const {
  Json list = Json::array();
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const Statistics s = statistics_of(values_[i].numbers);
    list.push_back(Json::object({{"node", named_[i].node},
                                 {"shape", dims_of(values_[i].shape)},
                                 {"min", s.min},
                                 {"max", s.max},
                                 {"mean", s.mean},
                                 {"rms", s.rms},
                                 {"not_numbers", s.not_numbers}}));
  }
  return list;
}

Json Tracer::ids_json() const {
  return list_of(prompt_.ids);
}
Json Tracer::types_json() const {
  return list_of(prompt_.types);
}
Json Tracer::top_json() const {
  return list_of(top_);
}
Json Tracer::greedy_json() const {
  return list_of(greedy_);
}

Json Tracer::trace_json() const {
  Json notes = Json::array();
  for (const char* note :
       {"layerN.out is the hidden state after layer N (before the next layer's norm)",
        "attn_probs is [heads, query, key]", "final_norm is after the last norm",
        "greedy_ids is not cut at a stop token"}) {
    notes.push_back(note);
  }
  Json stops = Json::array();
  for (const TokenId id : model_.stop_ids()) stops.push_back(std::int64_t{id});
  Json prompts = Json::array();
  prompts.push_back(prompt_json());
  Json json = Json::object(
      {{"format", 1},
       {"reference", cat("apr ", APR_VERSION, ", ", model_.executable()->description())},
       {"notes", std::move(notes)},
       {"stop_ids", std::move(stops)}});
  if (!features_.is_null()) json.set(kInputFeatures, features_);
  json.set("prompts", std::move(prompts));
  return json;
}

Json Tracer::prompt_json() const {
  Json json = Json::object(
      {{"name", prompt_.name}, {"prompt", prompt_.text}, {"parse_special", prompt_.parse_special}});
  if (!prompt_.is_text_exact) {
    json.set("texts", JsonArray{JsonArray{}});
  } else if (prompt_.second_text) {
    json.set("texts", JsonArray{JsonArray{prompt_.text, *prompt_.second_text}});
  }
  json.set("ids", ids_json());
  json.set("n_tokens", std::uint64_t{prompt_.ids.size()});
  if (!prompt_.types.empty()) json.set("token_type_ids", types_json());
  if (model_.facts().causal) {
    Json logits = Json::array();
    for (const TokenId id : top_) {
      logits.push_back(static_cast<double>(last_[static_cast<std::size_t>(id)]));
    }
    json.set("top10_ids", top_json());
    json.set("top10_logits", std::move(logits));
    json.set("greedy_ids", greedy_json());
    json.set("greedy_stop_index", stop_index());
  }
  Json names = Json::array();
  for (const TracedValue& value : values_) names.push_back(value.name);
  json.set("tensors", std::move(names));
  return json;
}

Json Tracer::stop_index() const {
  const auto& stops = model_.stop_ids();
  const auto found = std::find_first_of(greedy_.begin(), greedy_.end(), stops.begin(), stops.end());
  return found == greedy_.end() ? Json() : Json(std::int64_t{found - greedy_.begin()});
}

}  // namespace apr

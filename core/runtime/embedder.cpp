#include "core/runtime/embedder.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/base/cat.h"
#include "core/runtime/pooler.h"

namespace apr {

namespace {

constexpr std::string_view kPoolerOutput = "pooler_output";
/// Texts in a step: enough for any texts of ordinary length to fill one.
constexpr std::uint32_t kMostTexts = 4096;
constexpr double kSmallestLength = 1e-12;  // as torch's normalize()

bool uses_pooler(const EmbedderOptions& options) {
  return std::find(options.pooling.begin(), options.pooling.end(), Pooling::pooler) !=
         options.pooling.end();
}

/// The value that vectors are made of.
Result<ValueId> pooled_value(const Graph& graph, const EmbedderOptions& options) {
  const ModelFacts& facts = graph.facts();
  if (facts.max_frames > 0) {
    return make_error(ErrorCode::unsupported,
                      cat(facts.architecture, " models make no embeddings of text"), {},
                      "use an encoder of text such as bert");
  }
  if (uses_pooler(options)) {
    if (const auto value = graph.find_value(kPoolerOutput)) return *value;
    return make_error(ErrorCode::unsupported,
                      cat("the ", facts.architecture, " model has no pooler of its own"), {},
                      "use another pooling, such as mean or cls");
  }
  for (const char* name : {"last_hidden_state", "final_norm"}) {
    const auto value = graph.find_value(name);
    if (value && graph.value(*value).type.rows == Rows::tokens) return *value;
  }
  return make_error(ErrorCode::unsupported,
                    cat("the ", facts.architecture, " model has no last hidden state to pool"));
}

bool takes_token_types(const Graph& graph) {
  for (const ValueId id : graph.inputs()) {
    if (graph.value(id).name == "token_types") return true;
  }
  return false;
}

Error about_text(std::size_t index, std::string message, std::string hint = {}) {
  return make_error(ErrorCode::inference, cat("text ", index, ": ", message), {}, std::move(hint));
}

}  // namespace

Status prepare_embedding(const Graph& graph, EmbedderOptions& options, CompileOptions& compile) {
  const ModelFacts& facts = graph.facts();
  if (options.pooling.empty() || (uses_pooler(options) && options.pooling.size() > 1)) {
    return make_error(ErrorCode::usage, "pooler cannot be combined with other poolings");
  }
  APR_ASSIGN(const ValueId value, pooled_value(graph, options));
  const std::uint32_t made_for = facts.max_position_embeddings;
  if (options.max_tokens == 0) options.max_tokens = made_for;
  if (made_for > 0 && options.max_tokens > made_for) {
    return make_error(ErrorCode::usage,
                      cat("texts of ", options.max_tokens, " tokens are longer than the ", made_for,
                          " that the model was made for"));
  }
  if (options.step_tokens == 0) options.step_tokens = kEmbeddingStepTokens;
  if (options.max_tokens == 0) options.max_tokens = options.step_tokens;
  if (graph.sees_whole_sequences()) {
    options.step_tokens = std::max(options.step_tokens, options.max_tokens);
  }
  compile.max_tokens = options.step_tokens;
  compile.max_logit_rows = 1;
  compile.taps = {graph.value(value).name};
  return {};
}

Embedder::Embedder(Session session, EmbedderOptions options, std::string tap,
                   std::uint32_t features)
    : session_(std::move(session)),
      options_(std::move(options)),
      tap_(std::move(tap)),
      features_(features) {}

Result<Embedder> Embedder::create(std::shared_ptr<Executable> executable,
                                  const EmbedderOptions& options) {
  const Graph& graph = executable->graph();
  APR_ASSIGN(const ValueId id, pooled_value(graph, options));
  const Value& value = graph.value(id);
  const CompileOptions& compiled = executable->options();
  if (options.step_tokens == 0 || compiled.max_tokens < options.step_tokens ||
      std::find(compiled.taps.begin(), compiled.taps.end(), value.name) == compiled.taps.end()) {
    return make_error(ErrorCode::usage, "the model was not compiled for embeddings");
  }
  APR_ASSIGN(Session session, Session::create(std::move(executable), options.max_tokens,
                                              std::min(options.step_tokens, kMostTexts)));
  return Embedder(std::move(session), options, value.name,
                  static_cast<std::uint32_t>(value.type.features));
}

std::uint32_t Embedder::dimension() const {
  return features_ * static_cast<std::uint32_t>(options_.pooling.size());
}

/// Pools the parts of a step while it runs.
class Embedder::Sink final : public TapSink {
 public:
  Sink(const Embedder& embedder, std::span<float> vectors)
      : embedder_(embedder),
        pooler_(embedder.options_.pooling, embedder.features_),
        vectors_(vectors) {}

  void on_step(std::span<const Part> parts) {
    parts_ = parts;
    values_ = 0;
  }
  bool got_values() const { return values_ == 1; }

  void on_value(std::string_view name, std::uint64_t rows, std::uint64_t features,
                std::span<const float> data) noexcept override {
    if (name != embedder_.tap_) return;
    ++values_;
    const bool per_text = embedder_.options_.pooling.front() == Pooling::pooler;
    for (const Part& part : parts_) {
      const std::size_t tokens = part.end - part.begin;
      const std::size_t taken = per_text ? 1 : tokens;
      if (features != embedder_.features_ || rows < taken) return fail();
      const std::size_t dimension = embedder_.dimension();
      const std::span<float> vector = vectors_.subspan(part.index * dimension, dimension);
      if (per_text) {
        std::copy_n(data.begin(), dimension, vector.begin());
      } else {
        if (part.begin == 0) pooler_.begin(part.text->unpooled);
        for (std::size_t t = 0; t < tokens; ++t) {
          pooler_.add(data.subspan(t * embedder_.features_, embedder_.features_));
        }
        if (part.end == part.text->ids.size()) pooler_.finish(vector);
      }
      data = data.subspan(taken * embedder_.features_);
      rows -= taken;
    }
    if (rows != 0) fail();
  }

 private:
  void fail() { values_ = 2; }
  const Embedder& embedder_;
  TokenPooler pooler_;
  std::span<float> vectors_;
  std::span<const Part> parts_;
  int values_ = 0;
};

Status Embedder::check(std::span<const TextTokens> texts, std::span<float> vectors) const {
  if (vectors.size() / dimension() != texts.size() || vectors.size() % dimension() != 0) {
    return make_error(ErrorCode::inference,
                      cat("there is room for ", vectors.size(), " numbers, not for ", texts.size(),
                          " vectors of ", dimension()));
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const TextTokens& text = texts[i];
    const std::size_t tokens = text.ids.size();
    if (tokens == 0) return about_text(i, "it has no tokens");
    if (tokens > options_.max_tokens) {
      return about_text(
          i, cat("its ", tokens, " tokens are more than the ", options_.max_tokens, " that fit"));
    }
    if (text.unpooled >= tokens) return about_text(i, "the prompt leaves no tokens to pool");
    if (!text.types.empty() && text.types.size() != tokens) {
      return about_text(i, cat("it has ", tokens, " tokens and ", text.types.size(), " types"));
    }
  }
  return {};
}

Status Embedder::run(std::span<const Part> parts, Sink& sink, std::span<float> vectors) {
  ids_.clear();
  positions_.clear();
  types_.clear();
  sequences_.clear();
  for (SequenceId sequence = 0; sequence < parts.size(); ++sequence) {
    const Part& part = parts[sequence];
    for (std::size_t i = part.begin; i < part.end; ++i) {
      ids_.push_back(part.text->ids[i]);
      positions_.push_back(static_cast<std::int32_t>(i));
      types_.push_back(part.text->types.empty() ? 0 : part.text->types[i]);
      sequences_.push_back(sequence);
    }
  }
  const BatchInput types{"token_types", {}, types_};
  Batch batch{ids_, positions_, sequences_, {}};
  if (takes_token_types(session_.executable().graph())) batch.inputs = {&types, 1};
  sink.on_step(parts);
  APR_TRY(session_.step(batch, {&sink, nullptr}));
  if (!sink.got_values()) {
    return make_error(ErrorCode::inference, cat("the backend did not report ", tap_));
  }
  for (SequenceId sequence = 0; sequence < parts.size(); ++sequence) {
    const Part& part = parts[sequence];
    if (part.end < part.text->ids.size()) continue;
    session_.release(sequence);
    APR_TRY(finish(part.index, vectors.subspan(part.index * dimension(), dimension())));
  }
  return {};
}

Status Embedder::finish(std::size_t index, std::span<float> vector) const {
  double squares = 0;
  for (const float number : vector) {
    if (!std::isfinite(number)) {
      return about_text(index, "its vector holds a number that is not finite",
                        "apr validate --quality looks for damaged weights");
    }
    squares += static_cast<double>(number) * static_cast<double>(number);
  }
  if (!options_.normalize) return {};
  const double length = std::max(std::sqrt(squares), kSmallestLength);
  for (float& number : vector) {
    number = static_cast<float>(static_cast<double>(number) / length);
  }
  return {};
}

Status Embedder::embed(std::span<const TextTokens> texts, std::span<float> vectors,
                       const OnTokens& on_tokens) {
  APR_TRY(check(texts, vectors));
  session_.release(0);  // what a failed call may have left of a long text
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto size_of = [&](std::size_t place) { return texts[order[place]].ids.size(); };
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const std::size_t size_a = texts[a].ids.size();
    const std::size_t size_b = texts[b].ids.size();
    return size_a != size_b ? size_a > size_b : a < b;
  });
  Sink sink(*this, vectors);
  std::uint64_t done = 0;
  std::vector<Part> parts;
  const auto run_parts = [&]() -> Status {
    APR_TRY(run(parts, sink, vectors));
    for (const Part& part : parts) done += part.end - part.begin;
    return on_tokens ? on_tokens(done) : Status();
  };
  // The longest texts first, and the shortest ones where they leave room.
  for (std::size_t first = 0, last = order.size(); first < last;) {
    const std::size_t step = options_.step_tokens;
    const std::size_t longest = size_of(first);
    if (longest > step) {
      const std::size_t index = order[first++];
      for (std::size_t begin = 0; begin < longest; begin += step) {
        parts = {{index, &texts[index], begin, std::min(begin + step, longest)}};
        APR_TRY(run_parts());
      }
      continue;
    }
    parts.clear();
    std::size_t room = step;
    const auto take = [&](std::size_t place) {
      const std::size_t index = order[place];
      parts.push_back({index, &texts[index], 0, texts[index].ids.size()});
      room -= texts[index].ids.size();
    };
    const auto fits = [&](std::size_t place) {
      return first < last && parts.size() < kMostTexts && size_of(place) <= room;
    };
    while (fits(first)) take(first++);
    while (fits(last - 1)) take(--last);
    APR_TRY(run_parts());
  }
  return {};
}

double cosine_similarity(std::span<const float> a, std::span<const float> b) {
  double product = 0;
  double squares_a = 0;
  double squares_b = 0;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    const auto x = static_cast<double>(a[i]);
    const auto y = static_cast<double>(b[i]);
    product += x * y;
    squares_a += x * x;
    squares_b += y * y;
  }
  const double lengths = std::sqrt(squares_a) * std::sqrt(squares_b);
  return lengths > 0 ? product / lengths : 0;
}

}  // namespace apr

// Vectors from ids: the reference's of a trained bert, poolings by hand, and that a text's vector
// does not depend on what it is computed with.
#include <algorithm>
#include <catch2/catch.hpp>

#include "core/runtime/pooler.h"
#include "tests/unit/embeddings/embed.h"

namespace apr::testing {
namespace {

using Catch::Matchers::Contains;

constexpr Mode kModes[] = {Mode::exact, Mode::deterministic, Mode::fast};

TEST_CASE("sentence embeddings and the pooler's output are the reference's", "[golden]") {
  const auto folder = arch_model_folder("tiny-bert");
  if (!folder) {
    WARN("skipped: no shared test data");
    return;
  }
  const TestModel model = make_model(read_model_folder(*folder));
  const GoldenTexts golden = read_golden_texts(*folder);
  REQUIRE(golden.tokens.size() == 5);
  for (const std::string backend : {"cpu", "reference"}) {
    for (const Mode mode : kModes) {
      INFO(backend << " " << name_of(mode));
      CompileOptions how;
      how.mode = mode;
      Embedder mean = make_embedder(model, {}, how, backend);
      CHECK(mean.dimension() == 128);
      const Vectors sentence = embed(mean, golden.tokens);
      CHECK(difference(sentence, golden.sentence) <= 2e-5);
      Embedder own =
          make_embedder(model, {.pooling = {Pooling::pooler}, .normalize = false}, how, backend);
      CHECK(difference(embed(own, golden.tokens), golden.pooler) <= 5e-5);

      const Json& cosines = golden.json["cosine_similarity"];
      for (std::size_t i = 0; i < 5; ++i) {
        CHECK(cosines["rows"].as_array()[i].as_string() == golden.names[i]);
        for (std::size_t j = 0; j < 5; ++j) {
          const std::span<const float> all(sentence);
          const double cosine =
              cosine_similarity(all.subspan(128 * i, 128), all.subspan(128 * j, 128));
          const double wanted = cosines["values"].as_array()[i].as_array()[j].as_number();
          CHECK(cosine == Approx(wanted).margin(1e-5));
        }
      }
    }
  }
}

TEST_CASE("the reference's vectors find a wrong pooling, padding and token types", "[golden]") {
  const auto folder = arch_model_folder("tiny-bert");
  if (!folder) return;
  const TestModel model = make_model(read_model_folder(*folder));
  const GoldenTexts golden = read_golden_texts(*folder);
  for (const Pooling pooling :
       {Pooling::cls, Pooling::max, Pooling::weighted_mean, Pooling::last_token}) {
    Embedder other = make_embedder(model, {.pooling = {pooling}}, {});
    CHECK(difference(embed(other, golden.tokens), golden.sentence) > 1e-2);
  }
  Embedder mean = make_embedder(model, {}, {});
  std::vector<TextTokens> padded = golden.tokens;
  padded[0].ids.resize(19, 0);
  padded[0].types.resize(19, 0);
  CHECK(difference(embed(mean, padded), golden.sentence) > 1e-2);
  std::vector<TextTokens> untyped = golden.tokens;
  for (TextTokens& text : untyped) text.types.clear();
  CHECK(difference(embed(mean, untyped), golden.sentence) > 1e-3);
}

TEST_CASE("a text's vector has the same bits in any batch and on any number of threads",
          "[properties]") {
  const auto folder = arch_model_folder("tiny-bert");
  if (!folder) return;
  const TestModel model = make_model(read_model_folder(*folder));
  const std::vector<TextTokens> texts = random_texts(30, 128, 1000);
  for (const Mode mode : {Mode::exact, Mode::deterministic}) {
    CompileOptions how;
    how.mode = mode;
    Embedder one = make_embedder(model, {}, how);
    Vectors alone;
    for (const TextTokens& text : texts) {
      const Vectors vector = embed(one, {&text, 1});
      alone.insert(alone.end(), vector.begin(), vector.end());
    }
    for (const std::uint32_t step : {1U, 129U, 300U, 0U, 8192U}) {
      for (const unsigned threads : {1U, 2U, 5U}) {
        INFO(name_of(mode) << " " << step << " tokens, " << threads << " threads");
        how.team = std::make_shared<Team>(threads);
        Embedder many = make_embedder(model, {.step_tokens = step}, how);
        CHECK(embed(many, texts) == alone);
        CHECK(embed(many, texts) == alone);
      }
    }
  }
}

TEST_CASE("models that predict tokens are pooled over their last norm, in pieces if need be") {
  for (const std::string type : {"qwen2", "gpt2", "mistral"}) {
    INFO(type);
    RandomModel shape;
    shape.model_type = type;
    if (type != "gpt2") shape.window = 5;
    const TestModel model = make_model(random_model(shape));
    std::vector<TextTokens> texts = random_texts(20, 60, shape.vocab_size);

    // By the hand of a session: the value of the trace, token by token.
    struct Collector final : TapSink {
      void on_value(std::string_view, std::uint64_t, std::uint64_t,
                    std::span<const float> data) noexcept override {
        values.insert(values.end(), data.begin(), data.end());
      }
      Vectors values;
    };
    CompileOptions traced;
    traced.taps = {"final_norm"};
    std::shared_ptr<Executable> executable =
        must(must(test_registry().backend("cpu"))->compile(model.graph, model.package, traced));
    Session session = must(Session::create(executable, 64));
    Vectors last, means;
    for (const TextTokens& text : texts) {
      Collector taps;
      must(session.append(0, text.ids, {&taps, nullptr}));
      session.release(0);
      const std::size_t features = shape.hidden_size;
      REQUIRE(taps.values.size() == text.ids.size() * features);
      for (std::size_t i = 0; i < features; ++i) {
        last.push_back(taps.values[taps.values.size() - features + i]);
        double sum = 0;
        for (std::size_t t = 0; t < text.ids.size(); ++t) sum += taps.values[t * features + i];
        means.push_back(static_cast<float>(sum / static_cast<double>(text.ids.size())));
      }
    }
    for (const std::uint32_t step : {1U, 7U, 64U, 0U}) {
      INFO("steps of " << step);
      const auto with = [&](Pooling pooling) {
        return EmbedderOptions{
            .pooling = {pooling}, .normalize = false, .max_tokens = 64, .step_tokens = step};
      };
      Embedder lasts = make_embedder(model, with(Pooling::last_token), {});
      CHECK(embed(lasts, texts) == last);
      Embedder mean = make_embedder(model, with(Pooling::mean), {});
      CHECK(embed(mean, texts) == means);
    }
  }
}

TEST_CASE("poolings, by hand") {
  const std::vector<Pooling> all = {Pooling::cls,           Pooling::max,
                                    Pooling::mean,          Pooling::mean_sqrt_len,
                                    Pooling::weighted_mean, Pooling::last_token};
  TokenPooler pooler(all, 2);
  for (int round = 0; round < 2; ++round) {  // nothing of the first text is left in the second
    const auto pooled = [&](std::uint32_t unpooled) {
      pooler.begin(unpooled);
      for (const auto& token : {Vectors{1, -5}, Vectors{8, -3}, Vectors{3, -4}, Vectors{0, -4}}) {
        pooler.add(token);
      }
      Vectors vector(12);
      pooler.finish(vector);
      return vector;
    };
    CHECK(pooled(0) == Vectors{1, -5, 8, -3, 3, -4, 6, -8, 2.6F, -3.9F, 0, -4});
    // Without the first two: the first token of all is still cls, and places still count from it.
    CHECK(difference(pooled(2), Vectors{1, -5, 3, -4, 1.5F, -4, 3 / std::sqrt(2.F),
                                        -8 / std::sqrt(2.F), 9 / 7.F, -4, 0, -4}) < 1e-6);
  }
}

TEST_CASE("several poolings stand one after the other") {
  const TestModel model = make_model(random_model({}));
  const std::vector<TextTokens> texts = random_texts(3, 9, 61);
  Embedder both =
      make_embedder(model, {.pooling = {Pooling::cls, Pooling::mean}, .normalize = false}, {});
  Embedder cls = make_embedder(model, {.pooling = {Pooling::cls}, .normalize = false}, {});
  Embedder mean = make_embedder(model, {.pooling = {Pooling::mean}, .normalize = false}, {});
  CHECK(both.dimension() == 72);
  const Vectors one = embed(cls, texts);
  const Vectors two = embed(mean, texts);
  Vectors joined;
  for (std::ptrdiff_t i = 0; i < 3; ++i) {
    joined.insert(joined.end(), one.begin() + 36 * i, one.begin() + 36 * (i + 1));
    joined.insert(joined.end(), two.begin() + 36 * i, two.begin() + 36 * (i + 1));
  }
  CHECK(embed(both, texts) == joined);
  Embedder normalized = make_embedder(model, {.pooling = {Pooling::cls, Pooling::mean}}, {});
  for (const Vectors all = embed(normalized, texts); const std::size_t i : {0, 1, 2}) {
    const auto vector = std::span(all).subspan(72 * i, 72);
    double squares = 0;
    for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
    CHECK(squares == Approx(1).margin(1e-6));
    CHECK(cosine_similarity(vector, std::span(joined).subspan(72 * i, 72)) ==
          Approx(1).margin(1e-9));
  }
}

TEST_CASE("what cannot be pooled says so") {
  const TestModel causal = make_model(random_model({}));
  const auto refusal = [](const TestModel& model, EmbedderOptions options) {
    CompileOptions how;
    const Status status = prepare_embedding(model.graph, options, how);
    return status ? std::string() : status.error().to_string();
  };
  CHECK_THAT(refusal(causal, {.pooling = {Pooling::pooler}}), Contains("no pooler of its own"));
  CHECK_THAT(refusal(causal, {.pooling = {}}), Contains("pooler"));
  CHECK_THAT(refusal(causal, {.max_tokens = 513}), Contains("513") && Contains("512"));
  if (const auto folder = arch_model_folder("tiny-bert")) {
    const TestModel bert = make_model(read_model_folder(*folder));
    CHECK_THAT(refusal(bert, {.pooling = {Pooling::pooler, Pooling::mean}}),
               Contains("cannot be combined"));
    ModelParts parts = read_model_folder(*folder);
    parts.config.set("architectures", Json(JsonArray{Json("BertForMaskedLM")}));
    CHECK_THAT(refusal(make_model(parts), {.pooling = {Pooling::pooler}}),
               Contains("no pooler of its own"));
  }
  if (const auto folder = arch_model_folder("tiny-whisper")) {
    CHECK_THAT(refusal(make_model(read_model_folder(*folder)), {}),
               Contains("whisper models make no embeddings"));
  }

  // An executable that was compiled for something else.
  std::shared_ptr<Executable> executable =
      must(must(test_registry().backend("cpu"))->compile(causal.graph, causal.package, {}));
  EmbedderOptions options;
  CompileOptions how;
  must(prepare_embedding(causal.graph, options, how));
  CHECK_FALSE(Embedder::create(executable, options).ok());
}

TEST_CASE("texts that cannot be embedded are named, and the next call works") {
  const TestModel model = make_model(random_model({}));
  Embedder embedder = make_embedder(model, {.max_tokens = 9, .step_tokens = 4}, {});
  const std::vector<TextTokens> good = random_texts(3, 9, 61);
  const Vectors wanted = embed(embedder, good);
  Vectors vectors(wanted.size());
  const auto refusal = [&](const TextTokens& bad) {
    std::vector<TextTokens> texts = good;
    texts[1] = bad;
    const Status status = embedder.embed(texts, vectors);
    return status ? std::string() : status.error().to_string();
  };
  CHECK_THAT(refusal({}), Contains("text 1: it has no tokens"));
  CHECK_THAT(refusal({TextTokens{std::vector<TokenId>(10, 5), {}, 0}}),
             Contains("text 1: its 10 tokens") && Contains("9"));
  CHECK_THAT(refusal({{5, 5}, {}, 2}), Contains("text 1: the prompt leaves no tokens"));
  CHECK_THAT(refusal({{5, 5}, {0}, 0}), Contains("2 tokens and 1 types"));
  CHECK_THAT(refusal({{5, 5, 5, 5, 5, 61}, {}, 0}), Contains("token id 61"));
  CHECK(embed(embedder, good) == wanted);
  CHECK_FALSE(embedder.embed(good, std::span(vectors).first(36)).ok());

  // An error of the caller's ends the call and is handed on.
  std::uint64_t told = 0;
  const auto stop = [&](std::uint64_t done) -> Status {
    told = done;
    return make_error(ErrorCode::interrupted, "enough");
  };
  const Status stopped = embedder.embed(good, vectors, stop);
  REQUIRE_FALSE(stopped.ok());
  CHECK(stopped.error().code == ErrorCode::interrupted);
  CHECK(told > 0);
  CHECK(embed(embedder, good) == wanted);
}

TEST_CASE("weights that make numbers beyond all bounds are noticed") {
  for (const Pooling pooling : {Pooling::mean, Pooling::max, Pooling::last_token}) {
    ModelParts parts = random_model({});
    auto values = parts.tensor("model.norm.weight").floats();
    values[3] = NAN;
    parts.tensor("model.norm.weight").set_floats(values);
    const TestModel model = make_model(parts);
    Embedder embedder = make_embedder(model, {.pooling = {pooling}}, {});
    Vectors vectors(36);
    const Status status = embedder.embed(random_texts(1, 5, 61), vectors);
    REQUIRE_FALSE(status.ok());
    CHECK_THAT(status.error().to_string(), Contains("text 0") && Contains("not finite"));
  }
}

TEST_CASE("a bert's token types beyond its table are an error", "[hostile]") {
  const auto folder = arch_model_folder("tiny-bert");
  if (!folder) return;
  const TestModel model = make_model(read_model_folder(*folder));
  for (const std::string backend : {"cpu", "reference"}) {
    Embedder embedder = make_embedder(model, {}, {}, backend);
    Vectors vectors(128);
    for (const std::int32_t type : {2, -1, INT32_MAX}) {
      const TextTokens text{{2, 5, 3}, {0, type, 0}, 0};
      CHECK_FALSE(embedder.embed({&text, 1}, vectors).ok());
    }
  }
}

}  // namespace
}  // namespace apr::testing

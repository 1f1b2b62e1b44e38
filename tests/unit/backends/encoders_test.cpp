// Encoders: bert on texts, whisper on frames. Their reference traces, mistakes that the traces must
// find, and that a sequence gets the same bits alone and among others.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>

#include "core/base/cat.h"
#include "core/runtime/session.h"
#include "tests/unit/backends/models.h"

namespace apr::testing {
namespace {

using Catch::Matchers::Contains;
using Values = std::map<std::string, std::vector<float>>;

/// Values of a step; those of several sequences one after the other.
class Collector final : public TapSink {
 public:
  void on_value(std::string_view name, std::uint64_t, std::uint64_t,
                std::span<const float> data) noexcept override {
    auto& value = values[std::string(name)];
    value.insert(value.end(), data.begin(), data.end());
  }
  Values values;
};

struct Golden {
  Json json;
  Values values;
};

Golden read_golden(const std::string& folder) {
  std::ifstream file(folder + "/golden/golden.json", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  Golden golden{must(parse_json(text)), {}};
  for (const NamedTensor& tensor : read_safetensors(folder + "/golden/golden.safetensors")) {
    golden.values[tensor.name] = tensor.floats();
  }
  return golden;
}

template <typename Number>
std::vector<Number> numbers(const Json& list) {
  std::vector<Number> result;
  for (const Json& item : list.as_array()) result.push_back(static_cast<Number>(item.as_integer()));
  return result;
}

template <typename Function>
void on_every_backend(Function&& function) {
  for (Backend* backend : test_registry().backends()) {
    INFO("backend " << backend->id());
    function(*backend);
  }
}

double difference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return INFINITY;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(d <= largest)) largest = d;
  }
  return largest;
}

Session start(Backend& backend, const TestModel& model, Mode mode, std::uint32_t sequences = 4) {
  CompileOptions options;
  options.mode = mode;
  options.taps = {"*"};
  options.max_frames = 2 * model.graph.facts().max_frames;
  std::shared_ptr<Executable> executable =
      must(backend.compile(model.graph, model.package, options));
  return must(Session::create(executable, model.graph.facts().max_position_embeddings, sequences));
}

/// A text for bert: ids and token types.
struct Text {
  std::vector<TokenId> ids;
  std::vector<std::int32_t> types;
};

/// Texts as sequences 0, 1, ... of one step.
Values run_texts(Session& session, const std::vector<Text>& texts) {
  std::vector<TokenId> ids;
  std::vector<std::int32_t> positions, types;
  std::vector<SequenceId> sequences;
  for (SequenceId s = 0; s < texts.size(); ++s) {
    for (std::size_t i = 0; i < texts[s].ids.size(); ++i) {
      ids.push_back(texts[s].ids[i]);
      types.push_back(texts[s].types[i]);
      positions.push_back(static_cast<std::int32_t>(i));
      sequences.push_back(s);
    }
  }
  const BatchInput input{"token_types", {}, types};
  Collector taps;
  Batch batch{ids, positions, sequences, {}};
  batch.inputs = {&input, 1};
  const auto out = must(session.step(batch, {&taps, nullptr}));
  taps.values["last_hidden_state"].assign(out.begin(), out.end());
  return std::move(taps.values);
}

/// Rows [0, tokens) of each of `tables` tables [length][columns], and of attention tables only the
/// first `tokens` columns: what is left of a padded row without its padding.
std::vector<float> unpadded(const std::vector<float>& all, std::size_t row, std::size_t batch,
                            std::size_t length, std::size_t tokens, std::size_t tables,
                            bool square) {
  const std::size_t columns = all.size() / batch / tables / length;
  const std::size_t kept = square ? tokens : columns;
  std::vector<float> result;
  for (std::size_t table = 0; table < tables; ++table) {
    for (std::size_t t = 0; t < tokens; ++t) {
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(
                                           ((row * tables + table) * length + t) * columns);
      result.insert(result.end(), begin, begin + static_cast<std::ptrdiff_t>(kept));
    }
  }
  return result;
}

double bert_tolerance(std::string_view name) {
  if (name == "pooler_output") return 5e-5;
  return name.ends_with("attn_probs") ? 1e-5 : 1e-4;
}

/// Sentences about values that are too far from the trace.
std::vector<std::string> bert_problems(Backend& backend, Mode mode, const TestModel& model,
                                       const Golden& golden, std::size_t& compared) {
  std::vector<std::string> problems;
  const std::size_t heads = model.graph.facts().num_attention_heads;
  Session session = start(backend, model, mode);
  for (const Json& prompt : golden.json["prompts"].as_array()) {
    const std::string& name = prompt["name"].as_string();
    const bool batched = prompt["ids"].as_array().front().is_array();
    const std::size_t count = batched ? prompt["ids"].size() : 1;
    const auto row = [&](const char* field, std::size_t r) {
      return numbers<std::int32_t>(batched ? prompt[field].as_array()[r] : prompt[field]);
    };
    std::vector<Text> texts;
    std::vector<std::size_t> lengths;
    for (std::size_t r = 0; r < count; ++r) {
      const auto mask = row("attention_mask", r);
      const auto length = static_cast<std::size_t>(std::count(mask.begin(), mask.end(), 1));
      Text text{row("ids", r), row("token_type_ids", r)};
      lengths.push_back(text.ids.size());
      text.ids.resize(length);
      text.types.resize(length);
      texts.push_back(text);
    }
    Values together = run_texts(session, texts);
    for (const Json& tensor : prompt["tensors"].as_array()) {
      const std::string value = tensor.as_string().substr(name.size() + 1);
      if (value == "sentence_embedding") continue;  // made of last_hidden_state, by the verb
      const bool square = value.ends_with("attn_probs");
      std::vector<float> expected;
      for (std::size_t r = 0; r < count; ++r) {
        const auto& all = golden.values.at(tensor.as_string());
        const auto part = value == "pooler_output"
                              ? unpadded(all, r, count, 1, 1, 1, false)
                              : unpadded(all, r, count, lengths[r], texts[r].ids.size(),
                                         square ? heads : 1, square);
        expected.insert(expected.end(), part.begin(), part.end());
      }
      ++compared;
      const double off = difference(expected, together[value]);
      if (!(off <= bert_tolerance(value))) problems.push_back(cat(name, " ", value, " ", off));
    }
  }
  return problems;
}

TEST_CASE("bert agrees with its reference traces, padding left out", "[golden]") {
  const auto folder = arch_model_folder("tiny-bert");
  if (!folder) {
    WARN("skipped: no shared test data");
    return;
  }
  const TestModel model = make_model(read_model_folder(*folder));
  const Golden golden = read_golden(*folder);
  on_every_backend([&](Backend& backend) {
    for (const Mode mode : {Mode::exact, Mode::deterministic, Mode::fast}) {
      std::size_t compared = 0;
      const auto problems = bert_problems(backend, mode, model, golden, compared);
      for (const auto& problem : problems) UNSCOPED_INFO(problem);
      CHECK(problems.empty());
      CHECK(compared == 4 * 6);
    }
  });
}

TEST_CASE("the traces of bert find wrong norms and activations", "[golden]") {
  const auto folder = arch_model_folder("tiny-bert");
  if (!folder) return;
  const Golden golden = read_golden(*folder);
  Backend* backend = must(test_registry().backend("cpu"));
  for (const auto& [field, value] :
       {std::pair{"hidden_act", Json("gelu_new")}, std::pair{"layer_norm_eps", Json(1e-5)}}) {
    ModelParts parts = read_model_folder(*folder);
    parts.config.set(field, value);
    std::size_t compared = 0;
    CHECK_FALSE(bert_problems(*backend, Mode::exact, make_model(parts), golden, compared).empty());
  }
}

TEST_CASE("bert: a text gets the same bits alone and among others", "[properties]") {
  const auto folder = arch_model_folder("tiny-bert");
  if (!folder) return;
  const TestModel model = make_model(read_model_folder(*folder));
  std::vector<Text> texts(4);
  std::size_t lengths[] = {17, 1, 40, 6};
  std::uint32_t state = 7;
  for (std::size_t t = 0; t < texts.size(); ++t) {
    for (std::size_t i = 0; i < lengths[t]; ++i) {
      state = state * 1664525 + 1013904223;
      texts[t].ids.push_back(static_cast<TokenId>((state >> 8) % 1000));
      texts[t].types.push_back(static_cast<std::int32_t>(i * 2 / lengths[t]));
    }
  }
  on_every_backend([&](Backend& backend) {
    for (const Mode mode : {Mode::exact, Mode::deterministic}) {
      Session session = start(backend, model, mode);
      Values together = run_texts(session, texts);
      Values apart;
      for (const Text& text : texts) {
        for (auto& [name, value] : run_texts(session, {text})) {
          apart[name].insert(apart[name].end(), value.begin(), value.end());
        }
      }
      for (const auto& [name, value] : together) {
        INFO(name);
        CHECK(value == apart[name]);
      }
    }
  });
}

// --- whisper ---

/// [features][frames], as the trace has it, to [frames][features]; the frames that were not stored
/// are all alike.
std::vector<float> frames_of(const Golden& golden) {
  const Json& about = golden.json["input_features"];
  const auto features = static_cast<std::size_t>(about["shape"].as_array()[0].as_integer());
  const auto frames = static_cast<std::size_t>(about["shape"].as_array()[1].as_integer());
  const auto stored = static_cast<std::size_t>(about["stored_frames"].as_integer());
  const auto& values = golden.values.at("input_features.first320");
  std::vector<float> mel(frames * features,
                         static_cast<float>(about["constant_after"].as_number()));
  for (std::size_t f = 0; f < features; ++f) {
    for (std::size_t t = 0; t < stored; ++t) mel[t * features + f] = values[f * stored + t];
  }
  return mel;
}

std::vector<float> rows_of(const std::vector<float>& all, std::size_t tables, std::size_t columns,
                           const std::vector<std::size_t>& rows) {
  std::vector<float> result;
  for (std::size_t table = 0; table < tables; ++table) {
    for (const std::size_t row : rows) {
      const std::size_t at = (table * (all.size() / tables / columns) + row) * columns;
      if (at + columns > all.size()) return {};
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(at);
      result.insert(result.end(), begin, begin + static_cast<std::ptrdiff_t>(columns));
    }
  }
  return result;
}

double whisper_tolerance(std::string_view name) {
  if (name.ends_with("attn_probs") || name.ends_with("queries")) return 2e-5;
  if (name.starts_with("enc.final_norm") || name.starts_with("logits")) return 2e-4;
  return name.starts_with("enc.") ? 5e-4 : 3e-4;
}

std::vector<std::string> whisper_problems(Backend& backend, Mode mode, const TestModel& model,
                                          const Golden& golden, std::size_t& compared,
                                          std::size_t& tokens) {
  std::vector<std::string> problems;
  Session session = start(backend, model, mode);
  Collector encoder;
  must(session.encode(0, frames_of(golden), {&encoder, nullptr}));
  std::vector<std::size_t> first160(160), every50(30);
  std::iota(first160.begin(), first160.end(), std::size_t{0});
  for (std::size_t i = 0; i < every50.size(); ++i) every50[i] = 50 * i;
  for (const Json& prompt : golden.json["prompts"].as_array()) {
    const std::string& name = prompt["name"].as_string();
    must(session.truncate(0, 0));
    Collector taps;
    const auto ids = numbers<TokenId>(prompt["ids"]);
    const auto logits = must(session.append_all_logits(0, ids, {&taps, nullptr}));
    taps.values["logits_all"].assign(logits.begin(), logits.end());
    for (const Json& tensor : prompt["tensors"].as_array()) {
      const std::string& full = tensor.as_string();
      const auto& expected = golden.values.at(full);
      std::string value = full.starts_with(name + ".") ? full.substr(name.size() + 1) : full;
      if (value == "mel_filters" || value.starts_with("input_features")) continue;
      std::vector<float> actual = taps.values[value];
      const std::size_t cut = value.rfind('.');
      const auto& whole = encoder.values[value.substr(0, cut)];
      if (value.ends_with(".first160")) actual = rows_of(whole, 1, 64, first160);
      if (value.ends_with(".every50")) actual = rows_of(whole, 1, 64, every50);
      if (value.ends_with(".queries")) actual = rows_of(whole, 2, 1500, {0, 75, 149, 1000});
      ++compared;
      const double off = difference(expected, actual);
      if (!(off <= whisper_tolerance(value))) problems.push_back(cat(name, " ", value, " ", off));
    }
    std::vector<float> last(logits.end() - 600, logits.end());
    for (const TokenId wanted : numbers<TokenId>(prompt["greedy_ids"])) {
      ++tokens;
      if (std::max_element(last.begin(), last.end()) - last.begin() != wanted) {
        problems.push_back(cat(name, " greedy token ", wanted));
        break;
      }
      const auto next = must(session.append(0, {&wanted, 1}));
      last.assign(next.begin(), next.end());
    }
  }
  return problems;
}

TEST_CASE("whisper agrees with its reference traces", "[golden]") {
  const auto folder = arch_model_folder("tiny-whisper");
  if (!folder) {
    WARN("skipped: no shared test data");
    return;
  }
  const TestModel model = make_model(read_model_folder(*folder));
  const Golden golden = read_golden(*folder);
  on_every_backend([&](Backend& backend) {
    for (const Mode mode : {Mode::exact, Mode::deterministic, Mode::fast}) {
      if (backend.id() == "reference" && mode != Mode::exact) continue;  // the same, slowly
      std::size_t compared = 0;
      std::size_t tokens = 0;
      const auto problems = whisper_problems(backend, mode, model, golden, compared, tokens);
      for (const auto& problem : problems) UNSCOPED_INFO(problem);
      CHECK(problems.empty());
      CHECK(compared == 9 + 8);
      CHECK(tokens == 32);
    }
  });
}

/// Frames and first tokens of a sequence; the features are made up.
struct Heard {
  std::vector<float> frames;
  std::vector<TokenId> ids;
};

/// Logits of all tokens when the sequences bring their frames and tokens in one step, then one more
/// token each.
std::vector<std::vector<float>> run_heard(Session& session, const std::vector<Heard>& all) {
  constexpr std::size_t kVocabulary = 600;
  constexpr std::size_t kMels = 80;
  std::vector<std::vector<float>> logits(all.size());
  for (const bool first : {true, false}) {
    std::vector<TokenId> ids;
    std::vector<std::int32_t> positions;
    std::vector<SequenceId> sequences;
    std::vector<std::uint32_t> rows;
    std::vector<float> mel;
    std::vector<EncodedFrames> encoded;
    for (SequenceId s = 0; s < all.size(); ++s) {
      const std::size_t count = first ? all[s].ids.size() : 1;
      for (std::size_t t = 0; t < count; ++t) {
        ids.push_back(first ? all[s].ids[t] : all[s].ids.front());
        positions.push_back(static_cast<std::int32_t>(first ? t : all[s].ids.size()));
        sequences.push_back(s);
        rows.push_back(static_cast<std::uint32_t>(rows.size()));
      }
      if (!first) continue;
      mel.insert(mel.end(), all[s].frames.begin(), all[s].frames.end());
      encoded.push_back({s, static_cast<std::uint32_t>(all[s].frames.size() / kMels)});
    }
    const BatchInput input{"mel", mel, {}};
    Batch batch{ids, positions, sequences, rows};
    if (first) {
      batch.inputs = {&input, 1};
      batch.encoded = encoded;
    }
    const auto out = must(session.step(batch));
    for (std::size_t row = 0; row < ids.size(); ++row) {
      const auto part = out.subspan(row * kVocabulary, kVocabulary);
      auto& own = logits[sequences[row]];
      own.insert(own.end(), part.begin(), part.end());
    }
  }
  for (SequenceId s = 0; s < all.size(); ++s) session.release(s);
  return logits;
}

TEST_CASE("whisper: a recording gets the same bits alone and among others", "[properties]") {
  const auto folder = arch_model_folder("tiny-whisper");
  if (!folder) return;
  const TestModel model = make_model(read_model_folder(*folder));
  std::vector<Heard> all(3);
  const std::size_t frames[] = {301, 64, 1};
  const std::size_t tokens[] = {4, 1, 9};
  std::uint32_t state = 99;
  for (std::size_t s = 0; s < all.size(); ++s) {
    for (std::size_t i = 0; i < frames[s] * 80; ++i) {
      state = state * 1664525 + 1013904223;
      all[s].frames.push_back(static_cast<float>(state >> 8) / 16777216.0F - 0.5F);
    }
    for (std::size_t i = 0; i < tokens[s]; ++i) all[s].ids.push_back(static_cast<TokenId>(501 + i));
  }
  on_every_backend([&](Backend& backend) {
    for (const Mode mode : {Mode::exact, Mode::deterministic}) {
      Session session = start(backend, model, mode);
      const auto together = run_heard(session, all);
      for (std::size_t s = 0; s < all.size(); ++s) {
        INFO("sequence " << s);
        CHECK(run_heard(session, {all[s]}).front() == together[s]);
      }
    }
  });
}

}  // namespace
}  // namespace apr::testing

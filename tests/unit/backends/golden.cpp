#include "tests/unit/backends/golden.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>

#include "core/base/cat.h"
#include "core/runtime/session.h"

namespace apr::testing {

namespace {

class Collector final : public TapSink {
 public:
  void on_value(std::string_view name, std::uint64_t, std::uint64_t,
                std::span<const float> data) noexcept override {
    values[std::string(name)].assign(data.begin(), data.end());
  }
  std::map<std::string, std::vector<float>> values;
};

class Checker {
 public:
  Checker(Executable& executable, const GoldenTolerance& tolerance,
          const std::map<std::string, std::vector<float>>& reference, GoldenReport& report)
      : executable_(executable), tolerance_(tolerance), reference_(reference), report_(report) {}

  void prompt(Session& session, const Json& prompt) {
    const std::string& name = prompt["name"].as_string();
    std::vector<TokenId> ids;
    for (const Json& id : prompt["ids"].as_array())
      ids.push_back(static_cast<TokenId>(id.as_integer()));
    Collector taps;
    const auto logits = must(session.append_all_logits(0, ids, {&taps, nullptr}));
    const std::size_t vocab = executable_.graph().facts().vocab_size;
    const std::vector<float> all(logits.begin(), logits.end());
    const std::vector<float> last(all.end() - static_cast<std::ptrdiff_t>(vocab), all.end());
    taps.values["logits_all"] = all;
    taps.values["logits_last"] = last;
    taps.values["logits_tail8"] = last_rows(all, 1, 8 * vocab);
    const std::size_t heads = executable_.graph().facts().num_attention_heads;
    for (const Json& tensor : prompt["tensors"].as_array()) {
      const std::string value = tensor.as_string().substr(name.size() + 1);
      const std::vector<float>& expected = reference_.at(tensor.as_string());
      const std::string first = value.substr(0, value.find('.'));
      if (prompt["window_variants"].contains(first)) {
        control(name, value, expected, taps.values[value.substr(first.size() + 1)]);
      } else if (value.ends_with(".tail8")) {
        const auto& whole = taps.values[value.substr(0, value.size() - 6)];
        compare(name, value, expected, last_rows(whole, heads, expected.size() / heads));
      } else {
        compare(name, value, expected, taps.values[value]);
      }
    }
    compare_top(name, prompt["top10_ids"].as_array(), last);
    greedy(session, prompt, last);
    session.release(0);
  }

 private:
  /// The last `count` numbers of each of `tables` equal parts.
  static std::vector<float> last_rows(const std::vector<float>& all, std::size_t tables,
                                      std::size_t count) {
    const std::size_t size = all.size() / tables;
    std::vector<float> rows;
    if (size < count) return rows;
    for (std::size_t table = 1; table <= tables; ++table) {
      const auto end = all.begin() + static_cast<std::ptrdiff_t>(table * size);
      rows.insert(rows.end(), end - static_cast<std::ptrdiff_t>(count), end);
    }
    return rows;
  }

  /// Logits of a model with a known mistake: agreeing with them is the problem.
  void control(const std::string& prompt, const std::string& value,
               const std::vector<float>& mistaken, const std::vector<float>& actual) {
    ++report_.controls_compared;
    double difference = 0;
    for (std::size_t i = 0; i < std::min(mistaken.size(), actual.size()); ++i) {
      difference = std::max(
          difference, std::fabs(static_cast<double>(mistaken[i]) - static_cast<double>(actual[i])));
    }
    if (mistaken.size() == actual.size() && difference > tolerance_.logits) return;
    problem(cat(prompt, " ", value, ": off by ", difference, " only"));
  }

  void problem(std::string text) { report_.problems.push_back(std::move(text)); }

  void compare(const std::string& prompt, const std::string& value,
               const std::vector<float>& expected, const std::vector<float>& actual) {
    ++report_.values_compared;
    if (expected.size() != actual.size()) {
      problem(cat(prompt, " ", value, ": ", actual.size(), " numbers, expected ", expected.size()));
      return;
    }
    double largest = 0;
    double difference = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::fabs(static_cast<double>(expected[i])));
      const double d = std::fabs(static_cast<double>(expected[i]) - static_cast<double>(actual[i]));
      difference = d > difference || std::isnan(d) ? d : difference;
      if (std::isnan(difference)) break;
    }
    double allowed = tolerance_.node * std::max(1.0, largest);
    const bool probabilities = value.find(".attn_probs") != std::string::npos;
    allowed = (probabilities ? tolerance_.attention_probabilities : tolerance_.hidden_states)
                  .value_or(allowed);
    if (value == "embed") allowed = tolerance_.embed;
    if (value.starts_with("logits")) {
      allowed = tolerance_.logits;
      report_.worst_logit = std::max(report_.worst_logit, difference);
    }
    report_.worst_node = std::max(report_.worst_node, difference / allowed);
    if (!(difference <= allowed)) {
      problem(cat(prompt, " ", value, ": off by ", difference, ", allowed ", allowed));
    }
  }

  void compare_top(const std::string& prompt, const JsonArray& expected,
                   const std::vector<float>& logits) {
    if (std::any_of(logits.begin(), logits.end(), [](float x) { return std::isnan(x); })) {
      problem(cat(prompt, " top: a logit is not a number"));
      return;
    }
    std::vector<std::size_t> order(logits.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
    });
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (static_cast<std::int64_t>(order[i]) == expected[i].as_integer()) continue;
      problem(cat(prompt, " top ", i, ": id ", order[i], ", expected ", expected[i].as_integer()));
      return;
    }
  }

  void greedy(Session& session, const Json& prompt, std::vector<float> logits) {
    const JsonArray& expected = prompt["greedy_ids"].as_array();
    const Json& stop = prompt["greedy_stop_index"];
    const std::size_t count =
        stop.is_integer() ? static_cast<std::size_t>(stop.as_integer()) + 1 : expected.size();
    for (std::size_t i = 0; i < count; ++i) {
      const auto best =
          static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
      ++report_.tokens_compared;
      if (best != expected[i].as_integer()) {
        problem(cat(prompt["name"].as_string(), " greedy token ", i, ": id ", best, ", expected ",
                    expected[i].as_integer()));
        return;
      }
      const auto next = must(session.append(0, std::span(&best, 1)));
      logits.assign(next.begin(), next.end());
    }
  }

  Executable& executable_;
  const GoldenTolerance& tolerance_;
  const std::map<std::string, std::vector<float>>& reference_;
  GoldenReport& report_;
};

}  // namespace

GoldenReport check_golden(Backend& backend, Mode mode, const TestModel& model,
                          const std::string& folder, const GoldenTolerance& tolerance,
                          std::shared_ptr<Team> team) {
  std::ifstream file(folder + "/golden/golden.json", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const Json golden = must(parse_json(text));
  std::map<std::string, std::vector<float>> reference;
  for (const NamedTensor& tensor : read_safetensors(folder + "/golden/golden.safetensors")) {
    reference[tensor.name] = tensor.floats();
  }
  CompileOptions options;
  options.mode = mode;
  options.taps = {"*"};
  options.team = std::move(team);
  std::shared_ptr<Executable> executable =
      must(backend.compile(model.graph, model.package, options));
  auto session = must(Session::create(executable, model.graph.facts().max_position_embeddings));
  GoldenReport report;
  Checker checker(*executable, tolerance, reference, report);
  for (const Json& prompt : golden["prompts"].as_array()) checker.prompt(session, prompt);
  return report;
}

}  // namespace apr::testing

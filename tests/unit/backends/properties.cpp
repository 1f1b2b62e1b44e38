#include "tests/unit/backends/properties.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "core/base/cat.h"
#include "core/runtime/session.h"

namespace apr::testing {

namespace {

using Logits = std::vector<float>;  ///< one row per token

Session start(const PropertyRun& run, std::uint32_t max_sequences = 1,
              std::vector<std::string> taps = {}, std::shared_ptr<Team> team = nullptr,
              std::uint32_t max_tokens = 256) {
  CompileOptions options;
  options.mode = run.mode;
  options.max_tokens = max_tokens;
  options.taps = std::move(taps);
  options.team = team ? std::move(team) : run.team;
  std::shared_ptr<Executable> executable =
      must(run.backend.compile(run.model.graph, run.model.package, options));
  return must(Session::create(std::move(executable), 256, max_sequences));
}

Logits copy(std::span<const float> logits) {
  return {logits.begin(), logits.end()};
}

Logits whole(const PropertyRun& run, std::span<const TokenId> ids) {
  Session session = start(run);
  return copy(must(session.append_all_logits(0, ids)));
}

/// Rows [begin, end) of `actual` against the same rows of `expected`, all bits.
void compare_rows(Violations& out, const std::string& what, const PropertyRun& run,
                  const Logits& expected, const Logits& actual, std::size_t begin,
                  std::size_t end) {
  const std::size_t vocab = run.model.graph.facts().vocab_size;
  if (expected.size() < end * vocab || actual.size() < end * vocab) {
    out.push_back(cat(what, ": too few logits"));
    return;
  }
  for (std::size_t row = begin; row < end; ++row) {
    if (std::memcmp(&expected[row * vocab], &actual[row * vocab], vocab * sizeof(float)) == 0)
      continue;
    std::size_t i = row * vocab;
    while (std::memcmp(&expected[i], &actual[i], sizeof(float)) == 0) ++i;
    out.push_back(cat(what, ": row ", row, " differs at id ", i - row * vocab, ": ", actual[i],
                      " instead of ", expected[i]));
    return;
  }
}

TokenId another(const PropertyRun& run, TokenId id) {
  return (id + 1) % static_cast<TokenId>(run.model.graph.facts().vocab_size);
}

}  // namespace

Violations causality(const PropertyRun& run) {
  Violations out;
  const Logits base = whole(run, run.ids);
  for (const std::size_t at : {std::size_t{1}, run.ids.size() / 2, run.ids.size() - 1}) {
    auto changed = run.ids;
    changed[at] = another(run, changed[at]);
    const Logits other = whole(run, changed);
    compare_rows(out, cat("token ", at, " changed"), run, base, other, 0, at);
    if (other == base) out.push_back(cat("token ", at, " changed: and nothing else did"));
  }
  return out;
}

Violations cache_equals_no_cache(const PropertyRun& run) {
  Violations out;
  const Logits base = whole(run, run.ids);
  for (const std::size_t chunk : {1, 2, 5, 7}) {
    Session session = start(run);
    Logits rows;
    for (std::size_t begin = 0; begin < run.ids.size(); begin += chunk) {
      const std::size_t count = std::min(chunk, run.ids.size() - begin);
      const auto part =
          must(session.append_all_logits(0, std::span(run.ids).subspan(begin, count)));
      rows.insert(rows.end(), part.begin(), part.end());
    }
    compare_rows(out, cat("steps of ", chunk), run, base, rows, 0, run.ids.size());
  }
  // A session that cuts a long text into steps by itself.
  Session session = start(run, 1, {}, nullptr, 5);
  const std::size_t vocab = run.model.graph.facts().vocab_size;
  const Logits last = copy(must(session.append(0, run.ids)));
  const Logits expected(base.end() - static_cast<std::ptrdiff_t>(vocab), base.end());
  compare_rows(out, "append in steps", run, expected, last, 0, 1);
  return out;
}

Violations alone_equals_batched(const PropertyRun& run) {
  Violations out;
  constexpr std::uint32_t kSequences = 4;
  // Four texts: the whole one, a tail, another mix, a short one.
  std::vector<std::vector<TokenId>> texts(kSequences, run.ids);
  texts[1].erase(texts[1].begin(), texts[1].begin() + 3);
  std::reverse(texts[2].begin(), texts[2].end());
  texts[3].resize(9);
  std::vector<Logits> expected;
  for (const auto& text : texts) expected.push_back(whole(run, text));

  // Each round takes so many tokens of each sequence: prefills, single tokens and pauses in one
  // step, in changing order.
  const std::vector<std::vector<std::size_t>> rounds = {
      {5, 1, 0, 2}, {1, 7, 3, 1}, {0, 1, 1, 1}, {6, 1, 9, 0}, {1, 1, 1, 5}, {99, 99, 99, 99}};
  Session session = start(run, kSequences);
  std::vector<std::size_t> done(kSequences, 0);
  std::vector<Logits> rows(kSequences);
  const std::size_t vocab = run.model.graph.facts().vocab_size;
  for (std::size_t round = 0; round < rounds.size(); ++round) {
    std::vector<TokenId> ids;
    std::vector<std::int32_t> positions;
    std::vector<SequenceId> sequences;
    for (std::uint32_t i = 0; i < kSequences; ++i) {
      const std::uint32_t s = round % 2 == 0 ? i : kSequences - 1 - i;
      const std::size_t count = std::min(rounds[round][s], texts[s].size() - done[s]);
      for (std::size_t t = 0; t < count; ++t) {
        ids.push_back(texts[s][done[s]]);
        positions.push_back(static_cast<std::int32_t>(done[s]++));
        sequences.push_back(s);
      }
    }
    std::vector<std::uint32_t> wanted(ids.size());
    for (std::uint32_t i = 0; i < wanted.size(); ++i) wanted[i] = i;
    const auto logits = must(session.step({ids, positions, sequences, wanted, {}}));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto row = logits.subspan(i * vocab, vocab);
      rows[sequences[i]].insert(rows[sequences[i]].end(), row.begin(), row.end());
    }
  }
  for (std::uint32_t s = 0; s < kSequences; ++s) {
    compare_rows(out, cat("sequence ", s), run, expected[s], rows[s], 0, texts[s].size());
  }
  return out;
}

Violations threads_change_nothing(const PropertyRun& run) {
  Violations out;
  const Logits base = whole(run, run.ids);
  for (const unsigned threads : {2U, 3U, 8U}) {
    Session session = start(run, 1, {}, std::make_shared<Team>(threads));
    const Logits other = copy(must(session.append_all_logits(0, run.ids)));
    compare_rows(out, cat(threads, " threads"), run, base, other, 0, run.ids.size());
    const TokenId next = run.ids.front();
    Session alone = start(run);
    must(alone.append(0, run.ids));
    const Logits expected = copy(must(alone.append(0, std::span(&next, 1))));
    compare_rows(out, cat(threads, " threads, one token"), run, expected,
                 copy(must(session.append(0, std::span(&next, 1)))), 0, 1);
  }
  return out;
}

namespace {

class Shapes final : public TapSink {
 public:
  void on_value(std::string_view name, std::uint64_t rows, std::uint64_t features,
                std::span<const float> data) noexcept override {
    values[std::string(name)].push_back({rows, features, data.size()});
  }
  struct Shape {
    std::uint64_t rows;
    std::uint64_t features;
    std::uint64_t size;
  };
  std::map<std::string, std::vector<Shape>> values;
};

class SpanNames final : public SpanSink {
 public:
  void on_span(std::span<const std::string_view> nodes, std::uint64_t begin, std::uint64_t end,
               Cost cost) noexcept override {
    for (const auto name : nodes) names.emplace_back(name);
    backwards = backwards || end < begin;
    flops += cost.flops;
    bytes += cost.bytes;
  }
  std::vector<std::string> names;
  bool backwards = false;
  double flops = 0;
  double bytes = 0;
};

}  // namespace

Violations taps_change_nothing(const PropertyRun& run) {
  Violations out;
  const Logits base = whole(run, run.ids);
  Session session = start(run, 1, {"*"});
  Shapes taps;
  const Logits other = copy(must(session.append_all_logits(0, run.ids, {&taps, nullptr})));
  compare_rows(out, "with taps", run, base, other, 0, run.ids.size());
  return out;
}

Violations truncation_forgets(const PropertyRun& run) {
  Violations out;
  const Logits base = whole(run, run.ids);
  Session session = start(run);
  const std::size_t keep = run.ids.size() - 3;
  must(session.append(0, std::span(run.ids).first(keep + 1)));
  must(session.truncate(0, static_cast<std::uint32_t>(keep)));
  const auto part = must(session.append_all_logits(0, std::span(run.ids).subspan(keep)));
  Logits rows(base.begin(), base.begin() + static_cast<std::ptrdiff_t>(
                                               keep * run.model.graph.facts().vocab_size));
  rows.insert(rows.end(), part.begin(), part.end());
  compare_rows(out, "after truncation", run, base, rows, keep, run.ids.size());
  session.release(0);
  compare_rows(out, "after release", run, base, copy(must(session.append_all_logits(0, run.ids))),
               0, run.ids.size());
  return out;
}

Violations position_matters(const PropertyRun& run) {
  Violations out;
  const std::size_t vocab = run.model.graph.facts().vocab_size;
  auto swapped = run.ids;
  std::size_t at = run.ids.size() - 4;
  while (at > 0 && swapped[at] == swapped[at - 1]) --at;
  if (at == 0) return {"the text has no two different neighbours"};
  std::swap(swapped[at], swapped[at - 1]);
  const Logits base = whole(run, run.ids);
  const Logits other = whole(run, swapped);
  const auto last = static_cast<std::ptrdiff_t>(base.size() - vocab);
  if (std::equal(base.begin() + last, base.end(), other.begin() + last)) {
    out.push_back("two tokens changed places and the last logits stayed");
  }
  return out;
}

Violations sinks_are_complete(const PropertyRun& run) {
  Violations out;
  const Graph& graph = run.model.graph;
  Session session = start(run, 2, {"*"});
  Shapes taps;
  SpanNames spans;
  const std::vector<TokenId> ids(run.ids.begin(), run.ids.begin() + 5);
  const std::vector<std::int32_t> positions = {0, 1, 2, 0, 1};
  const std::vector<SequenceId> sequences = {0, 0, 0, 1, 1};
  const std::vector<std::uint32_t> rows = {2, 4};
  must(session.step({ids, positions, sequences, rows, {}}, {&taps, &spans}));

  std::multiset<std::string> expected_spans;
  for (const Node& node : graph.nodes()) {
    expected_spans.insert(node.name);
    for (const ValueId id : node.outputs) {
      const Value& value = graph.value(id);
      const auto& seen = taps.values[value.name];
      if (value.type.rows == Rows::pairs) {
        const auto heads = value.type.features;
        const bool right = seen.size() == 2 && seen[0].rows == heads * 3 && seen[0].features == 3 &&
                           seen[0].size == heads * 9 && seen[1].rows == heads * 2 &&
                           seen[1].features == 2 && seen[1].size == heads * 4;
        if (!right) out.push_back(cat(value.name, ": not one table per sequence"));
        continue;
      }
      const std::uint64_t wanted = value.type.rows == Rows::logit_rows ? 2 : 5;
      if (seen.size() != 1 || seen[0].rows != wanted || seen[0].features != value.type.features ||
          seen[0].size != wanted * value.type.features) {
        out.push_back(cat(value.name, ": told ", seen.size(), " times, or of another shape"));
      }
    }
  }
  if (std::multiset<std::string>(spans.names.begin(), spans.names.end()) != expected_spans) {
    out.push_back("spans do not cover each node once");
  }
  if (spans.backwards) out.push_back("a span ends before it begins");
  if (!(spans.flops > 0 && spans.bytes > 0)) out.push_back("spans carry no cost");
  return out;
}

Violations bad_steps_are_errors(const PropertyRun& run) {
  Violations out;
  Session session = start(run, 2, {}, nullptr, 16);
  must(session.append(0, std::span(run.ids).first(3)));
  const auto vocab = static_cast<TokenId>(run.model.graph.facts().vocab_size);
  const auto refused = [&](const char* what, std::vector<TokenId> ids,
                           std::vector<std::int32_t> positions, std::vector<SequenceId> sequences,
                           std::vector<std::uint32_t> rows) {
    if (session.step({ids, positions, sequences, rows, {}}))
      out.push_back(cat(what, " was accepted"));
    if (session.length(0) != 3 || session.length(1) != 0) {
      out.push_back(cat(what, " changed a length"));
    }
  };
  refused("no token", {}, {}, {}, {});
  refused("an id beyond the vocabulary", {vocab}, {3}, {0}, {0});
  refused("a negative id", {-1}, {3}, {0}, {0});
  refused("a wrong position", {1}, {2}, {0}, {0});
  refused("a gap in positions", {1, 1}, {3, 5}, {0, 0}, {0});
  refused("an unknown sequence", {1}, {0}, {2}, {0});
  refused("a split sequence", {1, 1, 1}, {3, 0, 4}, {0, 1, 0}, {0});
  refused("missing positions", {1, 1}, {3}, {0, 0}, {0});
  refused("a row beyond the step", {1}, {3}, {0}, {1});
  refused("rows out of order", {1, 1}, {3, 4}, {0, 0}, {1, 0});
  refused("a step too long", std::vector<TokenId>(17, 1), std::vector<std::int32_t>(17, 3),
          std::vector<SequenceId>(17, 0), {0});
  if (session.append(0, std::vector<TokenId>(300, 1)))
    out.push_back("a text too long was accepted");
  const Logits base = whole(run, std::span(run.ids).first(6));
  const auto part = must(session.append_all_logits(0, std::span(run.ids).subspan(3, 3)));
  Logits rows(base.begin(), base.end() - static_cast<std::ptrdiff_t>(part.size()));
  rows.insert(rows.end(), part.begin(), part.end());
  compare_rows(out, "after errors", run, base, rows, 3, 6);
  return out;
}

Violations all_properties(const PropertyRun& run) {
  Violations out;
  const auto add = [&](const char* name, const Violations& violations) {
    for (const auto& violation : violations) out.push_back(cat(name, ": ", violation));
  };
  add("causality", causality(run));
  add("cache_equals_no_cache", cache_equals_no_cache(run));
  add("alone_equals_batched", alone_equals_batched(run));
  add("threads_change_nothing", threads_change_nothing(run));
  add("taps_change_nothing", taps_change_nothing(run));
  add("truncation_forgets", truncation_forgets(run));
  add("position_matters", position_matters(run));
  add("sinks_are_complete", sinks_are_complete(run));
  add("bad_steps_are_errors", bad_steps_are_errors(run));
  return out;
}

}  // namespace apr::testing

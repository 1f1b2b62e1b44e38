#include "core/runtime/generator.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "core/graph/builder.h"
#include "core/runtime/stop_scanner.h"
#include "core/text/utf8.h"
#include "tests/unit/backends/models.h"

namespace apr::testing {
namespace {

using Catch::Matchers::Contains;

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

const Tokenizer& tokenizer() {
  static const Tokenizer loaded = must(
      Tokenizer::from_tokenizer_json(text_of(chat_model_folder() + "/tokenizer.json"), "test"));
  return loaded;
}

std::vector<TokenId> ids_of(std::string_view text) {
  return must(tokenizer().encode(text, {false, true}));
}

/// One id per byte, as a byte-level vocabulary has them.
std::vector<TokenId> byte_ids(std::string_view text) {
  std::vector<TokenId> ids;
  for (const char byte : text) {
    for (TokenId id = 0; id < 256; ++id) {
      if (tokenizer().piece(id, false) == std::string(1, byte)) ids.push_back(id);
    }
  }
  return ids;
}

Graph scripted_graph() {
  GraphBuilder builder;
  const ValueId ids = builder.token_ids();
  const ParameterId table = builder.parameter("t", {2048, 2048});
  builder.output(builder.select_logit_rows("logits", builder.embedding("e", ids, table)));
  builder.facts().vocab_size = 2048;
  builder.facts().max_position_embeddings = 0;
  return must(std::move(builder).build());
}

/// Says what a script says: at position p of the sequence the next token is script[p + 1 - prompt].
class Scripted final : public Executable {
 public:
  Scripted(std::vector<TokenId> script, std::size_t prompt)
      : graph_(scripted_graph()), script_(std::move(script)), prompt_(prompt), logits_(2048) {
    options_.max_tokens = 8;
  }
  const Graph& graph() const noexcept override { return graph_; }
  const CompileOptions& options() const noexcept override { return options_; }
  Result<std::span<const float>> run(const Batch& batch, KvCache&,
                                     const StepSinks&) noexcept override {
    fed.insert(fed.end(), batch.token_ids.begin(), batch.token_ids.end());
    if (fed.size() > fail_after) return make_error(ErrorCode::inference, "broken on purpose");
    std::fill(logits_.begin(), logits_.end(), 0.0f);
    const std::size_t next = static_cast<std::size_t>(batch.positions.back()) + 1;
    if (next >= prompt_ && next - prompt_ < script_.size()) {
      logits_[static_cast<std::size_t>(script_[next - prompt_])] = 9;
    }
    return std::span<const float>(logits_).first(batch.logit_rows.size() * 2048);
  }
  std::string description() const override { return "scripted"; }

  std::vector<TokenId> fed;
  std::size_t fail_after = 1'000'000;

 private:
  Graph graph_;
  CompileOptions options_;
  std::vector<TokenId> script_;
  std::size_t prompt_;
  std::vector<float> logits_;
};

struct Spoken {
  GenerateOutcome outcome;
  std::string streamed;
  std::vector<std::string> pieces;
  std::vector<TokenId> fed;
  std::uint32_t held = 0;
};

Spoken speak(const std::vector<TokenId>& script, GenerateOptions options,
             std::uint32_t context = 200, std::size_t stop_after = 1000) {
  const std::vector<TokenId> prompt = {1, 2, 3};
  auto model = std::make_shared<Scripted>(script, prompt.size());
  Session session = must(Session::create(model, context));
  Spoken spoken;
  spoken.outcome =
      must(generate(session, 0, tokenizer(), prompt, options, [&](const GeneratedToken& token) {
        spoken.pieces.emplace_back(token.text);
        spoken.streamed += token.text;
        CHECK(token.logits.size() == 2048);
        CHECK(is_valid_utf8(token.text));
        return spoken.pieces.size() < stop_after;
      }));
  spoken.fed = model->fed;
  spoken.held = session.length(0);
  // What was streamed is the beginning of the text, and nothing streamed is taken back.
  CHECK(spoken.outcome.text.starts_with(spoken.streamed));
  return spoken;
}

GenerateOptions stopping(std::vector<std::string> strings, std::uint32_t max_tokens = 100) {
  GenerateOptions options;
  options.max_tokens = max_tokens;
  options.stop_ids = {2047};
  options.stop_strings = std::move(strings);
  return options;
}

std::vector<TokenId> ended(std::vector<TokenId> ids) {
  ids.push_back(2047);
  return ids;
}

TEST_CASE("a stop id ends the answer and is not part of it") {
  const std::vector<TokenId> hello = ids_of("Hello there");
  const Spoken spoken = speak(ended(hello), stopping({}));
  CHECK(spoken.outcome.finish == FinishReason::stop_id);
  CHECK(spoken.outcome.ids == hello);
  CHECK(spoken.outcome.text == "Hello there");
  CHECK(spoken.streamed == "Hello there");
  CHECK(spoken.outcome.prompt_tokens == 3);
  // Prompt and every token but the stop id were fed back.
  CHECK(spoken.held == 3 + hello.size());
  CHECK(spoken.fed.size() == spoken.held);
}

TEST_CASE("a stop string ends the text before it, across token borders") {
  for (const auto& ids : {ids_of("one END two"), byte_ids("one END two")}) {
    const Spoken spoken = speak(ended(ids), stopping({"END"}));
    CHECK(spoken.outcome.finish == FinishReason::stop_string);
    CHECK(spoken.outcome.text == "one ");
    CHECK(spoken.streamed == "one ");
  }
}

TEST_CASE("no part of a stop string is ever streamed") {
  // After each token, what was streamed must not end inside what became a stop string.
  const Spoken spoken = speak(ended(byte_ids("ab\nUse\nUser: x")), stopping({"\nUser:"}));
  CHECK(spoken.outcome.text == "ab\nUse");
  CHECK(spoken.streamed == "ab\nUse");
  CHECK(std::find(spoken.pieces.begin(), spoken.pieces.end(), "\nUse") != spoken.pieces.end());
}

TEST_CASE("what only looked like a stop string comes out at the end") {
  const Spoken spoken = speak(ended(byte_ids("abc EN")), stopping({"END"}));
  CHECK(spoken.outcome.finish == FinishReason::stop_id);
  CHECK(spoken.streamed == "abc ");
  CHECK(spoken.outcome.text == "abc EN");
}

TEST_CASE("the first of several stop strings counts") {
  CHECK(speak(ended(byte_ids("a stop b halt")), stopping({"halt", "stop"})).outcome.text == "a ");
  CHECK(speak(ended(byte_ids("aabaac")), stopping({"aac", "baa"})).outcome.text == "aa");
  CHECK(speak(ended(byte_ids("xaaab")), stopping({"aab"})).outcome.text == "xa");
}

TEST_CASE("characters come whole") {
  const std::string text = "é日🙂!";
  const Spoken spoken = speak(ended(byte_ids(text)), stopping({}));
  CHECK(spoken.streamed == text);
  CHECK(spoken.pieces.size() == text.size());
  // A character that is cut off by the limit becomes the replacement character.
  const Spoken cut = speak(byte_ids(text), stopping({}, 4));
  CHECK(cut.outcome.finish == FinishReason::max_tokens);
  CHECK(cut.streamed == "é");
  CHECK(cut.outcome.text == "é\xEF\xBF\xBD");
}

TEST_CASE("the limits of tokens and context") {
  const std::vector<TokenId> many(50, ids_of("a")[0]);
  CHECK(speak(many, stopping({}, 7)).outcome.ids.size() == 7);
  CHECK(speak(many, stopping({}, 7)).outcome.finish == FinishReason::max_tokens);
  CHECK(speak(many, stopping({}, 7)).held == 3 + 6);  // the last one is not fed back
  CHECK(speak(many, stopping({}, 0)).outcome.ids.empty());
  const Spoken full = speak(many, stopping({}), 10);
  CHECK(full.outcome.finish == FinishReason::context_full);
  CHECK(full.outcome.ids.size() == 8);  // seven fit behind the prompt, one more needs no room
  CHECK(full.held == 10);
}

TEST_CASE("a prompt that does not fit is refused with both numbers") {
  auto model = std::make_shared<Scripted>(std::vector<TokenId>{}, 3);
  Session session = must(Session::create(model, 10));
  const std::vector<TokenId> prompt(11, 1);
  const auto outcome = generate(session, 0, tokenizer(), prompt, {});
  REQUIRE_FALSE(outcome);
  CHECK_THAT(outcome.error().to_string(), Contains("11") && Contains("10"));
  CHECK(session.length(0) == 0);
  CHECK_FALSE(generate(session, 0, tokenizer(), {}, {}));
  GenerateOptions bad;
  bad.stop_strings = {""};
  CHECK_FALSE(generate(session, 0, tokenizer(), std::vector<TokenId>{1}, bad));
  bad = {};
  bad.sampler.temperature = -1;
  CHECK_FALSE(generate(session, 0, tokenizer(), std::vector<TokenId>{1}, bad));
  CHECK(model->fed.empty());
}

TEST_CASE("a failure while the prompt is read leaves the session as it was") {
  auto model = std::make_shared<Scripted>(std::vector<TokenId>{}, 3);
  model->fail_after = 12;  // in the second of three steps
  Session session = must(Session::create(model, 100));
  const auto outcome = generate(session, 0, tokenizer(), std::vector<TokenId>(20, 1), {});
  REQUIRE_FALSE(outcome);
  CHECK_THAT(outcome.error().to_string(), Contains("broken on purpose"));
  CHECK(session.length(0) == 0);
}

TEST_CASE("interruption: by the listener, between tokens and while the prompt is read") {
  const std::vector<TokenId> many(50, ids_of("a")[0]);
  const Spoken heard = speak(many, stopping({}), 200, 5);
  CHECK(heard.outcome.finish == FinishReason::interrupted);
  CHECK(heard.outcome.ids.size() == 5);

  int asked = 0;
  GenerateOptions options = stopping({});
  options.interrupted = [&] { return ++asked > 4; };
  CHECK(speak(many, options).outcome.finish == FinishReason::interrupted);
  CHECK(asked == 5);
  options.interrupted = [] { return true; };
  const Spoken none = speak(many, options);
  CHECK(none.outcome.finish == FinishReason::interrupted);
  CHECK(none.held == 0);
}

TEST_CASE("special tokens appear only when wanted") {
  std::vector<TokenId> ids = byte_ids("a");
  ids.push_back(2046);
  CHECK(speak(ended(ids), stopping({})).outcome.text == "a");
  GenerateOptions keeping = stopping({});
  keeping.keep_special = true;
  CHECK(speak(ended(ids), keeping).outcome.text == "a<|im_start|>");
}

TEST_CASE("a stop scanner gives out each byte once and nothing of a stop string") {
  // Every way to cut the text into pieces gives the same text.
  const std::string text = "aaabaabaaabab";
  const std::vector<std::string> stops = {"aabab", "bb"};
  for (std::uint32_t cuts = 0; cuts < (1u << (text.size() - 1)); ++cuts) {
    StopScanner scanner(stops);
    std::string out;
    std::string piece;
    for (std::size_t i = 0; i < text.size(); ++i) {
      piece.push_back(text[i]);
      if (i + 1 == text.size() || (cuts >> i & 1) != 0) {
        out += scanner.push(piece);
        piece.clear();
      }
    }
    out += scanner.finish();
    if (out != "aaabaaba" || !scanner.found()) {
      FAIL("cuts " << cuts << " gave " << out);
    }
  }
}

TEST_CASE("greedy continuations of the bundled model equal the recorded ones") {
  const TestModel model = make_model(read_model_folder(chat_model_folder()));
  const Json golden =
      must(parse_json(text_of(chat_model_folder() + "/golden/golden.json"), "golden.json"));
  auto executable = std::shared_ptr<Executable>(
      must(must(test_registry().backend("reference"))->compile(model.graph, model.package, {})));
  std::size_t compared = 0;
  for (const Json& entry : golden["prompts"].as_array()) {
    std::vector<TokenId> prompt;
    for (const Json& id : entry["ids"].as_array()) {
      prompt.push_back(static_cast<TokenId>(id.as_integer()));
    }
    if (prompt.empty() || prompt.size() > 64) continue;
    std::vector<TokenId> wanted;
    for (const Json& id : entry["greedy_ids"].as_array()) {
      const auto token = static_cast<TokenId>(id.as_integer());
      if (token == 2047 || token == 2045) break;
      wanted.push_back(token);
    }
    Session session = must(Session::create(executable, 200));
    GenerateOptions options;
    options.max_tokens = static_cast<std::uint32_t>(entry["greedy_ids"].size());
    options.stop_ids = {2047, 2045};
    const GenerateOutcome outcome = must(generate(session, 0, tokenizer(), prompt, options));
    INFO(entry["name"].as_string());
    CHECK(outcome.ids == wanted);
    ++compared;
  }
  CHECK(compared > 0);
}

}  // namespace
}  // namespace apr::testing

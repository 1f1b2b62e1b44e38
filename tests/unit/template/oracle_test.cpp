// Every template and conversation of oracle/, against what Python's Jinja2 made of it. Where npm's
// @huggingface/jinja agreed, both are matched at once; rows on which the two differ say so.
#include <catch2/catch.hpp>

#include "core/base/hash.h"
#include "tests/unit/template/fixtures.h"

using namespace apr;
using namespace apr::test;

namespace {

const Json& dialog_named(const Json& dialogs, const std::string& name) {
  for (const Json& dialog : dialogs.as_array()) {
    if (dialog["name"].as_string() == name) return dialog;
  }
  FAIL("no dialog " + name);
  return dialogs;
}

std::string sha256_hex(const std::string& text) {
  return sha256(std::string_view(text)).hex();
}

}  // namespace

TEST_CASE("our own templates and the bundled one render as in Jinja2") {
  const Json dialogs = oracle_json("dialogs.json");
  const Json expected = oracle_json("expected_own.json");
  const auto config =
      parse_json(file_text(APR_SOURCE_DIR "/golden/apr-tiny-chat/tokenizer_config.json"));
  REQUIRE(config);
  std::size_t compared = 0;
  std::size_t agreed = 0;
  for (const auto& [name, rows] : expected.as_object()) {
    const std::string source = name == "bundled" ? (*config)["chat_template"].as_string()
                                                 : oracle_text("templates/" + name);
    const auto chat = ChatTemplate::parse(source, name);
    REQUIRE(chat);
    for (const Json& row : rows.as_array()) {
      const std::string& dialog = row["dialog"].as_string();
      INFO(name << ": " << dialog);
      const auto text = render_dialog(*chat, dialog_named(dialogs, dialog));
      ++compared;
      if (!row.contains("differs")) ++agreed;
      if (row["text"].is_null()) {
        CHECK_FALSE(text.ok());
      } else {
        if (!text) FAIL_CHECK(text.error().to_string());
        if (text) CHECK(text->text() == row["text"].as_string());
      }
    }
  }
  CHECK(compared >= 3 * 126);
  CHECK(agreed >= 300);  // rows that npm's implementation confirmed
}

TEST_CASE("public templates render as in Jinja2") {
  const Json dialogs = oracle_json("dialogs.json");
  const Json expected = oracle_json("expected_public.json");
  for (const auto& [name, entry] : expected.as_object()) {
    const std::string source = file_text(std::string(APR_SHARED_DATA "/chat-templates/") + name);
    if (source.empty()) {
      WARN("skipped, not there: chat-templates/" << name);
      continue;
    }
    REQUIRE(sha256_hex(source) == entry["template_sha256"].as_string());
    const auto chat = ChatTemplate::parse(source, name);
    REQUIRE(chat);
    for (const Json& row : entry["rows"].as_array()) {
      const std::string& dialog = row["dialog"].as_string();
      INFO(name << ": " << dialog);
      const auto text = render_dialog(*chat, dialog_named(dialogs, dialog));
      if (row["sha256"].is_null()) {
        CHECK_FALSE(text.ok());
      } else {
        if (!text) FAIL_CHECK(text.error().to_string());
        if (text) CHECK(sha256_hex(text->text()) == row["sha256"].as_string());
      }
    }
  }
}

TEST_CASE("the bundled model's recorded prompt") {
  const auto golden =
      parse_json(file_text(APR_SOURCE_DIR "/golden/apr-tiny-chat/golden/golden.json"));
  const auto config =
      parse_json(file_text(APR_SOURCE_DIR "/golden/apr-tiny-chat/tokenizer_config.json"));
  REQUIRE(golden);
  REQUIRE(config);
  const Json& example = (*golden)["rendered_chat_example"];
  const auto chat = ChatTemplate::parse((*config)["chat_template"].as_string(), "bundled");
  REQUIRE(chat);
  ChatTemplate::Variables variables;
  variables.add_generation_prompt = example["add_generation_prompt"].as_boolean();
  const auto text = chat->render(example["messages"], variables, {});
  REQUIRE(text);
  CHECK(text->text() == example["text"].as_string());
}

#include "orchestrator/stages/canary_setup.h"

#include <span>

#include "core/base/cat.h"
#include "core/base/hash.h"
#include "core/runtime/model.h"
#include "core/text/tokenizer.h"
#include "orchestrator/stages/compare_texts.h"
#include "orchestrator/stages/open_package.h"

namespace apr {

namespace {

/// Texts and numbers, each in a form that no other list of them has.
class ListHash {
 public:
  void add(std::uint64_t number) { add(cat(number)); }
  void add(std::string_view text) {
    const std::string length = cat(text.size(), ":");
    hash_.update(std::as_bytes(std::span(length)));
    hash_.update(std::as_bytes(std::span(text)));
  }
  std::string finish() { return hash_.finish().hex(); }

 private:
  Sha256 hash_;
};

std::string optional_id(const std::optional<TokenId>& id) {
  return id ? cat(*id) : std::string("none");
}

CanaryTokenizer measure(const Tokenizer& tokenizer) {
  CanaryTokenizer measured;
  measured.ids = tokenizer.vocab_size();
  ListHash vocabulary;
  vocabulary.add(optional_id(tokenizer.bos()));
  vocabulary.add(optional_id(tokenizer.eos()));
  for (std::uint32_t i = 0; i < tokenizer.vocab_size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    vocabulary.add(tokenizer.token(id));
    vocabulary.add(tokenizer.is_special(id) ? "special" : "plain");
  }
  measured.vocabulary = vocabulary.finish();
  ListHash texts;
  std::vector<std::string> all = tokenizer_test_texts();
  all.push_back(special_tokens_text(tokenizer));
  for (const std::string& text : all) {
    for (const bool parse_special : {false, true}) {
      const auto ids =
          tokenizer.encode(text, {.add_special = true, .parse_special = parse_special});
      if (!ids) {
        texts.add("refused");
        continue;
      }
      texts.add(ids->size());
      for (const TokenId id : *ids) texts.add(static_cast<std::uint64_t>(id));
    }
  }
  measured.texts = texts.finish();
  return measured;
}

Error wrong(std::string_view key, std::string_view wanted, const std::string& where) {
  return make_error(ErrorCode::format, cat("field ", key, " is not ", wanted), where,
                    "the file is no canary of `apr canary create`, or was changed");
}

Result<std::string> digest(const Json& json, std::string_view key, const std::string& where) {
  const std::string& text = json[key].as_string();
  if (!Digest::from_hex(text)) return wrong(key, "a SHA-256", where);
  return text;
}

void compare_part(std::string_view part, const Json& recorded, const Json& found,
                  std::vector<SetupFinding>& findings) {
  for (const FieldDifference& field : compare_fields(recorded, found)) {
    if (describes_only(field.field)) continue;
    findings.push_back({std::string(part), field.field,
                        cat("is ", short_value(field.b), ", was ", short_value(field.a))});
  }
}

}  // namespace

Result<CanarySetup> setup_of(const Package& package) {
  CanarySetup setup;
  for (const auto& [key, value] : package.config().as_object()) {
    if (!describes_only(key)) setup.config.set(key, value);
  }
  APR_ASSIGN(const Json generation, read_generation_config(package));
  for (const auto& [key, value] : generation.as_object()) {
    if (!describes_only(key)) setup.generation.set(key, value);
  }
  if (has_tokenizer(package)) {
    APR_ASSIGN(const Tokenizer tokenizer, tokenizer_of(package));
    setup.tokenizer = measure(tokenizer);
  }
  if (const std::string text = template_source(package); !text.empty()) {
    setup.chat_template = sha256(text).hex();
  }
  return setup;
}

std::vector<SetupFinding> compare_setups(const CanarySetup& recorded, const CanarySetup& found) {
  std::vector<SetupFinding> findings;
  compare_part("config", recorded.config, found.config, findings);
  compare_part("settings", recorded.generation, found.generation, findings);
  if (recorded.tokenizer && !found.tokenizer) {
    findings.push_back({"tokenizer", "", "is missing"});
  } else if (!recorded.tokenizer && found.tokenizer) {
    findings.push_back({"tokenizer", "", "is new"});
  } else if (recorded.tokenizer) {
    const CanaryTokenizer& was = *recorded.tokenizer;
    const CanaryTokenizer& is = *found.tokenizer;
    if (was.ids != is.ids) {
      findings.push_back({"tokenizer", "", cat("has ", is.ids, " ids, had ", was.ids)});
    } else if (was.vocabulary != is.vocabulary) {
      findings.push_back({"tokenizer", "", "has other tokens"});
    } else if (was.texts != is.texts) {
      findings.push_back({"tokenizer", "", "cuts texts into other ids"});
    }
  }
  if (recorded.chat_template != found.chat_template) {
    findings.push_back({"template", "",
                        found.chat_template.empty()      ? "is missing"
                        : recorded.chat_template.empty() ? "is new"
                                                         : "is another text"});
  }
  return findings;
}

Json setup_as_json(const CanarySetup& setup) {
  Json tokenizer;
  if (setup.tokenizer) {
    tokenizer = Json::object({{"ids", setup.tokenizer->ids},
                              {"vocabulary_sha256", setup.tokenizer->vocabulary},
                              {"texts_sha256", setup.tokenizer->texts}});
  }
  return Json::object(
      {{"config", setup.config},
       {"generation", setup.generation},
       {"tokenizer", std::move(tokenizer)},
       {"template_sha256", setup.chat_template.empty() ? Json() : Json(setup.chat_template)}});
}

Result<CanarySetup> read_setup(const Json& json, const std::string& where) {
  if (!json.is_object()) return wrong("setup", "an object", where);
  CanarySetup setup;
  if (!json["config"].is_object()) return wrong("setup.config", "an object", where);
  if (!json["generation"].is_object()) return wrong("setup.generation", "an object", where);
  setup.config = json["config"];
  setup.generation = json["generation"];
  if (const Json& tokenizer = json["tokenizer"]; !tokenizer.is_null()) {
    const std::int64_t ids = tokenizer["ids"].as_integer(-1);
    if (ids < 0) return wrong("setup.tokenizer.ids", "a count", where);
    CanaryTokenizer read;
    read.ids = static_cast<std::uint64_t>(ids);
    APR_ASSIGN(read.vocabulary, digest(tokenizer, "vocabulary_sha256", where));
    APR_ASSIGN(read.texts, digest(tokenizer, "texts_sha256", where));
    setup.tokenizer = std::move(read);
  }
  if (!json["template_sha256"].is_null()) {
    APR_ASSIGN(setup.chat_template, digest(json, "template_sha256", where));
  }
  return setup;
}

}  // namespace apr

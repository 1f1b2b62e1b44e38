// apr tokenize: text as the ids that a model sees.
#include <iostream>
#include <iterator>
#include <optional>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "core/runtime/model.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/generation.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "tokenize";
  info.summary = "show the token ids of a text";
  info.details =
      "Special tokens written in the text stay text unless --parse-special is given. Tokens are "
      "shown as the text they stand for (WordPiece: as the vocabulary spells them); bytes that are "
      "part of a character only as <0xNN>. With --pair, two texts are put together as the "
      "tokenizer puts them, and each token's type tells whose it is.";
  info.params.push_back(model_param());
  Param text = text_param("text", "TEXT", "the text; - reads standard input");
  text.required = true;
  text.position = 1;
  info.params.push_back(std::move(text));
  info.params.push_back(text_param("pair", "TEXT", "a second text; - reads standard input"));
  info.params.push_back(
      flag_param("parse-special", "recognise special tokens such as <|im_end|> in the text"));
  info.params.push_back(
      flag_param("no-bos", "leave out the tokens that the tokenizer puts around a text"));
  info.examples = {
      {"apr tokenize tiny.apr 'Hello world'", "ids and pieces"},
      {"apr tokenize bert.apr 'Is it far?' --pair 'No.'", "two texts, with their types"},
      {"apr tokenize tiny.apr - --json", "standard input, for other programs"}};
  return info;
}

Result<std::string> text_of(const std::string& word) {
  if (word != "-") return word;
  std::string text{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
  if (std::cin.bad()) return make_error(ErrorCode::io, "standard input could not be read");
  return text;
}

class Tokenize final : public Verb {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    APR_ASSIGN(const Package package, open_any(context, params.text("model")));
    APR_ASSIGN(const Tokenizer tokenizer, tokenizer_of(package));
    APR_ASSIGN(const std::string text, text_of(params.text("text")));
    const Tokenizer::EncodeOptions options{.add_special = !params.flag("no-bos"),
                                           .parse_special = params.flag("parse-special")};
    std::optional<std::string> second;
    if (params.has("pair")) {
      if (params.text("text") == "-" && params.text("pair") == "-") {
        return make_error(ErrorCode::usage, "both texts cannot come from standard input");
      }
      APR_ASSIGN(second, text_of(params.text("pair")));
    }
    auto encoded = tokenizer.encode_pair(text, second, options);
    if (!encoded) return std::move(encoded).error().within(package.path());
    Json ids = Json::array();
    Json tokens = Json::array();
    Json types = Json::array();
    for (std::size_t i = 0; i < encoded->ids.size(); ++i) {
      const TokenId id = encoded->ids[i];
      ids.push_back(std::int64_t{id});
      types.push_back(std::int64_t{encoded->types[i]});
      tokens.push_back(tokenizer.is_word_piece() ? std::string(tokenizer.token(id))
                                                 : readable_bytes(tokenizer.piece(id, false)));
    }
    Json report = Json::object({{"model", params.text("model")},
                                {"tokenizer", tokenizer.kind()},
                                {"bytes", text.size() + (second ? second->size() : 0)},
                                {"count", encoded->ids.size()}});
    report.set("ids", std::move(ids));
    report.set("tokens", std::move(tokens));
    if (second) report.set("types", std::move(types));
    return Outcome{.report = std::move(report)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    const JsonArray& ids = report["ids"].as_array();
    const JsonArray& tokens = report["tokens"].as_array();
    const JsonArray& types = report["types"].as_array();
    std::vector<Table::Column> columns{{"id", Table::Align::right}};
    if (!types.empty()) columns.push_back({"type", Table::Align::right});
    columns.push_back({"token", Table::Align::left});
    Table table(std::move(columns));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      std::vector<std::string> cells{cat(ids[i].as_integer())};
      if (!types.empty()) cells.push_back(cat(types[i].as_integer()));
      cells.push_back(tokens[i].dump());
      table.row(std::move(cells));
    }
    if (!table.empty()) out << table.to_string(style);
    out << style.dim(cat(plural(ids.size(), "token"), " for ",
                         plural(static_cast<std::uint64_t>(report["bytes"].as_integer()), "byte"),
                         "; ", report["tokenizer"].as_string()))
        << "\n";
  }

 private:
  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_tokenize() {
  return std::make_unique<Tokenize>();
}

}  // namespace apr

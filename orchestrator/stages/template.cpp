// apr template: the prompt that a chat template makes of messages.
#include <algorithm>
#include <cctype>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "core/platform/file.h"
#include "core/runtime/model.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/generation.h"
#include "orchestrator/stages/messages.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

constexpr std::uint64_t kMaxTemplateFile = std::uint64_t{2} << 20;

VerbInfo describe() {
  VerbInfo info;
  info.name = "template";
  info.summary = "show the prompt that a chat template makes of messages";
  info.details =
      "Renders a conversation exactly as `apr chat` does: with the model's chat template, or with "
      "the one of --template, which needs no model. Standard output is the prompt, byte for byte; "
      "on a terminal the template's own words are dim and what came from the messages is not. "
      "Special tokens are recognised in the template's words only: what a message spells out stays "
      "text. --json lists both kinds of spans, and the token ids if there is a model.\n\n"
      "The messages are a JSON list of {\"role\", \"content\"}, with whatever else the template "
      "asks for (tool_calls, name, …), or an object with messages and tools as in a request to a "
      "server. --set gives the template further variables; a value that is JSON is taken as such "
      "(true, 3, [1], \"3\"), anything else as text. bos_token and eos_token set so replace the "
      "model's and are trusted as they are.";
  Param model = model_param("the model whose template, special tokens and tokenizer are used");
  model.required = false;
  info.params.push_back(std::move(model));
  Param source = text_param("template", "FILE", "a Jinja template instead of the model's");
  source.role = ParamRole::input;
  info.params.push_back(std::move(source));
  Param messages = text_param("messages", "FILE", "the messages, as JSON; - reads standard input");
  messages.required = true;
  messages.letter = 'm';
  info.params.push_back(std::move(messages));
  info.params.push_back(text_param("tools", "FILE", "the tools that may be called, as JSON"));
  Param set = text_param("set", "NAME=VALUE", "a variable of the template; may be repeated");
  set.type = ParamType::texts;
  info.params.push_back(std::move(set));
  info.params.push_back(
      text_param("date", "DATE", "the date for templates that ask for it: 2024-07-26, or `today`"));
  info.params.push_back(
      flag_param("no-generation-prompt", "leave out the words that begin the model's next answer"));
  info.params.push_back(flag_param("tokens", "show the token ids, too; needs a model"));
  info.examples = {
      {"echo '[{\"role\":\"user\",\"content\":\"Hi\"}]' | apr template tiny.apr -m -",
       "a model's prompt"},
      {"echo '[{\"role\":\"user\",\"content\":\"Hi\"}]' | apr template tiny.apr -m - --tokens",
       "and what its tokenizer makes of it"},
      {"echo '[{\"role\":\"user\",\"content\":\"Hi\"}]' | apr template tiny.apr -m - --json",
       "with spans and ids, for other programs"}};
  return info;
}

Result<std::string> text_at(const std::string& path, std::uint64_t limit) {
  if (path == "-") return read_standard_input(limit);
  return read_file(path, limit);
}

bool is_name(std::string_view name) {
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0 &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
         });
}

/// NAME=VALUE of every --set.
Status set_variables(const std::vector<std::string>& all, ChatTemplate::Variables& variables) {
  constexpr std::pair<std::string_view, std::string_view> kTaken[] = {
      {"messages", "--messages gives them"},
      {"tools", "--tools gives them"},
      {"now", "--date gives the date"},
      {"add_generation_prompt", "--no-generation-prompt switches it off"}};
  for (const std::string& entry : all) {
    const std::size_t equals = entry.find('=');
    const std::string name = entry.substr(0, equals);
    if (equals == std::string::npos || !is_name(name)) {
      return make_error(ErrorCode::usage, cat("--set '", entry, "' is not of the form NAME=VALUE"));
    }
    for (const auto& [taken, hint] : kTaken) {
      if (name == taken) {
        return make_error(ErrorCode::usage, cat("--set cannot give ", name), {}, std::string(hint));
      }
    }
    const std::string text = entry.substr(equals + 1);
    auto json = parse_json(text, cat("--set ", name));
    const Json value = json ? *std::move(json) : Json(text);
    if (name == "bos_token" || name == "eos_token") {
      (name == "bos_token" ? variables.bos_token : variables.eos_token) =
          value.is_string() ? value.as_string() : text;
    } else {
      variables.extra.set(name, value);
    }
  }
  return {};
}

Json spans_json(const MarkedText& prompt) {
  Json spans = Json::array();
  for (const MarkedText::Span& span : prompt.spans()) {
    spans.push_back(
        Json::object({{"begin", std::uint64_t{span.begin}},
                      {"end", std::uint64_t{span.end}},
                      {"trusted", span.trusted},
                      {"text", prompt.text().substr(span.begin, span.end - span.begin)}}));
  }
  return spans;
}

class Template final : public Verb {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    const bool has_model = params.has("model");
    if (!has_model && !params.has("template")) {
      return make_error(ErrorCode::usage, "there is no template", {},
                        "name a model, or give a template with --template FILE.jinja");
    }
    if (!has_model && params.flag("tokens")) {
      return make_error(ErrorCode::usage, "--tokens needs a model", {},
                        "name the model whose tokenizer is meant before the options");
    }
    std::optional<Package> package;
    std::optional<Tokenizer> tokenizer;
    if (has_model) {
      APR_ASSIGN(package, open_any(context, params.text("model")));
      if (params.flag("tokens") || has_tokenizer(*package)) {
        APR_ASSIGN(tokenizer, tokenizer_of(*package));
      }
    }
    APR_ASSIGN(ChatTemplate::Variables variables,
               template_variables(params, package ? &*package : nullptr,
                                  tokenizer ? &*tokenizer : nullptr));
    APR_ASSIGN(const ChatTemplate chat, read_template(params, package));
    APR_ASSIGN(const Json messages, read_input(params, variables));
    APR_TRY(set_variables(params.texts("set"), variables));
    variables.add_generation_prompt = !params.flag("no-generation-prompt");
    auto prompt = chat.render(messages, variables, {});
    if (!prompt) return std::move(prompt).error();

    Json report =
        Json::object({{"template", params.text(params.has("template") ? "template" : "model")},
                      {"prompt", prompt->text()},
                      {"bytes", std::uint64_t{prompt->size()}},
                      {"spans", spans_json(*prompt)}});
    if (tokenizer && (context.json || params.flag("tokens"))) {
      auto ids = tokenizer->encode(*prompt, false);
      if (!ids) return std::move(ids).error().within(package->path());
      Json list = Json::array();
      Json tokens = Json::array();
      for (const TokenId id : *ids) {
        list.push_back(std::int64_t{id});
        tokens.push_back(readable_bytes(tokenizer->piece(id, false)));
      }
      report.set("count", std::uint64_t{ids->size()});
      report.set("ids", std::move(list));
      report.set("tokens", std::move(tokens));
    }
    return Outcome{.report = std::move(report)};
  }

  void print(const Json& report, std::ostream& out, bool terminal) const override {
    const Style style{terminal};
    if (!terminal) {
      out << report["prompt"].as_string();
    } else {
      for (const Json& span : report["spans"].as_array()) {
        const std::string text = terminal_text(span["text"].as_string(), true);
        out << (span["trusted"].as_boolean() ? style.dim(text) : text);
      }
    }
    const bool ended = report["prompt"].as_string().ends_with('\n');
    const bool table_follows = report.contains("ids");
    if ((terminal || table_follows) && !ended) out << "\n";
    if (!table_follows) return;
    Table table({{"id", Table::Align::right}, {"token", Table::Align::left}});
    const JsonArray& ids = report["ids"].as_array();
    const JsonArray& tokens = report["tokens"].as_array();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      table.row({cat(ids[i].as_integer()), tokens[i].dump()});
    }
    out << "\n" << (table.empty() ? "" : table.to_string(style));
    out << style.dim(plural(ids.size(), "token")) << "\n";
  }

 private:
  static Result<ChatTemplate> read_template(const Values& params,
                                            const std::optional<Package>& package) {
    if (!params.has("template")) {
      auto found = chat_template_of(*package);
      if (!found && found.error().code == ErrorCode::load) {
        return make_error(ErrorCode::load, "the model carries no chat template", package->path(),
                          "give one with --template FILE.jinja");
      }
      return found;
    }
    const std::string& path = params.text("template");
    APR_ASSIGN(const std::string text, text_at(path, kMaxTemplateFile));
    return ChatTemplate::parse(text, path == "-" ? "standard input" : path);
  }

  /// The messages; tools go into the variables.
  static Result<Json> read_input(const Values& params, ChatTemplate::Variables& variables) {
    const std::string& path = params.text("messages");
    if (path == "-" && params.has("template") && params.text("template") == "-") {
      return make_error(ErrorCode::usage, "messages and template cannot both be standard input");
    }
    const std::string name = path == "-" ? "standard input" : path;
    APR_ASSIGN(const std::string text, text_at(path, kMaxMessageBytes));
    APR_ASSIGN(MessagesFile input, read_messages(text, name));
    variables.tools = std::move(input.tools);
    if (params.has("tools")) {
      if (!variables.tools.is_null()) {
        return make_error(ErrorCode::usage, "there are tools in the messages file, too", name,
                          "leave out --tools, or take them out of the file");
      }
      const std::string& file = params.text("tools");
      APR_ASSIGN(const std::string tools, text_at(file, kMaxMessageBytes));
      APR_ASSIGN(variables.tools, read_tools(tools, file == "-" ? "standard input" : file));
    }
    return std::move(input.messages);
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_template() {
  return std::make_unique<Template>();
}

}  // namespace apr

#include <algorithm>

#include "core/base/cat.h"
#include "orchestrator/cli/help.h"
#include "orchestrator/cli/help_text.h"
#include "orchestrator/cli/options.h"

namespace apr {

namespace {

std::string_view type_name(ParamType type) {
  switch (type) {
    case ParamType::text:
      return "text";
    case ParamType::integer:
      return "integer";
    case ParamType::number:
      return "number";
    case ParamType::boolean:
      return "boolean";
    case ParamType::bytes:
      return "bytes";
    case ParamType::choice:
      return "choice";
    case ParamType::texts:
      return "texts";
  }
  return "";
}

/// A cell of a Markdown table.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    if (c == '<') {
      out += "&lt;";
    } else {
      out += c == '\n' ? ' ' : c;
    }
  }
  return out;
}

std::string markdown_params(const std::vector<const Param*>& params) {
  std::string out = "| option | meaning |\n|---|---|\n";
  for (const Param* param : params) {
    out += cat("| `", spelled(*param), "` | ", cell(help_text(*param, Limits::all)), " |\n");
  }
  return out + "\n";
}

std::string markdown_verb(const VerbInfo& verb) {
  std::string out = cat("## apr ", verb.name, "\n\n", verb.summary, "\n\n```\n",
                        usage_line("apr", verb), "\n```\n\n");
  if (!verb.details.empty()) out += wrapped(verb.details, 100) + "\n\n";
  if (!verb.params.empty()) {
    std::vector<const Param*> params = positionals(verb);
    for (const Param& param : verb.params) {
      if (param.position < 0) params.push_back(&param);
    }
    out += markdown_params(params);
  }
  for (const Example& example : verb.examples) {
    out += cat(example.meaning, ":\n\n```sh\n", example.command, "\n```\n\n");
  }
  return out;
}

}  // namespace

std::string markdown_reference() {
  std::string out =
      "# The command line of apr\n\n"
      "Generated from the verbs' schemas by `apr help --markdown`; a test compares the two.\n\n"
      "Results go to standard output, remarks, progress and errors to standard error. With "
      "`--json` "
      "standard output\nholds exactly one JSON document: the verb's report, or, after a failure, "
      "`{\"error\": {\"code\", \"message\",\n\"context\", \"hint\", \"exit_code\"}}`; the sentence "
      "for "
      "people is on standard error all the same. Colour and\nprogress bars appear on terminals "
      "only; "
      "`NO_COLOR` switches colour off. The first Ctrl-C stops the work and\nremoves what was half "
      "written, a second one exits at once. Files are written under a temporary name and renamed\n"
      "when complete, and an existing file is replaced only with `--force`. A value that begins "
      "with "
      "a dash is written\n`--option=VALUE`; after `--` nothing is an option.\n\n"
      "| exit code | meaning |\n|---|---|\n";
  for (const ExitCode& code : exit_codes())
    out += cat("| ", code.code, " | ", code.meaning, " |\n");
  out += "\n## Options of every verb\n\n" + markdown_params(pointers(global_params()));
  out += "## Verbs\n\n";
  for (const auto& [title, verbs] : grouped_verbs()) {
    out += cat("**", title, "**\n\n");
    for (const Verb* verb : verbs) {
      const VerbInfo& info = verb->info();
      std::string anchor = "apr-" + info.name;
      std::replace(anchor.begin(), anchor.end(), ' ', '-');
      out += cat("- [", info.name, "](#", anchor, "): ", info.summary, "\n");
    }
    out += "\n";
  }
  for (const auto& [title, verbs] : grouped_verbs()) {
    for (const Verb* verb : verbs) out += markdown_verb(verb->info());
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

Json exit_codes_as_json() {
  Json list = Json::array();
  for (const ExitCode& code : exit_codes()) {
    list.push_back(Json::object({{"code", code.code}, {"meaning", code.meaning}}));
  }
  return Json::object({{"exit_codes", std::move(list)}});
}

Json verb_as_json(std::string_view program, const VerbInfo& verb) {
  Json params = Json::array();
  for (const Param& param : verb.params) {
    Json entry = Json::object({{"name", param.name},
                               {"type", type_name(param.type)},
                               {"help", param.help},
                               {"required", param.required}});
    if (param.role == ParamRole::input) entry.set("role", "input");
    if (param.role == ParamRole::output) entry.set("role", "output");
    if (!param.fallback.is_null()) entry.set("default", param.fallback);
    if (param.minimum) entry.set("minimum", *param.minimum);
    if (param.maximum) entry.set("maximum", *param.maximum);
    if (param.letter != 0) entry.set("letter", std::string(1, param.letter));
    if (param.position >= 0) entry.set("position", param.position);
    for (const std::string& choice : param.choices) {
      if (!entry.contains("choices")) entry.set("choices", Json::array());
      entry.find("choices")->push_back(choice);
    }
    params.push_back(std::move(entry));
  }
  Json examples = Json::array();
  for (const Example& example : verb.examples) {
    examples.push_back(Json::object({{"command", example.command}, {"meaning", example.meaning}}));
  }
  return Json::object({{"name", verb.name},
                       {"summary", verb.summary},
                       {"usage", usage_line(program, verb)},
                       {"details", verb.details},
                       {"parameters", std::move(params)},
                       {"examples", std::move(examples)}});
}

}  // namespace apr

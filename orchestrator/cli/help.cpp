#include "orchestrator/cli/help.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/cat.h"
#include "orchestrator/cli/options.h"

namespace apr {

namespace {

constexpr std::string_view kAbout = "takes a language model through its life";

/// Headings of the overview; verbs that no group names come last.
struct Group {
  std::string_view title;
  std::vector<std::string_view> verbs;
};
const std::vector<Group>& groups() {
  static const std::vector<Group> list = {
      {"Bring in, shrink, hand out", {"import", "convert", "quantize", "export"}},
      {"Use", {"chat", "run", "transcribe", "embeddings", "tokenize", "template", "bench"}},
      {"Look", {"inspect", "tensors", "graph", "lineage", "trace", "diff"}},
      {"Check", {"validate", "test-model", "eval", "compare-hf", "canary create", "canary check"}},
      {"Scripted sessions",
       {"probador playbook run", "probador playbook list", "probador playbook validate",
        "probador playbook create"}},
      {"Plugins", {"plugins list", "plugins info", "plugins verify"}},
  };
  return list;
}

struct Code {
  int code;
  std::string_view meaning;
};
constexpr std::array<Code, 13> kExitCodes{{
    {0, "done"},
    {1, "unexpected failure"},
    {2, "wrong usage"},
    {3, "a file, tensor or plugin does not exist"},
    {4, "a file is not what it claims to be"},
    {5, "a check failed, or the output exists and --force was not given"},
    {6, "the model cannot be run as it is described"},
    {7, "the system refused to read or write"},
    {8, "failure while computing"},
    {9, "not supported by this build"},
    {10, "network failure"},
    {11, "not found on the server"},
    {130, "stopped by Ctrl-C"},
}};

std::string default_text(const Param& param) {
  if (param.fallback.is_null() || param.type == ParamType::boolean) return {};
  return param.fallback.is_string() ? param.fallback.as_string() : param.fallback.dump();
}

std::string range_text(const Param& param) {
  const auto number = [](double value) { return Json(value).dump(); };
  const auto plain = [&](double value) {
    std::string text = number(value);
    if (text.ends_with(".0")) text.resize(text.size() - 2);
    return text;
  };
  if (param.minimum && param.maximum)
    return cat(plain(*param.minimum), " to ", plain(*param.maximum));
  if (param.minimum) return cat("at least ", plain(*param.minimum));
  if (param.maximum) return cat("at most ", plain(*param.maximum));
  return {};
}

/// What an option's value may be: "[one of: a, b; default: a]".
std::string constraints(const Param& param) {
  std::vector<std::string> parts;
  if (param.required && param.position < 0) parts.emplace_back("required");
  if (!param.choices.empty()) {
    std::string list;
    for (const std::string& choice : param.choices) list += (list.empty() ? "" : ", ") + choice;
    parts.push_back("one of: " + list);
  }
  if (const std::string range = range_text(param); !range.empty()) parts.push_back(range);
  if (const std::string fallback = default_text(param); !fallback.empty()) {
    parts.push_back("default: " + fallback);
  }
  for (const std::string& alias : param.aliases) parts.push_back("also --" + alias);
  if (parts.empty()) return {};
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return cat("[", text, "]");
}

std::string help_text(const Param& param) {
  const std::string limits = constraints(param);
  return limits.empty() ? param.help : cat(param.help, " ", limits);
}

std::vector<const Param*> positionals(const VerbInfo& verb) {
  std::vector<const Param*> list;
  for (const Param& param : verb.params) {
    if (param.position >= 0) list.push_back(&param);
  }
  std::sort(list.begin(), list.end(),
            [](const Param* a, const Param* b) { return a->position < b->position; });
  return list;
}

std::string usage_line(const VerbInfo& verb) {
  std::string line = "apr " + verb.name;
  for (const Param* param : positionals(verb)) {
    const std::string name = value_name(*param);
    const std::string dots = param->type == ParamType::texts ? "..." : "";
    line += param->required ? cat(" ", name, dots) : cat(" [", name, dots, "]");
  }
  bool optional = false;
  for (const Param& param : verb.params) {
    if (param.position >= 0) continue;
    if (param.required) {
      line += param.letter != 0 ? cat(" -", param.letter) : cat(" --", param.name);
      line += " " + value_name(param);
    } else {
      optional = true;
    }
  }
  return optional ? line + " [OPTIONS]" : line;
}

/// "  -o, --output FILE   help" lines; options without a letter are indented as if they had one.
std::string option_lines(const std::vector<const Param*>& params, std::size_t width, Style style) {
  std::vector<std::string> names;
  std::size_t widest = 0;
  for (const Param* param : params) {
    const bool indented = param->letter == 0 && param->position < 0;
    names.push_back((indented ? "    " : "") + spelled(*param));
    widest = std::max(widest, names.back().size());
  }
  const std::size_t column = std::min<std::size_t>(widest, 26) + 4;
  std::string out;
  for (std::size_t i = 0; i < params.size(); ++i) {
    const std::size_t taken = names[i].size() + 2;
    out += "  " + style.bold(names[i]);
    if (taken + 2 > column) {
      out += "\n" + std::string(column, ' ');
    } else {
      out += std::string(column - taken, ' ');
    }
    out += wrapped(help_text(*params[i]), width, column) + "\n";
  }
  return out;
}

std::string exit_code_lines(std::size_t width) {
  std::string out;
  for (const auto& [code, meaning] : kExitCodes) {
    const std::string number = std::to_string(code);
    out += std::string(5 - number.size(), ' ') + number + "  " + wrapped(meaning, width, 7) + "\n";
  }
  return out;
}

std::vector<std::pair<std::string, std::vector<const Verb*>>> grouped_verbs() {
  std::vector<std::pair<std::string, std::vector<const Verb*>>> list;
  std::vector<const Verb*> rest;
  for (const auto& verb : all_verbs()) rest.push_back(verb.get());
  const auto take = [&](const std::vector<std::string_view>& names) {
    std::vector<const Verb*> taken;
    for (const std::string_view name : names) {
      const auto found = std::find_if(rest.begin(), rest.end(),
                                      [&](const Verb* verb) { return verb->info().name == name; });
      if (found == rest.end()) continue;
      taken.push_back(*found);
      rest.erase(found);
    }
    return taken;
  };
  for (const Group& group : groups()) {
    if (auto taken = take(group.verbs); !taken.empty()) {
      list.emplace_back(std::string(group.title), std::move(taken));
    }
  }
  if (!rest.empty()) list.emplace_back("More", std::move(rest));
  return list;
}

std::vector<const Param*> pointers(const std::vector<Param>& params, bool options_only) {
  std::vector<const Param*> list;
  for (const Param& param : params) {
    if (!options_only || param.position < 0) list.push_back(&param);
  }
  return list;
}

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
    out += cat("| `", spelled(*param), "` | ", cell(help_text(*param)), " |\n");
  }
  return out + "\n";
}

std::string markdown_verb(const VerbInfo& verb) {
  std::string out =
      cat("## apr ", verb.name, "\n\n", verb.summary, "\n\n```\n", usage_line(verb), "\n```\n\n");
  if (!verb.details.empty()) out += wrapped(verb.details, 100) + "\n\n";
  if (!verb.params.empty()) {
    std::vector<const Param*> params = positionals(verb);
    for (const Param* param : pointers(verb.params, true)) params.push_back(param);
    out += markdown_params(params);
  }
  for (const Example& example : verb.examples) {
    out += cat(example.meaning, ":\n\n```sh\n", example.command, "\n```\n\n");
  }
  return out;
}

}  // namespace

std::vector<const Verb*> verbs_of_group(const std::string& word) {
  std::vector<const Verb*> list;
  for (const auto& verb : all_verbs()) {
    if (verb->info().name.starts_with(word + " ")) list.push_back(verb.get());
  }
  return list;
}

std::string overview_page(std::size_t width, Style style) {
  std::string out = cat(style.bold("apr"), " ", APR_VERSION, ": ", kAbout, "\n\n");
  out += "Usage: " + style.bold("apr VERB") + " [ARGUMENTS] [OPTIONS]\n";
  std::size_t widest = 0;
  for (const auto& verb : all_verbs()) widest = std::max(widest, verb->info().name.size());
  for (const auto& [title, verbs] : grouped_verbs()) {
    out += "\n" + style.bold(title) + "\n";
    for (const Verb* verb : verbs) {
      const VerbInfo& info = verb->info();
      out += "  " + info.name + std::string(widest + 3 - info.name.size(), ' ');
      out += wrapped(info.summary, width, widest + 5) + "\n";
    }
  }
  out += "\n" + style.bold("Options of every verb") + "\n";
  out += option_lines(pointers(global_params(), false), width, style);
  out += "\n`apr VERB --help` explains one verb and shows examples.\n";
  return out;
}

std::string verb_page(const VerbInfo& verb, std::size_t width, Style style) {
  std::string out = cat(style.bold("apr " + verb.name), ": ",
                        wrapped(verb.summary, width, std::min<std::size_t>(2, width)), "\n\n");
  out += "Usage: " + wrapped(usage_line(verb), width, 7) + "\n";
  if (!verb.details.empty()) out += "\n" + wrapped(verb.details, width) + "\n";
  if (const auto list = positionals(verb); !list.empty()) {
    out += "\n" + style.bold("Arguments") + "\n" + option_lines(list, width, style);
  }
  if (const auto list = pointers(verb.params, true); !list.empty()) {
    out += "\n" + style.bold("Options") + "\n" + option_lines(list, width, style);
  }
  out += "\n" + style.bold("Options of every verb") + "\n";
  out += option_lines(pointers(global_params(), false), width, style);
  if (!verb.examples.empty()) {
    out += "\n" + style.bold("Examples") + "\n";
    for (const Example& example : verb.examples) {
      out += "  " + style.dim(wrapped("# " + example.meaning, width, 2)) + "\n";
      out += "  " + example.command + "\n";
    }
  }
  out += "\n" + style.bold("Exit codes") + "\n" + exit_code_lines(width);
  return out;
}

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
  for (const auto& [code, meaning] : kExitCodes) out += cat("| ", code, " | ", meaning, " |\n");
  out += "\n## Options of every verb\n\n" + markdown_params(pointers(global_params(), false));
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

Json verb_as_json(const VerbInfo& verb) {
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
                       {"usage", usage_line(verb)},
                       {"details", verb.details},
                       {"parameters", std::move(params)},
                       {"examples", std::move(examples)}});
}

}  // namespace apr

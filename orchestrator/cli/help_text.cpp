#include "orchestrator/cli/help_text.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/cat.h"
#include "orchestrator/cli/options.h"

namespace apr {

namespace {

constexpr std::array<ExitCode, 13> kExitCodes{{
    {0, "done", "done"},
    {1, "unexpected failure", "unexpected failure"},
    {2, "wrong usage", "wrong usage"},
    {3, "a file, tensor or plugin does not exist", "not found"},
    {4, "a file is not what it claims to be", "bad file"},
    {5, "a check failed, or the output exists and --force was not given",
     "check failed or output exists"},
    {6, "the model cannot be run as it is described", "model cannot be run"},
    {7, "the system refused to read or write", "cannot read or write"},
    {8, "failure while computing", "computing failed"},
    {9, "not supported by this build", "not supported"},
    {10, "network failure", "network failure"},
    {11, "not found on the server", "not on the server"},
    {130, "stopped by Ctrl-C", "Ctrl-C"},
}};

/// Headings of the overview, along a model's life; verbs that no group names come last.
struct Group {
  std::string_view title;
  std::vector<std::string_view> verbs;
};
const std::vector<Group>& groups() {
  static const std::vector<Group> list = {
      {"Bring in, shrink, hand on", {"import", "convert", "quantize", "export"}},
      {"Look inside", {"inspect", "tensors", "graph", "lineage", "tokenize", "template", "trace"}},
      {"Check and measure",
       {"validate", "test-model", "compare-hf", "diff", "canary create", "canary check", "eval",
        "bench"}},
      {"Use", {"run", "chat", "embeddings", "transcribe"}},
      {"Tools",
       {"plugins list", "plugins info", "plugins verify", "probador playbook run",
        "probador playbook list", "probador playbook validate", "probador playbook create",
        "completion"}},
  };
  return list;
}

std::string plain(double value) {
  std::string text = Json(value).dump();
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

std::string default_text(const Param& param) {
  const Json& value = param.fallback;
  if (value.is_null() || param.type == ParamType::boolean) return {};
  if (param.type == ParamType::number) return plain(value.as_number());
  if (!value.is_string()) return value.dump();
  const std::string& text = value.as_string();
  const bool clear = !text.empty() && text.find(' ') == text.npos;
  return clear ? text : value.dump();
}

/// That a count is not negative, and that there is some large limit, goes without saying.
std::string range_text(const Param& param, Limits limits) {
  constexpr double kLarge = 4096;
  const bool all = limits == Limits::all;
  const bool low = param.minimum && (all || *param.minimum < 0 || *param.minimum > 1);
  const bool high = param.maximum && (all || *param.maximum < kLarge);
  if (param.minimum && high) return cat(plain(*param.minimum), " to ", plain(*param.maximum));
  if (low && param.maximum && all) return cat(plain(*param.minimum), " to ", plain(*param.maximum));
  if (low) return cat("at least ", plain(*param.minimum));
  if (high) return cat("at most ", plain(*param.maximum));
  return {};
}

}  // namespace

std::span<const ExitCode> exit_codes() {
  return kExitCodes;
}

std::string constraints(const Param& param, Limits limits) {
  std::vector<std::string> parts;
  if (param.required && param.position < 0) parts.emplace_back("required");
  if (!param.choices.empty()) {
    std::string list;
    for (const std::string& choice : param.choices) list += (list.empty() ? "" : ", ") + choice;
    parts.push_back("one of: " + list);
  }
  if (const std::string range = range_text(param, limits); !range.empty()) parts.push_back(range);
  if (const std::string fallback = default_text(param); !fallback.empty()) {
    parts.push_back("default: " + fallback);
  }
  for (const std::string& alias : param.aliases) parts.push_back("also --" + alias);
  if (parts.empty()) return {};
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return cat("[", text, "]");
}

std::string help_text(const Param& param, Limits limits) {
  const std::string text = constraints(param, limits);
  return text.empty() ? param.help : cat(param.help, " ", text);
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

std::vector<const Param*> pointers(const std::vector<Param>& params) {
  std::vector<const Param*> list;
  for (const Param& param : params) list.push_back(&param);
  return list;
}

std::string usage_line(std::string_view program, const VerbInfo& verb) {
  std::string line = cat(program, " ", verb.name);
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

std::vector<VerbGroup> grouped_verbs() {
  std::vector<VerbGroup> list;
  std::vector<const Verb*> rest;
  for (const auto& verb : all_verbs()) rest.push_back(verb.get());
  for (const Group& group : groups()) {
    std::vector<const Verb*> taken;
    for (const std::string_view name : group.verbs) {
      const auto found = std::find_if(rest.begin(), rest.end(),
                                      [&](const Verb* verb) { return verb->info().name == name; });
      if (found == rest.end()) continue;
      taken.push_back(*found);
      rest.erase(found);
    }
    if (!taken.empty()) list.push_back({std::string(group.title), std::move(taken)});
  }
  if (!rest.empty()) list.push_back({"More", std::move(rest)});
  return list;
}

}  // namespace apr

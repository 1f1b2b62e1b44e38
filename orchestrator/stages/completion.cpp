// apr completion: scripts that make shells complete what is typed for apr and apr-pipeline.
#include "orchestrator/cli/completion.h"

#include <algorithm>
#include <cctype>
#include <ostream>

#include "orchestrator/cli/options.h"
#include "orchestrator/pipeline/command_schema.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

VerbInfo describe() {
  VerbInfo info;
  info.name = "completion";
  info.summary = "print a script that completes commands in bash, zsh or fish";
  info.details =
      "One script for apr and apr-pipeline: verbs, options, choices, files, and the schemes, "
      "backends and formats of the plugins there are. Made from the same schemas as --help.\n\n"
      "  bash   source <(apr completion bash)       in ~/.bashrc\n"
      "  zsh    source <(apr completion zsh)        in ~/.zshrc, after compinit\n"
      "  fish   apr completion fish | source        in ~/.config/fish/config.fish";
  Param shell;
  shell.name = "shell";
  shell.type = ParamType::choice;
  shell.choices = {"bash", "zsh", "fish"};
  shell.position = 0;
  shell.required = true;
  shell.help = "the shell that shall read the script";
  info.params.push_back(std::move(shell));
  info.examples = {{"apr completion bash > apr-completion.bash", "a script to source"}};
  return info;
}

/// Names that plugins bring, from their manifests.
class PluginWords {
 public:
  explicit PluginWords(const PluginHost& host) : host_(host) {}

  std::vector<std::string> operator()(const VerbInfo& verb, const Param& param) const {
    if (param.name == "backend") return provided("backend");
    if (verb.name == "export" && param.name == "format") return provided("exporter");
    const bool scheme = param.value_name == "SCHEME";
    if (scheme) return schemes();
    if (verb.name.starts_with("plugins ") && param.name == "name") return names();
    return {};
  }

 private:
  std::vector<std::string> provided(std::string_view kind) const {
    std::vector<std::string> list;
    for (const PluginInfo& plugin : host_.plugins()) {
      for (const PluginInfo::Provided& item : plugin.provides) {
        const bool fits = item.kind == kind && is_word(item.id);
        if (fits && std::find(list.begin(), list.end(), item.id) == list.end()) {
          list.push_back(item.id);
        }
      }
    }
    return list;
  }

  std::vector<std::string> schemes() const {
    std::vector<std::string> list = {"int8", "int4", "f16", "bf16", "f32"};
    for (const char* kind : {"scheme", "quantizer"}) {
      for (std::string& name : provided(kind)) {
        // A quantizer's own name is no scheme, unless it is a type's.
        const bool known = type_from_name(name).has_value() || kind == std::string_view("scheme");
        if (known && std::find(list.begin(), list.end(), name) == list.end()) {
          list.push_back(std::move(name));
        }
      }
    }
    return list;
  }

  std::vector<std::string> names() const {
    std::vector<std::string> list;
    for (const PluginInfo& plugin : host_.plugins()) {
      if (is_word(plugin.name)) list.push_back(plugin.name);
    }
    return list;
  }

  /// Manifests are files: what is no plain word never gets into a script.
  static bool is_word(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
    });
  }

  const PluginHost& host_;
};

CompletedVerb common_options(const Suggestions& suggestions) {
  VerbInfo common;
  common.params = global_params();
  return completed(common, suggestions);
}

std::vector<CompletedProgram> programs(const Suggestions& suggestions) {
  CompletedProgram apr{.name = "apr", .verbs = {}, .common = common_options(suggestions)};
  for (const auto& verb : all_verbs()) apr.verbs.push_back(completed(verb->info(), suggestions));
  CompletedVerb help;
  help.name = "help";
  help.help = "explain a verb";
  CompletedValue words{CompletedValue::Kind::words, {}};
  for (const auto& [word, text] : next_words(apr, "")) words.words.push_back(word);
  help.positions.push_back(std::move(words));
  apr.verbs.push_back(std::move(help));

  CompletedProgram pipeline{
      .name = "apr-pipeline", .verbs = {}, .common = common_options(suggestions)};
  for (const VerbInfo& command : pipeline::commands()) {
    pipeline.verbs.push_back(completed(command, suggestions));
  }
  return {std::move(apr), std::move(pipeline)};
}

class Completion final : public Verb {
 public:
  const VerbInfo& info() const override { return info_; }

  Result<Outcome> run(RunContext& context) override {
    const std::string& shell = context.params.text("shell");
    const auto all = programs(PluginWords(context.plugins));
    const std::string script = shell == "bash"  ? bash_completion(all)
                               : shell == "zsh" ? zsh_completion(all)
                                                : fish_completion(all);
    return Outcome{.report = Json::object({{"shell", shell}, {"script", script}})};
  }

  void print(const Json& report, std::ostream& out, bool /*terminal*/) const override {
    out << report["script"].as_string();
  }

 private:
  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_completion() {
  return std::make_unique<Completion>();
}

}  // namespace apr

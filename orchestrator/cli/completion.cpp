// Completion for bash, and what the three shells share.
//
// A script holds the schemas as case tables and one small parser, the same in each shell: it walks
// over the words before the cursor, takes options with their values off, and so knows the verb, how
// many positional words there were, and whether the cursor stands at an option's value.
#include "orchestrator/cli/completion.h"

#include <algorithm>

#include "core/base/cat.h"

namespace apr {

namespace {

using Kind = CompletedValue::Kind;

bool takes_folder(const Param& param) {
  return param.value_name == "FOLDER";
}

bool takes_file(const Param& param) {
  if (param.role != ParamRole::plain) return true;
  static const std::vector<std::string> kNames = {"FILE", "MODEL", "TARGET", "SOURCE", "AUDIO"};
  return std::find(kNames.begin(), kNames.end(), param.value_name) != kNames.end();
}

CompletedValue value_of(const VerbInfo& verb, const Param& param, const Suggestions& suggestions) {
  if (param.type == ParamType::boolean) return {Kind::flag, {}};
  if (!param.choices.empty()) return {Kind::words, param.choices};
  if (auto words = suggestions(verb, param); !words.empty()) return {Kind::words, std::move(words)};
  // A model may be a folder too, so folders alone are offered only where nothing else is meant.
  if (takes_folder(param) && param.role == ParamRole::plain) return {Kind::folder, {}};
  if (takes_file(param)) return {Kind::file, {}};
  return {Kind::anything, {}};
}

/// What the tables of bash and zsh say: "" flag, "-" anything, "f" file, "d" folder, "w …" words.
std::string coded(const CompletedValue& value) {
  switch (value.kind) {
    case Kind::flag:
      return "";
    case Kind::anything:
      return "-";
    case Kind::file:
      return "f";
    case Kind::folder:
      return "d";
    case Kind::words:
      break;
  }
  std::string text = "w";
  for (const std::string& word : value.words) text += " " + word;
  return text;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

std::string value_table(const CompletedProgram& program) {
  std::string out;
  const auto rows = [&](const CompletedVerb& verb, const std::string& key) {
    for (const CompletedOption& option : verb.options) {
      const std::string code = coded(option.value);
      if (code.empty()) continue;
      std::string pattern;
      for (const std::string& name : option.names) {
        pattern += cat(pattern.empty() ? "" : "|", key, shell_quoted(" " + name));
      }
      out += cat("    ", pattern, ") kind=", shell_quoted(code), " ;;\n");
    }
    for (std::size_t i = 0; i < verb.positions.size(); ++i) {
      const bool repeats = verb.last_repeats && i + 1 == verb.positions.size();
      out += cat("    ", key, repeats ? "' '[0-9]*" : shell_quoted(cat(" ", i)),
                 ") kind=", shell_quoted(coded(verb.positions[i])), " ;;\n");
    }
  };
  for (const CompletedVerb& verb : program.verbs) rows(verb, shell_quoted(verb.name));
  rows(program.common, "*");
  return out;
}

CompletedVerb completed(const VerbInfo& verb, const Suggestions& suggestions) {
  CompletedVerb made;
  made.name = verb.name;
  made.help = verb.summary;
  std::vector<const Param*> positions;
  for (const Param& param : verb.params) {
    CompletedOption option;
    option.names.push_back("--" + param.name);
    for (const std::string& alias : param.aliases) option.names.push_back("--" + alias);
    if (param.letter != 0) option.names.push_back(cat("-", param.letter));
    option.help = param.help;
    option.value = value_of(verb, param, suggestions);
    option.offered = param.position < 0;
    if (param.position >= 0) positions.push_back(&param);
    made.options.push_back(std::move(option));
  }
  std::sort(positions.begin(), positions.end(),
            [](const Param* a, const Param* b) { return a->position < b->position; });
  for (const Param* param : positions) {
    made.positions.push_back(value_of(verb, *param, suggestions));
    made.last_repeats = param->type == ParamType::texts;
  }
  return made;
}

std::vector<std::string> groups_of(const CompletedProgram& program) {
  std::vector<std::string> groups;
  for (const CompletedVerb& verb : program.verbs) {
    for (auto space = verb.name.find(' '); space != std::string::npos;
         space = verb.name.find(' ', space + 1)) {
      const std::string group = verb.name.substr(0, space);
      if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
    }
  }
  return groups;
}

std::vector<std::pair<std::string, std::string>> next_words(const CompletedProgram& program,
                                                            const std::string& group) {
  std::vector<std::pair<std::string, std::string>> words;
  const std::string beginning = group.empty() ? "" : group + " ";
  for (const CompletedVerb& verb : program.verbs) {
    if (!verb.name.starts_with(beginning)) continue;
    const std::string rest = verb.name.substr(beginning.size());
    const auto space = rest.find(' ');
    const std::string word = rest.substr(0, space);
    const auto known = std::find_if(words.begin(), words.end(),
                                    [&](const auto& entry) { return entry.first == word; });
    if (space == std::string::npos) {
      words.emplace_back(word, verb.help);
    } else if (known == words.end()) {
      words.emplace_back(word, rest.substr(space + 1));
    } else {
      known->second += ", " + rest.substr(space + 1);
    }
  }
  return words;
}

std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string identifier(std::string_view program) {
  std::string name(program);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

namespace {

std::string bash_program(const CompletedProgram& program) {
  const std::string id = identifier(program.name);
  std::vector<std::string> groups = groups_of(program);
  std::string out = cat("_", id, "_kind() {\n  kind=''\n  case \"$1 $2\" in\n",
                        value_table(program), "  esac\n}\n");
  out += cat("_", id, "_words() {\n  case \"$1\" in\n");
  groups.insert(groups.begin(), "");
  for (const std::string& group : groups) {
    std::vector<std::string> words;
    for (const auto& [word, help] : next_words(program, group)) words.push_back(word);
    out += cat("    ", shell_quoted(group), ") words=", shell_quoted(joined(words)), " ;;\n");
  }
  out += "    *) words='' ;;\n  esac\n}\n";
  const auto names = [](const CompletedVerb& verb) {
    std::vector<std::string> all;
    for (const CompletedOption& option : verb.options) {
      if (option.offered) all.insert(all.end(), option.names.begin(), option.names.end());
    }
    return joined(all);
  };
  out += cat("_", id, "_options() {\n  options=", shell_quoted(names(program.common)),
             "\n  case \"$1\" in\n");
  for (const CompletedVerb& verb : program.verbs) {
    if (verb.options.empty()) continue;
    out += cat("    ", shell_quoted(verb.name), ") options+=", shell_quoted(" " + names(verb)),
               " ;;\n");
  }
  out += cat("  esac\n}\n_", id, "() { _apr_complete ", id, "; }\ncomplete -F _", id, " ",
             program.name, "\n\n");
  return out;
}

}  // namespace

std::string bash_completion(const std::vector<CompletedProgram>& programs) {
  std::string out =
      "# Completion for bash, made by `apr completion bash`. Load it with\n"
      "#   source <(apr completion bash)\n"
      "# in ~/.bashrc, or keep it in ~/.local/share/bash-completion/completions/apr.\n\n";
  for (const CompletedProgram& program : programs) out += bash_program(program);
  out += R"(_apr_complete() {
  local program=$1 cur=${COMP_WORDS[COMP_CWORD]} word verb='' pending='' kind='' words='' options=''
  local -i i place=0
  COMPREPLY=()
  # bash splits --name=value into three words.
  [[ $cur == '=' ]] && cur=''
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    [[ $word == '=' ]] && continue
    if [[ -n $pending ]]; then
      pending=''
    elif [[ $word == -* ]]; then
      "_${program}_kind" "$verb" "$word"
      [[ -n $kind ]] && pending=$word
    else
      "_${program}_words" "$verb"
      if [[ -n $words ]]; then
        verb="${verb:+$verb }$word"
      else
        place+=1
      fi
    fi
  done
  if [[ -n $pending ]]; then
    "_${program}_kind" "$verb" "$pending"
  elif [[ $cur == -* ]]; then
    "_${program}_options" "$verb"
    kind="w $options"
  else
    "_${program}_words" "$verb"
    if [[ -n $words ]]; then
      kind="w $words"
    else
      "_${program}_kind" "$verb" "$place"
    fi
  fi
  case $kind in
    w*) mapfile -t COMPREPLY < <(compgen -W "${kind:2}" -- "$cur") ;;
    f) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    d) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
  esac
}
)";
  return out;
}

}  // namespace apr

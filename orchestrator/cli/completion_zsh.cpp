#include "core/base/cat.h"
#include "orchestrator/cli/completion.h"

namespace apr {

namespace {

/// An entry of _describe: colons of the name are escaped, those of the help are not.
std::string described(std::string_view name, std::string_view help) {
  std::string entry;
  for (const char c : name) {
    if (c == ':') entry += '\\';
    entry += c;
  }
  return shell_quoted(help.empty() ? entry : cat(entry, ":", help));
}

std::string option_lines(const CompletedVerb& verb) {
  std::string out;
  for (const CompletedOption& option : verb.options) {
    if (!option.offered) continue;
    for (const std::string& name : option.names) {
      out += cat("      ", described(name, option.help), "\n");
    }
  }
  return out;
}

std::string zsh_program(const CompletedProgram& program) {
  const std::string id = identifier(program.name);
  std::string out = cat("_", id, "_kind() {\n  kind=''\n  case \"$1 $2\" in\n",
                        value_table(program), "  esac\n}\n");
  out += cat("_", id, "_words() {\n  described=()\n  case \"$1\" in\n");
  std::vector<std::string> groups = groups_of(program);
  groups.insert(groups.begin(), "");
  for (const std::string& group : groups) {
    out += cat("    ", shell_quoted(group), ") described=(\n");
    for (const auto& [word, help] : next_words(program, group)) {
      out += cat("      ", described(word, help), "\n");
    }
    out += "    ) ;;\n";
  }
  out += cat("  esac\n}\n_", id, "_options() {\n  described=(\n", option_lines(program.common),
             "  )\n  case \"$1\" in\n");
  for (const CompletedVerb& verb : program.verbs) {
    if (verb.options.empty()) continue;
    out +=
        cat("    ", shell_quoted(verb.name), ") described+=(\n", option_lines(verb), "    ) ;;\n");
  }
  out += "  esac\n}\n\n";
  return out;
}

}  // namespace

std::string zsh_completion(const std::vector<CompletedProgram>& programs) {
  std::string names;
  for (const CompletedProgram& program : programs) names += " " + program.name;
  std::string out = cat("#compdef", names,
                        "\n# Completion for zsh, made by `apr completion zsh`. Load it with\n"
                        "#   source <(apr completion zsh)\n"
                        "# after compinit, or keep it as _apr in a folder of $fpath.\n\n");
  for (const CompletedProgram& program : programs) out += zsh_program(program);
  out += R"(_apr_complete() {
  local program=${${(Q)words[1]:t}//-/_} cur=${words[CURRENT]} word verb='' pending='' kind=''
  local -a described
  integer i place=0
  for ((i = 2; i < CURRENT; i++)); do
    word=${words[i]}
    if [[ -n $pending ]]; then
      pending=''
    elif [[ $word == --*=* ]]; then
      continue
    elif [[ $word == -* ]]; then
      _${program}_kind "$verb" "$word"
      [[ -n $kind ]] && pending=$word
    else
      _${program}_words "$verb"
      if (( $#described )); then
        verb="${verb:+$verb }$word"
      else
        (( place++ ))
      fi
    fi
  done
  if [[ -n $pending ]]; then
    _${program}_kind "$verb" "$pending"
  elif [[ $cur == --*=* ]]; then
    _${program}_kind "$verb" "${cur%%=*}"
    compset -P '*='
  elif [[ $cur == -* ]]; then
    _${program}_options "$verb"
    _describe -o option described
    return
  else
    _${program}_words "$verb"
    if (( $#described )); then
      _describe word described
      return
    fi
    _${program}_kind "$verb" "$place"
  fi
  case $kind in
    (w*) compadd -- ${=kind[3,-1]} ;;
    (f) _files ;;
    (d) _files -/ ;;
    (*) return 1 ;;
  esac
}

if [[ $funcstack[1] == _apr ]]; then
  _apr_complete "$@"
else
  compdef _apr_complete)";
  return cat(out, names, "\nfi\n");
}

}  // namespace apr

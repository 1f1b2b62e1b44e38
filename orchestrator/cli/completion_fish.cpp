#include "core/base/cat.h"
#include "orchestrator/cli/completion.h"

namespace apr {

namespace {

using Kind = CompletedValue::Kind;

std::string quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

/// The options of `complete` that say what a value may be.
std::string value_options(const CompletedValue& value) {
  switch (value.kind) {
    case Kind::flag:
      return "";
    case Kind::anything:
      return " -x";
    case Kind::file:
      return " -r -F";
    case Kind::folder:
      return " -x -a '(__fish_complete_directories)'";
    case Kind::words:
      break;
  }
  std::string words;
  for (const std::string& word : value.words) words += (words.empty() ? "" : " ") + word;
  return cat(" -x -a ", quoted(words));
}

std::string options(const CompletedProgram& program, const CompletedVerb& verb,
                    const std::string& condition) {
  std::string out;
  for (const CompletedOption& option : verb.options) {
    if (!option.offered) continue;
    out += cat("complete -c ", program.name, condition);
    for (const std::string& name : option.names) {
      out += name.starts_with("--") ? cat(" -l ", name.substr(2)) : cat(" -s ", name.substr(1));
    }
    out += cat(value_options(option.value), " -d ", quoted(option.help), "\n");
  }
  return out;
}

/// "verb option" of every option with a value, for the parser.
std::string valued(const CompletedProgram& program) {
  std::string out;
  const auto add = [&](const CompletedVerb& verb, const std::string& key) {
    for (const CompletedOption& option : verb.options) {
      if (option.value.kind == Kind::flag) continue;
      for (const std::string& name : option.names) out += " " + quoted(cat(key, " ", name));
    }
  };
  for (const CompletedVerb& verb : program.verbs) add(verb, verb.name);
  add(program.common, "*");
  return out;
}

std::string fish_program(const CompletedProgram& program) {
  const std::string id = identifier(program.name);
  std::string groups;
  for (const std::string& group : groups_of(program)) groups += " " + quoted(group);
  std::string out = cat("set -g __", id, "_valued", valued(program), "\nset -g __", id, "_groups",
                        groups, "\ncomplete -c ", program.name, " -f\n");
  const auto at = [&](const std::string& verb, const std::string& place) {
    return cat(" -n ", quoted(cat("__apr_at ", id, " ", quoted(verb), " ", place)));
  };
  std::vector<std::string> beginnings = groups_of(program);
  beginnings.insert(beginnings.begin(), "");
  for (const std::string& group : beginnings) {
    for (const auto& [word, help] : next_words(program, group)) {
      out += cat("complete -c ", program.name, at(group, "0"), " -a ", quoted(word), " -d ",
                 quoted(help), "\n");
    }
  }
  out += options(program, program.common, "");
  for (const CompletedVerb& verb : program.verbs) {
    out += options(program, verb, at(verb.name, "any"));
    for (std::size_t i = 0; i < verb.positions.size(); ++i) {
      const CompletedValue& value = verb.positions[i];
      if (value.kind == Kind::anything) continue;
      const bool repeats = verb.last_repeats && i + 1 == verb.positions.size();
      const std::string how = value.kind == Kind::file ? " -F" : value_options(value);
      // -x would make it an option's value; a word of the line has none.
      const std::string plain = how.starts_with(" -x") ? how.substr(3) : how;
      out +=
          cat("complete -c ", program.name, at(verb.name, cat(i, repeats ? "+" : "")), plain, "\n");
    }
  }
  return out + "\n";
}

}  // namespace

std::string fish_completion(const std::vector<CompletedProgram>& programs) {
  std::string out =
      "# Completion for fish, made by `apr completion fish`. Load it with\n"
      "#   apr completion fish | source\n"
      "# in ~/.config/fish/config.fish.\n\n"
      R"(# __apr_at PROGRAM VERB PLACE: the cursor stands behind VERB and PLACE positional words;
# PLACE "any": however many; "1+": one or more.
function __apr_at
    set -l valued __$argv[1]_valued
    set -l groups __$argv[1]_groups
    set -l words (commandline -opc)
    set -l verb ''
    set -l place 0
    set -l pending ''
    for word in $words[2..-1]
        if test -n "$pending"
            set pending ''
        else if string match -q -- '-*' "$word"
            if contains -- "$verb $word" $$valued; or contains -- "* $word" $$valued
                set pending $word
            end
        else if test -z "$verb"
            set verb $word
        else if contains -- "$verb" $$groups
            set verb "$verb $word"
        else
            set place (math $place + 1)
        end
    end
    test "$verb" = "$argv[2]"; or return 1
    switch $argv[3]
        case any
            return 0
        case '*+'
            test $place -ge (string trim -c + -- $argv[3])
        case '*'
            test $place -eq $argv[3]
    end
end

)";
  for (const CompletedProgram& program : programs) out += fish_program(program);
  return out;
}

}  // namespace apr

// Completion scripts for shells, made from the schemas of a program's verbs.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/stages/verb.h"

namespace apr {

/// What may follow an option, or stand at a place.
struct CompletedValue {
  enum class Kind : unsigned char { flag, anything, words, file, folder };
  Kind kind = Kind::flag;
  std::vector<std::string> words;  ///< for Kind::words
};

struct CompletedOption {
  std::vector<std::string> names;  ///< "--output", "-o"
  std::string help;
  CompletedValue value;
  bool offered = true;  ///< false: usually given by its place
};

struct CompletedVerb {
  std::string name;  ///< "convert", "canary create"; "" for the options of every verb
  std::string help;
  std::vector<CompletedOption> options;
  std::vector<CompletedValue> positions;
  bool last_repeats = false;
};

struct CompletedProgram {
  std::string name;  ///< "apr-pipeline"
  std::vector<CompletedVerb> verbs;
  CompletedVerb common;
};

/// Words to offer for a parameter that takes any text; empty: none.
using Suggestions = std::function<std::vector<std::string>(const VerbInfo&, const Param&)>;

CompletedVerb completed(const VerbInfo& verb, const Suggestions& suggestions);

/// Beginnings of verbs of several words: "plugins"; "probador", "probador playbook".
std::vector<std::string> groups_of(const CompletedProgram& program);
/// What may come next in a group, with its help; the group "" has the first words.
std::vector<std::pair<std::string, std::string>> next_words(const CompletedProgram& program,
                                                            const std::string& group);

std::string bash_completion(const std::vector<CompletedProgram>& programs);
std::string zsh_completion(const std::vector<CompletedProgram>& programs);
std::string fish_completion(const std::vector<CompletedProgram>& programs);

/// Lines of a case statement, for bash and zsh: from "verb option" and "verb place" to what may
/// stand there: "-" anything, "f" a file, "d" a folder, "w …" words. Flags have no line.
std::string value_table(const CompletedProgram& program);
/// 'it'\''s', for bash and zsh.
std::string shell_quoted(std::string_view text);
/// "apr_pipeline": a part of a function's name.
std::string identifier(std::string_view program);

}  // namespace apr

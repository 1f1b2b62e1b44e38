// Command-line words -> parameters, by the verb's schema.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "orchestrator/stages/verb.h"

namespace apr {

/// What every verb understands.
struct GlobalOptions {
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  bool help = false;
  bool version = false;
  unsigned threads = 0;
  std::vector<std::string> plugin_path;
};

/// The global options as a schema, for parsing, help and docs.
const std::vector<Param>& global_params();

struct ParsedCommand {
  GlobalOptions global;
  Values params;  ///< checked, complete
};

/// Where the verb's name begins among the words: the first that is neither a global option nor the
/// value of one. Equals words.size() when there is none.
std::size_t find_verb_word(std::span<const std::string> words);

/// Parses the words without the verb's name. Names are never guessed from prefixes. With --help the
/// parameters are left unchecked.
Result<ParsedCommand> parse_command(const VerbInfo& verb, std::span<const std::string> words);

/// How an option is written: "-o, --output FILE"; a positional one is "FILE".
std::string spelled(const Param& param);
/// The word that stands for a value in usage lines: "FILE", "N", "SIZE".
std::string value_name(const Param& param);

}  // namespace apr

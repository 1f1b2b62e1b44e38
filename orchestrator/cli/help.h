// Help pages, made from the schemas: for the terminal, as Markdown and as JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/verb.h"

namespace apr {

/// What a program can do, on one page.
struct Overview {
  struct Entry {
    std::string name;
    std::string summary;
  };
  struct Group {
    std::string title;
    std::vector<Entry> entries;
  };
  std::string program;
  std::string about;
  std::string usage;  ///< without the word "Usage"
  std::vector<Group> groups;
  std::string options_title;  ///< of the options that all verbs have
  std::vector<Example> examples;
  std::string footer;
};
std::string overview_page(const Overview& overview, std::size_t width, Style style);
/// The page of `apr` alone: all verbs in groups.
std::string overview_page(std::size_t width, Style style);

/// `apr VERB --help`.
std::string verb_page(const VerbInfo& verb, std::size_t width, Style style);
/// The same for a program whose verbs are called commands.
std::string command_page(std::string_view program, const VerbInfo& command, std::size_t width,
                         Style style);
/// `apr help exit-codes`.
std::string exit_codes_page(std::size_t width);
Json exit_codes_as_json();

/// All of it as one Markdown document: docs/cli.md.
std::string markdown_reference();
/// A verb's schema.
Json verb_as_json(std::string_view program, const VerbInfo& verb);

/// Verbs whose name begins with `word` and a space: "plugins" -> list, info, verify.
std::vector<const Verb*> verbs_of_group(const std::string& word);

}  // namespace apr

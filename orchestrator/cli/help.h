// Help pages, made from the schemas: for the terminal, as Markdown and as JSON.
#pragma once

#include <cstddef>
#include <string>

#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/verb.h"

namespace apr {

/// The page of `apr` alone: all verbs in groups.
std::string overview_page(std::size_t width, Style style);
/// `apr VERB --help`.
std::string verb_page(const VerbInfo& verb, std::size_t width, Style style);
/// All of it as one Markdown document: docs/cli.md.
std::string markdown_reference();
/// A verb's schema.
Json verb_as_json(const VerbInfo& verb);

/// Verbs whose name begins with `word` and a space: "plugins" -> list, info, verify.
std::vector<const Verb*> verbs_of_group(const std::string& word);

}  // namespace apr

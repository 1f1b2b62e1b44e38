// The commands of apr-pipeline as schemas: what they take, and their help pages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/verb.h"

namespace apr::pipeline {

const std::vector<VerbInfo>& commands();
/// nullptr if there is none of this name.
const VerbInfo* find_command(std::string_view name);
std::vector<std::string> command_names();

std::string overview_page(std::size_t width, Style style);
std::string command_page(const VerbInfo& command, std::size_t width, Style style);
/// All of them, with the examples.
Json commands_as_json();
Json command_as_json(const VerbInfo& command);

/// Texts made for `apr VERB`, saying `apr-pipeline COMMAND` instead.
std::string in_our_name(std::string text, std::string_view command);

}  // namespace apr::pipeline

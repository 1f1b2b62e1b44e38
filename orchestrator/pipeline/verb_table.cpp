// Which verbs a pipeline can use.
#include <algorithm>

#include "orchestrator/pipeline/check.h"

namespace apr::pipeline {

VerbTable all_stages() {
  VerbTable table;
  table.find = [](std::string_view name) -> Verb* {
    Stage& own = tokenizer_parity_stage();
    return name == own.info().name ? &own : find_verb(name);
  };
  for (const auto& verb : all_verbs()) {
    if (verb->is_stage()) table.stage_names.push_back(verb->info().name);
  }
  table.stage_names.push_back(tokenizer_parity_stage().info().name);
  return table;
}

std::string main_port(const Verb& verb) {
  const std::vector<Param>& params = verb.info().params;
  const auto is_output = [](const Param& param) { return param.role == ParamRole::output; };
  auto found = std::find_if(params.begin(), params.end(),
                            [&](const Param& param) { return is_output(param) && param.required; });
  if (found == params.end()) found = std::find_if(params.begin(), params.end(), is_output);
  return found == params.end() ? std::string() : found->name;
}

}  // namespace apr::pipeline

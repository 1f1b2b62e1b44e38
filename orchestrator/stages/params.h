// Parameters that many verbs have, spelled and explained alike.
#pragma once

#include <string>

#include "orchestrator/schema/schema.h"

namespace apr {

/// The model a verb works on: its first argument.
inline Param model_param(
    std::string help = "an .apr file, a .safetensors file or a checkpoint's folder") {
  Param param;
  param.name = "model";
  param.help = std::move(help);
  param.role = ParamRole::input;
  param.required = true;
  param.position = 0;
  return param;
}

inline Param output_param(std::string help) {
  Param param;
  param.name = "output";
  param.help = std::move(help);
  param.role = ParamRole::output;
  param.required = true;
  param.letter = 'o';
  return param;
}

inline Param flag_param(std::string name, std::string help) {
  Param param;
  param.name = std::move(name);
  param.type = ParamType::boolean;
  param.help = std::move(help);
  param.fallback = Json(false);
  return param;
}

inline Param force_param() {
  Param param = flag_param("force", "replace the output if it exists");
  param.letter = 'f';
  param.cli_only = true;
  param.affects_result = false;
  return param;
}

inline Param text_param(std::string name, std::string value_name, std::string help) {
  Param param;
  param.name = std::move(name);
  param.value_name = std::move(value_name);
  param.help = std::move(help);
  return param;
}

}  // namespace apr

// Which files make up a source: a .safetensors file, a Hugging Face folder, or a sharded
// checkpoint.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.h"

namespace apr::safetensors_import {

struct Source {
  std::string folder;                ///< holds config.json; may be empty (the current folder)
  std::string index;                 ///< path of the shard index, or empty
  std::vector<std::string> weights;  ///< paths; for a sharded source filled in from the index
};

/// Looks at names only.
Result<Source> find_source(const std::string& path);

}  // namespace apr::safetensors_import

#include "plugins/importers/safetensors/shards.h"

#include <algorithm>

#include "core/base/cat.h"
#include "core/base/json.h"
#include "core/formats/apr/sections.h"
#include "core/formats/tensor_name.h"

namespace apr::safetensors_import {

Result<ShardIndex> ShardIndex::read(std::string_view text, const std::string& file) {
  APR_ASSIGN(const Json document, parse_json(text, file));
  const Json& map = document["weight_map"];
  if (!map.is_object() || map.size() == 0) {
    return make_error(ErrorCode::format, "has no weight_map", file);
  }
  ShardIndex index;
  index.file_ = file;
  for (const auto& [tensor, shard] : map.as_object()) {
    const auto where = cat(file, ": weight_map \"", printable_name(tensor), "\"");
    if (!shard.is_string()) return make_error(ErrorCode::format, "is not a file name", where);
    const std::string& name = shard.as_string();
    if (const auto problem = file_name_problem(name); !problem.empty()) {
      return make_error(ErrorCode::format,
                        cat("names the file '", printable_name(name), "', which ", problem), where,
                        "shards lie beside their index; this file may be hostile");
    }
    if (!name.ends_with(".safetensors")) {
      return make_error(ErrorCode::format,
                        cat("names '", printable_name(name), "', which is no .safetensors file"),
                        where);
    }
    index.rows_.push_back({tensor, name});
    index.shards_.push_back(name);
  }
  std::ranges::sort(index.rows_, {}, &Row::tensor);
  std::ranges::sort(index.shards_);
  index.shards_.erase(std::unique(index.shards_.begin(), index.shards_.end()), index.shards_.end());
  return index;
}

Status ShardIndex::check(std::string_view tensor, std::string_view shard) const {
  const auto row = std::ranges::lower_bound(rows_, tensor, {}, &Row::tensor);
  if (row == rows_.end() || row->tensor != tensor) {
    return make_error(ErrorCode::format, cat("does not list the tensor ", tensor, " of ", shard));
  }
  if (row->shard != shard) {
    return make_error(ErrorCode::format, cat("puts the tensor ", tensor, " into ", row->shard,
                                             ", but it is in ", shard));
  }
  return {};
}

Status ShardIndex::check_complete(const std::vector<std::string>& present) const {
  for (const Row& row : rows_) {
    if (std::ranges::binary_search(present, row.tensor)) continue;
    return make_error(ErrorCode::format,
                      cat("promises the tensor ", printable_name(row.tensor), " in ", row.shard,
                          ", which does not have it"),
                      file_);
  }
  return {};
}

}  // namespace apr::safetensors_import

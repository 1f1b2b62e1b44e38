// The index of a sharded checkpoint: which tensor is in which file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace apr::safetensors_import {

class ShardIndex {
 public:
  /// Reads "weight_map"; names that lead out of the folder are refused.
  static Result<ShardIndex> read(std::string_view text, const std::string& file);

  const std::vector<std::string>& shards() const { return shards_; }  ///< file names, sorted
  /// An error unless the index says that `tensor` is in `shard`.
  Status check(std::string_view tensor, std::string_view shard) const;
  std::size_t size() const { return rows_.size(); }
  /// An error that names a tensor of the index which `present` (sorted) lacks.
  Status check_complete(const std::vector<std::string>& present) const;

 private:
  struct Row {
    std::string tensor;
    std::string shard;
  };
  std::string file_;
  std::vector<Row> rows_;  ///< sorted by tensor
  std::vector<std::string> shards_;
};

}  // namespace apr::safetensors_import

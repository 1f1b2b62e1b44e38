// Texts to measure on: a file, a folder of a known dataset, or a dataset's name.
#pragma once

#include <string>
#include <vector>

#include "core/base/result.h"

namespace apr {

struct TextDataset {
  std::string path;  ///< the file that was read
  std::string name;  ///< "wikitext-2", or empty for a plain file
  std::string form;  ///< "raw", or "tokenised": words set apart, rare ones "<unk>"
  std::string text;
};

/// Names that --dataset knows.
const std::vector<std::string>& dataset_names();

/// `given`: a file, a folder that holds a split of a known dataset, or a name, which is looked for
/// in $APR_DATASETS, $XDG_CACHE_HOME/apr/datasets and ~/.cache/apr/datasets. `split`: "test",
/// "valid" or "train". Errors say where was looked and what to put there.
Result<TextDataset> open_dataset(const std::string& given, const std::string& split);

}  // namespace apr

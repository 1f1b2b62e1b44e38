// Just enough of a GGUF reader to get test vocabularies out of their files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace apr::test {

struct GgufVocabulary {
  std::map<std::string, std::string> texts;
  std::map<std::string, std::vector<std::string>> lists;
  std::map<std::string, std::vector<double>> numbers;  ///< single numbers have one element
};

GgufVocabulary read_gguf_vocabulary(const std::string& bytes);

}  // namespace apr::test

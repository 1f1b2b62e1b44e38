// A made-up byte-level BPE vocabulary of any size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace apr::bench {

struct SyntheticTokenizer {
  std::vector<std::string> tokens;  ///< by id; the last three are special
  std::vector<std::string> merges;  ///< "left right"
};

/// 256 bytes, merges of random pairs, and <|endoftext|>, <|im_start|>, <|im_end|>.
SyntheticTokenizer make_tokenizer(std::uint32_t vocab_size, std::uint64_t seed);

/// As tokenizer.json, with Qwen2's splitting pattern.
std::string tokenizer_json(const SyntheticTokenizer& tokenizer);

}  // namespace apr::bench

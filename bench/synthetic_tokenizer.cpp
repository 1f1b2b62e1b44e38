#include "bench/synthetic_tokenizer.h"

#include <unordered_set>

#include "core/base/json.h"

namespace apr::bench {
namespace {

/// The character that stands for a byte in byte-level vocabularies: printable Latin-1 as it is, the
/// other bytes from U+0100 on.
std::string byte_character(unsigned byte) {
  const auto printable = [](unsigned b) {
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
  };
  unsigned code = byte;
  if (!printable(byte)) {
    code = 0x100;
    for (unsigned b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
}

/// xorshift64*: enough for making things up.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint64_t below(std::uint64_t limit) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return (state_ * 0x2545F4914F6CDD1Du >> 11) % limit;
  }

 private:
  std::uint64_t state_;
};

}  // namespace

SyntheticTokenizer make_tokenizer(std::uint32_t vocab_size, std::uint64_t seed) {
  constexpr std::size_t kLongest = 16;
  constexpr std::uint32_t kSpecial = 3;
  SyntheticTokenizer made;
  for (unsigned byte = 0; byte < 256; ++byte) made.tokens.push_back(byte_character(byte));
  // Words are made of lower-case letters, the first with a space before it.
  std::vector<std::string> pieces;
  for (char letter = 'a'; letter <= 'z'; ++letter) pieces.emplace_back(1, letter);
  const std::string space = byte_character(' ');
  std::unordered_set<std::string> known(made.tokens.begin(), made.tokens.end());
  Random random(seed);
  while (made.tokens.size() + kSpecial < vocab_size) {
    const bool word = random.below(2) == 0;
    const std::string left = word ? space : pieces[random.below(pieces.size())];
    const std::string& right = pieces[random.below(pieces.size())];
    if (right.starts_with(space)) continue;
    std::string both = left + right;
    if (both.size() > kLongest || !known.insert(both).second) continue;
    made.merges.push_back(left + " " + right);
    made.tokens.push_back(both);
    pieces.push_back(std::move(both));
  }
  for (const char* special : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
    made.tokens.emplace_back(special);
  return made;
}

std::string tokenizer_json(const SyntheticTokenizer& tokenizer) {
  const std::size_t plain = tokenizer.tokens.size() - 3;
  JsonObject vocab;
  for (std::size_t id = 0; id < plain; ++id) {
    vocab.emplace_back(tokenizer.tokens[id], static_cast<std::int64_t>(id));
  }
  JsonArray merges;
  for (const std::string& merge : tokenizer.merges) merges.emplace_back(merge);
  JsonArray added;
  for (std::size_t id = plain; id < tokenizer.tokens.size(); ++id) {
    added.push_back(Json::object({{"id", static_cast<std::int64_t>(id)},
                                  {"content", tokenizer.tokens[id]},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", false},
                                  {"normalized", false},
                                  {"special", true}}));
  }
  const Json split = Json::object(
      {{"type", "Split"},
       {"pattern",
        Json::object({{"Regex",
                       "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
                       "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}})},
       {"behavior", "Isolated"},
       {"invert", false}});
  const Json bytes = Json::object({{"type", "ByteLevel"},
                                   {"add_prefix_space", false},
                                   {"trim_offsets", false},
                                   {"use_regex", false}});
  const Json model = Json::object({{"type", "BPE"},
                                   {"dropout", nullptr},
                                   {"unk_token", nullptr},
                                   {"continuing_subword_prefix", ""},
                                   {"end_of_word_suffix", ""},
                                   {"fuse_unk", false},
                                   {"byte_fallback", false},
                                   {"vocab", Json(std::move(vocab))},
                                   {"merges", Json(std::move(merges))}});
  return Json::object(
             {{"version", "1.0"},
              {"truncation", nullptr},
              {"padding", nullptr},
              {"added_tokens", Json(std::move(added))},
              {"normalizer", Json::object({{"type", "NFC"}})},
              {"pre_tokenizer", Json::object({{"type", "Sequence"},
                                              {"pretokenizers", Json(JsonArray{split, bytes})}})},
              {"post_processor", bytes},
              {"decoder", bytes},
              {"model", model}})
      .dump();
}

}  // namespace apr::bench

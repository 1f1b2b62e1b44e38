// Any bytes as a tokenizer: a tokenizer.json, a binary table, or a tokenizer_config.json and a
// vocab.txt with a zero byte between them. What opens reads a few texts, one of them from the file
// itself, and must come through its own table unchanged.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/text/tokenizer.h"

namespace {

using namespace apr;

std::optional<Tokenizer> open(std::string_view bytes) {
  const auto found = [](Result<Tokenizer> tokenizer) {
    return tokenizer ? std::optional(*std::move(tokenizer)) : std::nullopt;
  };
  if (bytes.starts_with("APRTOK")) {
    return found(Tokenizer::from_binary(std::as_bytes(std::span(bytes)), "fuzz"));
  }
  if (const std::size_t zero = bytes.find('\0'); zero != std::string_view::npos) {
    return found(
        Tokenizer::from_vocab_txt(bytes.substr(zero + 1), bytes.substr(0, zero), "", "", "fuzz"));
  }
  return found(Tokenizer::from_tokenizer_json(bytes, "fuzz"));
}

void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = open(bytes);
  if (!tokenizer) return 0;
  const auto table = tokenizer->to_binary();
  const auto again = Tokenizer::from_binary(table, "fuzz");
  require(again.ok());
  const std::string_view own = bytes.substr(size - (size < 200 ? size : 200));
  for (const std::string_view text :
       {own, std::string_view("Unaffable CATS' e\u0301\u732B\xFF\u00AD 12\u2003[CLS]<s>")}) {
    for (const bool parse : {false, true}) {
      const auto encoding = tokenizer->encode_pair(text, "the cat", {true, parse});
      const auto same = again->encode_pair(text, "the cat", {true, parse});
      require(encoding.ok() == same.ok());
      if (!encoding) continue;
      require(encoding->ids == same->ids && encoding->types == same->types);
      require(encoding->ids.size() == encoding->types.size());
      const auto decoded = tokenizer->decode(encoding->ids, parse);
      const auto decoded_same = again->decode(encoding->ids, parse);
      require(decoded.ok() == decoded_same.ok() && (!decoded || *decoded == *decoded_same));
    }
  }
  return 0;
}

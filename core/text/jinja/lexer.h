// Template text -> tokens, with Jinja's white-space rules as Hugging Face sets them (trim_blocks
// and lstrip_blocks on).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/text/jinja/source.h"

namespace apr::jinja {

enum class TokenKind : std::uint8_t {
  text,  ///< between the tags
  output_begin,
  output_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  number,
  symbol,
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  Offset at = 0;
  std::string text;  ///< name, symbol, decoded string, or text
  std::int64_t integer = 0;
  double number = 0;
};

Result<std::vector<Token>> tokenize(const Source& source);

}  // namespace apr::jinja

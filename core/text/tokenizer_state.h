// The inside of a Tokenizer: its table, opened, and what is derived from it.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "core/text/tokenizer.h"
#include "core/text/tokenizer_added.h"
#include "core/text/tokenizer_settings.h"
#include "core/text/tokenizer_table.h"

namespace apr {

struct Tokenizer::State {
  static Result<std::unique_ptr<State>> open(std::vector<std::byte> bytes, std::string_view file);

  std::vector<std::byte> bytes;
  TokenizerTable table;
  TokenizerSettings settings;
  AddedTokenFinder raw_tokens;          ///< looked for in the text as it is
  AddedTokenFinder normalized_tokens;   ///< looked for in the normalized text
  std::array<TokenId, 256> byte_ids{};  ///< of one byte: byte-level spelling or <0xNN>; -1: none
  std::size_t longest_piece = 0;        ///< WordPiece: bytes of the vocabulary's longest token
  std::string kind;

  Status measure_pieces(std::string_view file);
  /// Bytes of a token in the text, before what works on the whole text.
  std::string bytes_of(std::uint32_t id, bool is_first) const;
};

/// Byte-level spelling: every byte as a printable character (GPT-2's table).
void append_byte_spelling(std::string& out, std::uint8_t byte);
/// The other way; false if a character of the spelling stands for no byte.
bool append_spelled_bytes(std::string& out, std::string_view spelling);

}  // namespace apr

// Shared by the tests of text: test data, other programs as oracles.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "core/text/tokenizer.h"

namespace apr::test {

/// Contents of a file, or nothing.
std::optional<std::string> read_text(const std::string& path);
/// The same, and a plain message where the file is not there.
std::optional<std::string> read_or_skip(const std::string& path);
Json parse_or_die(const std::string& text);
std::vector<TokenId> ids_of(const Json& list);

/// Runs a shell command with `input` on its standard input; nothing if it cannot be run.
std::optional<std::string> run_oracle(const std::string& command, const std::string& input);
/// Texts as lines of hexadecimal, and back.
std::string to_hex_lines(const std::vector<std::string>& texts);
std::vector<std::string> from_hex_lines(const std::string& lines);

/// `count` characters from a pool, one element of the pool each.
std::string random_text(std::mt19937& random, const std::vector<std::string>& pool,
                        std::size_t count);
/// Pieces of many scripts, white space of all kinds, contractions, marks.
const std::vector<std::string>& mixed_pool();
/// Any valid UTF-8.
std::string random_unicode(std::mt19937& random, std::size_t count);

std::string bundled_model(const std::string& name);
std::string shared_data(const std::string& name);
Tokenizer tiny_chat_tokenizer();
/// The tokenizer of a Llama-2-like model.
std::optional<Tokenizer> stories_tokenizer();

}  // namespace apr::test

#include "core/text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "core/base/cat.h"
#include "core/text/normalizer.h"
#include "core/text/tokenizer_json.h"
#include "core/text/tokenizer_state.h"
#include "core/text/unicode.h"
#include "core/text/utf8.h"
#include "core/text/wordpiece.h"

namespace apr {

namespace {

/// Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and following, in order.
constexpr bool is_printable_byte(std::uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct ByteSpelling {
  std::array<char32_t, 256> code{};
  std::array<std::int16_t, 0x144> byte{};
  constexpr ByteSpelling() {
    for (auto& entry : byte) entry = -1;
    char32_t next = 0x100;
    for (std::uint32_t value = 0; value < 256; ++value) {
      code[value] = is_printable_byte(value) ? value : next++;
      byte[code[value]] = static_cast<std::int16_t>(value);
    }
  }
};
constexpr ByteSpelling kByteSpelling;

std::optional<std::uint8_t> hex_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  std::uint32_t value = 0;
  for (const char digit : token.substr(3, 2)) {
    const bool is_decimal = digit >= '0' && digit <= '9';
    const char lower = static_cast<char>(digit | 0x20);
    if (!is_decimal && (lower < 'a' || lower > 'f')) return std::nullopt;
    value = value * 16 + static_cast<std::uint32_t>(is_decimal ? digit - '0' : lower - 'a' + 10);
  }
  return static_cast<std::uint8_t>(value);
}

std::string describe(const TokenizerSettings& settings) {
  if (settings.word_piece) return "WordPiece";
  if (!settings.byte_level()) {
    return settings.byte_fallback ? "SentencePiece-style BPE with byte fallback"
                                  : "SentencePiece-style BPE";
  }
  std::string_view pattern = "no";
  for (const PreTokenizerStep& step : settings.pre_tokenizer) {
    const bool uses = step.kind == PreTokenizerStep::Kind::pattern ||
                      (step.kind == PreTokenizerStep::Kind::byte_level && step.cuts);
    if (uses) pattern = step.pattern.name();
  }
  return cat("byte-level BPE, ", pattern, " pattern");
}

/// Takes `content` off the start of a text at most `count` times.
void strip_start(std::string& text, std::string_view content, std::size_t count) {
  std::size_t begin = 0;
  for (; count > 0 && std::string_view(text).substr(begin).starts_with(content); --count) {
    begin += content.size();
  }
  text.erase(0, begin);
}

void strip_stop(std::string& text, std::string_view content, std::size_t count) {
  for (; count > 0 && text.ends_with(content); --count) text.resize(text.size() - content.size());
}

/// Takes away blanks that writing would not have: before punctuation and in English contractions.
void clean_up_blanks(std::string& text) {
  constexpr std::pair<std::string_view, std::string_view> kChanges[] = {
      {" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
      {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kChanges) replace_all(text, from, to);
}

}  // namespace

void append_byte_spelling(std::string& out, std::uint8_t byte) {
  append_utf8(out, kByteSpelling.code[byte]);
}

bool append_spelled_bytes(std::string& out, std::string_view spelling) {
  for (std::size_t i = 0; i < spelling.size();) {
    const Utf8Character character = utf8_at(spelling, i);
    if (character.code >= kByteSpelling.byte.size() || kByteSpelling.byte[character.code] < 0) {
      return false;
    }
    out.push_back(static_cast<char>(kByteSpelling.byte[character.code]));
    i += character.size;
  }
  return true;
}

// ---- State
// ------------------------------------------------------------------------------------------

Result<std::unique_ptr<Tokenizer::State>> Tokenizer::State::open(std::vector<std::byte> bytes,
                                                                 std::string_view file) {
  auto state = std::make_unique<State>();
  state->bytes = std::move(bytes);
  APR_ASSIGN(state->table, TokenizerTable::open(state->bytes, file));
  const TokenizerTable& table = state->table;
  APR_ASSIGN(state->settings, read_settings(table.settings(), table.tokens(), file));
  if (state->settings.decoder.empty()) {
    return make_error(ErrorCode::format, "the tokenizer table has no decoder", std::string(file));
  }
  for (std::uint32_t id = 0; id < table.tokens(); ++id) {
    const std::uint8_t flags = table.flags(id);
    if ((flags & token_flag::kAdded) == 0) continue;
    AddedToken token{std::string(table.token(id)), static_cast<TokenId>(id), flags};
    if (token.text.size() > kMaxAddedTokenBytes) {
      return make_error(ErrorCode::format, cat("added token ", id, " is too long"),
                        std::string(file));
    }
    if ((flags & token_flag::kNormalized) != 0) {
      APR_ASSIGN(token.text, normalize_text(state->settings.normalizer, token.text, nullptr));
      state->normalized_tokens.add(std::move(token));
    } else {
      state->raw_tokens.add(std::move(token));
    }
  }
  state->raw_tokens.finish();
  state->normalized_tokens.finish();
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::string spelling;
    if (state->settings.byte_level()) {
      append_byte_spelling(spelling, static_cast<std::uint8_t>(byte));
    } else {
      constexpr std::string_view kDigits = "0123456789ABCDEF";
      spelling = cat("<0x", kDigits[byte >> 4], kDigits[byte & 15], ">");
    }
    const auto id = table.find(spelling);
    const bool is_model = id && (table.flags(*id) & token_flag::kModel) != 0;
    state->byte_ids[byte] = is_model ? static_cast<TokenId>(*id) : -1;
  }
  if (state->settings.word_piece) APR_TRY(state->measure_pieces(file));
  state->kind = describe(state->settings);
  return state;
}

Status Tokenizer::State::measure_pieces(std::string_view file) {
  std::size_t total = 0;
  for (std::uint32_t id = 0; id < table.tokens(); ++id) {
    if ((table.flags(id) & token_flag::kModel) == 0) continue;
    const std::size_t size = table.token(id).size();
    total += size;
    longest_piece = std::max(longest_piece, size);
  }
  if (total > kMaxPieceText) {
    return make_error(
        ErrorCode::unsupported,
        cat("the WordPiece vocabulary has more than ", kMaxPieceText >> 20, " MiB of text"),
        std::string(file));
  }
  return {};
}

std::string Tokenizer::State::bytes_of(std::uint32_t id, bool is_first) const {
  std::string text(table.token(id));
  const bool is_added = (table.flags(id) & token_flag::kAdded) != 0;
  for (const DecoderStep& step : settings.decoder) {
    // Added tokens are their own text, but stand between blanks where words do.
    if (is_added && step.kind != DecoderStep::Kind::word_piece) continue;
    switch (step.kind) {
      case DecoderStep::Kind::byte_level: {
        std::string bytes_spelled;
        if (append_spelled_bytes(bytes_spelled, text)) text = std::move(bytes_spelled);
        break;
      }
      case DecoderStep::Kind::replace:
        replace_all(text, step.pattern, step.content);
        break;
      case DecoderStep::Kind::byte_fallback:
        // No other step sees a byte that is not a character.
        if (const auto byte = hex_byte(text)) return std::string(1, static_cast<char>(*byte));
        break;
      case DecoderStep::Kind::metaspace:
        replace_all(text, step.pattern, is_first && step.drop_first ? "" : step.content);
        break;
      case DecoderStep::Kind::strip:
        strip_start(text, step.content, step.start);
        strip_stop(text, step.content, step.stop);
        break;
      case DecoderStep::Kind::word_piece:
        if (!is_first) {
          if (text.starts_with(step.pattern)) {
            text.erase(0, step.pattern.size());
          } else {
            text.insert(0, 1, ' ');
          }
        }
        if (step.cleanup) {
          clean_up_blanks(text);
          replace_all(text, " do not", " don't");
        }
        break;
      case DecoderStep::Kind::fuse:
        return text;
    }
  }
  return text;
}

// ---- Tokenizer
// --------------------------------------------------------------------------------------

Tokenizer::Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

namespace {

Result<Json> read_beside(std::string_view text, std::string_view file, std::string_view name) {
  if (text.empty()) return Json();
  return parse_json(text, beside(file, name));
}

Result<Json> read_config(std::string_view text, std::string_view file) {
  return read_beside(text, file, "tokenizer_config.json");
}

Result<std::vector<std::byte>> table_of(const Json& json, const Json& config,
                                        std::string_view file) {
  APR_ASSIGN(const TokenizerParts parts, read_tokenizer_json(json, config, file));
  return TokenizerTable::build(parts, file);
}

/// A field of the tokenizer.json that was made of several files, told as the file it came from.
Error in_its_file(Error error, std::string_view file) {
  constexpr std::string_view kMerges = "model.merges: ";
  if (error.message.starts_with(kMerges)) {
    error.message.erase(0, kMerges.size());
    error.context = beside(file, "merges.txt");
  } else if (error.message.starts_with("added_tokens")) {
    error.context = beside(file, "tokenizer_config.json or added_tokens.json");
  }
  return error;
}

}  // namespace

Result<Tokenizer> Tokenizer::from_tokenizer_json(std::string_view json, std::string_view file,
                                                 std::string_view tokenizer_config_json) {
  APR_ASSIGN(const Json parsed, parse_json(json, file));
  APR_ASSIGN(const Json config, read_config(tokenizer_config_json, file));
  APR_ASSIGN(std::vector<std::byte> table, table_of(parsed, config, file));
  Tokenizer tokenizer;
  APR_ASSIGN(tokenizer.state_, State::open(std::move(table), file));
  return tokenizer;
}

Result<Tokenizer> Tokenizer::from_vocab_merges(std::string_view vocab_json,
                                               std::string_view merges_txt,
                                               std::string_view added_tokens_json,
                                               std::string_view tokenizer_config_json,
                                               std::string_view pattern, std::string_view file) {
  APR_ASSIGN(Json vocab, parse_json(vocab_json, file));
  APR_ASSIGN(const Json config, read_config(tokenizer_config_json, file));
  APR_ASSIGN(const Json added, read_beside(added_tokens_json, file, "added_tokens.json"));
  APR_ASSIGN(const Json json,
             tokenizer_json_from_vocab(std::move(vocab), merges_txt, added, config, pattern, file));
  auto table = table_of(json, config, file);
  if (!table) return in_its_file(std::move(table).error(), file);
  Tokenizer tokenizer;
  APR_ASSIGN(tokenizer.state_, State::open(*std::move(table), file));
  return tokenizer;
}

Result<Tokenizer> Tokenizer::from_vocab_txt(std::string_view vocab_txt,
                                            std::string_view tokenizer_config_json,
                                            std::string_view special_tokens_map_json,
                                            std::string_view added_tokens_json,
                                            std::string_view file) {
  VocabTxtFiles files{vocab_txt, {}, {}, {}, file};
  APR_ASSIGN(files.config, read_config(tokenizer_config_json, file));
  APR_ASSIGN(files.special_tokens_map,
             read_beside(special_tokens_map_json, file, "special_tokens_map.json"));
  APR_ASSIGN(files.added_tokens, read_beside(added_tokens_json, file, "added_tokens.json"));
  APR_ASSIGN(const TokenizerParts parts, read_vocab_txt(files));
  APR_ASSIGN(std::vector<std::byte> table, TokenizerTable::build(parts, file));
  Tokenizer tokenizer;
  APR_ASSIGN(tokenizer.state_, State::open(std::move(table), file));
  return tokenizer;
}

Result<Tokenizer> Tokenizer::from_binary(std::span<const std::byte> table, std::string_view file) {
  Tokenizer tokenizer;
  APR_ASSIGN(tokenizer.state_,
             State::open(std::vector<std::byte>(table.begin(), table.end()), file));
  return tokenizer;
}

std::vector<std::byte> Tokenizer::to_binary() const {
  return state_->bytes;
}

Result<std::string> Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string text;
  bool is_first = true;
  for (const TokenId id : ids) {
    const auto index = static_cast<std::uint32_t>(id);
    if (index >= vocab_size() || (state_->table.flags(index) & token_flag::kPresent) == 0) {
      return make_error(ErrorCode::inference, cat("token id ", id, " is not in the vocabulary of ",
                                                  vocab_size(), " ids"));
    }
    if (skip_special && is_special(id)) continue;
    text += state_->bytes_of(index, is_first);
    is_first = false;
  }
  bool is_fused = false;
  for (const DecoderStep& step : state_->settings.decoder) {
    is_fused = is_fused || step.kind == DecoderStep::Kind::fuse;
    if (!is_fused) continue;
    if (step.kind == DecoderStep::Kind::strip) {
      strip_start(text, step.content, step.start);
      strip_stop(text, step.content, step.stop);
    } else if (step.kind == DecoderStep::Kind::replace) {
      replace_all(text, step.pattern, step.content);
    }
  }
  if (state_->settings.clean_up) clean_up_blanks(text);
  return text;
}

std::string Tokenizer::piece(TokenId id, bool skip_special) const {
  const auto index = static_cast<std::uint32_t>(id);
  if (index >= vocab_size() || (skip_special && is_special(id))) return {};
  return state_->bytes_of(index, false);
}

std::uint32_t Tokenizer::vocab_size() const {
  return state_->table.tokens();
}

std::optional<TokenId> Tokenizer::id_of(std::string_view token) const {
  const auto id = state_->table.find(token);
  return id ? std::optional(static_cast<TokenId>(*id)) : std::nullopt;
}

std::string_view Tokenizer::token(TokenId id) const {
  const auto index = static_cast<std::uint32_t>(id);
  return index < vocab_size() ? state_->table.token(index) : std::string_view();
}

bool Tokenizer::is_special(TokenId id) const {
  const auto index = static_cast<std::uint32_t>(id);
  return index < vocab_size() && (state_->table.flags(index) & token_flag::kSpecial) != 0;
}

std::optional<TokenId> Tokenizer::bos() const {
  return state_->settings.bos;
}
std::optional<TokenId> Tokenizer::eos() const {
  return state_->settings.eos;
}
std::optional<TokenId> Tokenizer::pad() const {
  return state_->settings.pad;
}
std::optional<TokenId> Tokenizer::cls() const {
  return state_->settings.cls;
}
std::optional<TokenId> Tokenizer::sep() const {
  return state_->settings.sep;
}
std::optional<TokenId> Tokenizer::mask() const {
  return state_->settings.mask;
}
std::optional<TokenId> Tokenizer::unk() const {
  return state_->settings.unknown;
}
bool Tokenizer::is_word_piece() const {
  return state_->settings.word_piece;
}
std::string_view Tokenizer::kind() const {
  return state_->kind;
}

// ---- Utf8Joiner
// -------------------------------------------------------------------------------------

std::string Utf8Joiner::push(std::string_view bytes) {
  pending_ += bytes;
  const std::size_t whole = pending_.size() - incomplete_utf8_suffix(pending_);
  std::string out = pending_.substr(0, whole);
  pending_.erase(0, whole);
  return out;
}

std::string Utf8Joiner::finish() {
  return std::exchange(pending_, {});
}

}  // namespace apr

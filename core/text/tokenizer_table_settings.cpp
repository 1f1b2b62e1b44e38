// The settings section of a tokenizer table.
#include <cstdint>
#include <utility>

#include "core/base/cat.h"
#include "core/text/tokenizer_settings.h"

namespace apr {

namespace {

Error unsupported(std::string_view field, std::string message, std::string_view file) {
  return make_error(ErrorCode::unsupported, cat(field, ": ", message), std::string(file));
}

Error malformed(std::string_view field, std::string message, std::string_view file) {
  return make_error(ErrorCode::format, cat(field, ": ", message), std::string(file));
}

Result<std::optional<TokenId>> read_id(const Json& json, std::string_view name,
                                       std::uint32_t tokens, std::string_view file) {
  const Json& id = json[name];
  if (id.is_null()) return std::optional<TokenId>();
  if (!id.is_integer() || id.as_integer() < 0 || id.as_integer() >= std::int64_t{tokens}) {
    return malformed(name, "it is not an id of the vocabulary", file);
  }
  return std::optional<TokenId>(static_cast<TokenId>(id.as_integer()));
}

/// A template of a table: [id, type] for a token, ["A", type] and ["B", type] for the texts.
Result<Template> read_table_template(const Json& json, std::string_view name, bool is_pair,
                                     std::uint32_t tokens, std::string_view file) {
  Template pieces;
  const auto wrong = [&](std::string message) { return malformed(name, std::move(message), file); };
  if (json[name].size() > kMaxTemplatePieces) return wrong("it has too many pieces");
  bool seen[2] = {};
  for (const Json& entry : json[name].as_array()) {
    if (!entry.is_array() || entry.size() != 2) return wrong("a piece is not a pair");
    const Json& what = entry.as_array()[0];
    const Json& type = entry.as_array()[1];
    TemplatePiece piece;
    if (!type.is_integer() || type.as_integer() < 0 || type.as_integer() > INT32_MAX) {
      return wrong("a token type is not a number from 0 to 2147483647");
    }
    piece.type = static_cast<std::int32_t>(type.as_integer());
    if (what.is_string()) {
      const bool is_second = what.as_string() == "B";
      if ((what.as_string() != "A" && !is_second) || seen[is_second]) {
        return wrong("it does not take each text once");
      }
      seen[is_second] = true;
      piece.kind = is_second ? TemplatePiece::Kind::second : TemplatePiece::Kind::first;
    } else if (what.is_integer() && what.as_integer() >= 0 &&
               what.as_integer() < std::int64_t{tokens}) {
      piece.id = static_cast<TokenId>(what.as_integer());
    } else {
      return wrong("it names an id that is not in the vocabulary");
    }
    pieces.push_back(piece);
  }
  if (!seen[0] || seen[1] != is_pair) return wrong("it does not take each text once");
  return pieces;
}

Json table_template(const Template& pieces) {
  Json list = Json::array();
  for (const TemplatePiece& piece : pieces) {
    Json entry = Json::array();
    switch (piece.kind) {
      case TemplatePiece::Kind::token:
        entry.push_back(std::int64_t{piece.id});
        break;
      case TemplatePiece::Kind::first:
        entry.push_back("A");
        break;
      case TemplatePiece::Kind::second:
        entry.push_back("B");
        break;
    }
    entry.push_back(std::int64_t{piece.type});
    list.push_back(std::move(entry));
  }
  return list;
}

Result<std::vector<TokenId>> read_ids(const Json& json, std::string_view name, std::uint32_t tokens,
                                      std::string_view file) {
  std::vector<TokenId> ids;
  if (json[name].size() > kMaxTemplatePieces) return malformed(name, "it has too many ids", file);
  for (const Json& id : json[name].as_array()) {
    if (!id.is_integer() || id.as_integer() < 0 || id.as_integer() >= std::int64_t{tokens}) {
      return malformed(name, "it names an id that is not in the vocabulary", file);
    }
    ids.push_back(static_cast<TokenId>(id.as_integer()));
  }
  return ids;
}

/// WordPiece's own settings, where a table has them.
Status read_word_piece(const Json& json, TokenizerSettings& settings, std::string_view file) {
  const Json& model = json["model"];
  if (model.is_null()) return {};
  if (model.as_string() != "WordPiece") {
    return unsupported("model", cat(model.dump(), " is not known"), file);
  }
  settings.word_piece = true;
  const Json& prefix = json["continuing_subword_prefix"];
  if (!prefix.is_string() || prefix.as_string().size() > kMaxSubwordPrefix) {
    return malformed("continuing_subword_prefix", "expected a short text", file);
  }
  settings.subword_prefix = prefix.as_string();
  const Json& most = json["max_input_chars_per_word"];
  if (!most.is_integer() || most.as_integer() < 0) {
    return malformed("max_input_chars_per_word", "expected a number", file);
  }
  settings.max_word_characters = static_cast<std::uint64_t>(most.as_integer());
  APR_ASSIGN(settings.clean_up, read_switch_or(json, {}, "clean_up", false, file));
  if (!settings.unknown) return malformed("unk", "there is none", file);
  if (settings.byte_level()) {
    return unsupported("pre_tokenizer", "ByteLevel does not go with WordPiece", file);
  }
  return {};
}

}  // namespace

Template default_single() {
  return {{TemplatePiece::Kind::first, 0, 0}};
}
Template default_pair() {
  return {{TemplatePiece::Kind::first, 0, 0}, {TemplatePiece::Kind::second, 0, 1}};
}

Result<TokenizerSettings> read_settings(std::string_view text, std::uint32_t tokens,
                                        std::string_view file) {
  JsonLimits limits;
  limits.max_bytes = std::size_t{1} << 20;
  limits.max_values = 100'000;
  APR_ASSIGN(const Json json, parse_json(text, file, limits));
  TokenizerSettings settings;
  APR_ASSIGN(settings.normalizer, read_normalizer(json["normalizer"], file));
  APR_ASSIGN(settings.pre_tokenizer, read_pre_tokenizer(json["pre_tokenizer"], file));
  APR_ASSIGN(settings.decoder, read_decoder(json["decoder"], file));
  APR_ASSIGN(const std::vector<TokenId> prefix, read_ids(json, "prefix", tokens, file));
  APR_ASSIGN(const std::vector<TokenId> suffix, read_ids(json, "suffix", tokens, file));
  for (std::size_t i = 0; i < prefix.size() + suffix.size(); ++i) {
    const bool before = i < prefix.size();
    const TemplatePiece piece{TemplatePiece::Kind::token,
                              before ? prefix[i] : suffix[i - prefix.size()], 0};
    settings.single.insert(before ? settings.single.end() - 1 : settings.single.end(), piece);
  }
  if (json.contains("single")) {
    APR_ASSIGN(settings.single, read_table_template(json, "single", false, tokens, file));
  }
  if (json.contains("pair")) {
    APR_ASSIGN(settings.pair, read_table_template(json, "pair", true, tokens, file));
  }
  APR_ASSIGN(settings.unknown, read_id(json, "unk", tokens, file));
  APR_ASSIGN(settings.bos, read_id(json, "bos", tokens, file));
  APR_ASSIGN(settings.eos, read_id(json, "eos", tokens, file));
  APR_ASSIGN(settings.pad, read_id(json, "pad", tokens, file));
  APR_ASSIGN(settings.cls, read_id(json, "cls", tokens, file));
  APR_ASSIGN(settings.sep, read_id(json, "sep", tokens, file));
  APR_ASSIGN(settings.mask, read_id(json, "mask", tokens, file));
  APR_ASSIGN(settings.fuse_unknown, read_switch_or(json, {}, "fuse_unk", false, file));
  APR_ASSIGN(settings.byte_fallback, read_switch_or(json, {}, "byte_fallback", false, file));
  APR_ASSIGN(settings.ignore_merges, read_switch_or(json, {}, "ignore_merges", false, file));
  APR_TRY(read_word_piece(json, settings, file));
  return settings;
}

std::string write_settings(const TokenizerSettings& settings, const Json& normalizer,
                           const Json& pre_tokenizer, const Json& decoder) {
  const auto id = [](const std::optional<TokenId>& value) {
    return value ? Json(std::int64_t{*value}) : Json();
  };
  Json prefix = Json::array();
  Json suffix = Json::array();
  bool seen_text = false;
  bool is_plain = true;  // no types: prefix and suffix say it all
  for (const TemplatePiece& piece : settings.single) {
    is_plain = is_plain && piece.type == 0;
    if (piece.kind == TemplatePiece::Kind::token) {
      (seen_text ? suffix : prefix).push_back(std::int64_t{piece.id});
    } else {
      seen_text = true;
    }
  }
  Json json = Json::object();
  json.set("normalizer", normalizer);
  json.set("pre_tokenizer", pre_tokenizer);
  json.set("decoder", decoder);
  json.set("prefix", std::move(prefix));
  json.set("suffix", std::move(suffix));
  if (!is_plain) json.set("single", table_template(settings.single));
  if (settings.pair != default_pair()) json.set("pair", table_template(settings.pair));
  json.set("unk", id(settings.unknown));
  json.set("bos", id(settings.bos));
  json.set("eos", id(settings.eos));
  json.set("fuse_unk", settings.fuse_unknown);
  json.set("byte_fallback", settings.byte_fallback);
  json.set("ignore_merges", settings.ignore_merges);
  const std::pair<std::string_view, const std::optional<TokenId>&> roles[] = {
      {"pad", settings.pad}, {"cls", settings.cls}, {"sep", settings.sep}, {"mask", settings.mask}};
  for (const auto& [name, value] : roles) {
    if (value) json.set(name, id(value));
  }
  if (settings.word_piece) {
    json.set("model", "WordPiece");
    json.set("continuing_subword_prefix", settings.subword_prefix);
    json.set("max_input_chars_per_word", settings.max_word_characters);
    json.set("clean_up", settings.clean_up);
  }
  return json.dump();
}

}  // namespace apr

#include "core/text/tokenizer_json.h"

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/base/cat.h"
#include "core/text/tokenizer_settings.h"
#include "core/text/tokenizer_template.h"

namespace apr {

namespace {

Error malformed(std::string_view field, std::string message, std::string_view file) {
  return make_error(ErrorCode::format, cat(field, ": ", message), std::string(file));
}

Error unsupported(std::string_view field, std::string message, std::string_view file) {
  return make_error(ErrorCode::unsupported, cat(field, ": ", message), std::string(file));
}

/// A spelling in an error message: cut to a readable length.
std::string quoted(std::string_view text) {
  constexpr std::size_t kShown = 60;
  return text.size() <= kShown ? cat("\"", text, "\"") : cat("\"", text.substr(0, kShown), "…\"");
}

class PartsReader {
 public:
  PartsReader(const Json& json, const Json& config, std::string_view file)
      : json_(json), model_(json["model"]), config_(config), file_(file) {}

  Result<TokenizerParts> read() {
    APR_TRY(check_model());
    APR_TRY(read_vocabulary());
    APR_TRY(read_added_tokens());
    // A first table without merges is the index in which everything else is looked up.
    APR_ASSIGN(const std::vector<std::byte> bytes, TokenizerTable::build(parts_, file_));
    APR_ASSIGN(const TokenizerTable index, TokenizerTable::open(bytes, file_));
    index_ = &index;
    if (!model_is_word_piece()) APR_TRY(read_merges());
    APR_TRY(read_settings());
    index_ = nullptr;
    return std::move(parts_);
  }

 private:
  Status check_model() const;
  Status read_vocabulary();
  Status read_added_tokens();
  Status read_merges();
  Status add_merge(std::string_view left, std::string_view right, std::size_t rank);
  Status read_settings();
  void apply_config(TokenizerSettings& settings) const;
  Result<Json> normalizer() const;
  Status read_word_piece(TokenizerSettings& settings) const;
  /// A file without a type is told by the one field that only WordPiece has.
  bool model_is_word_piece() const {
    const Json& type = model_["type"];
    return type.is_null() ? model_.contains("max_input_chars_per_word")
                          : type.as_string() == "WordPiece";
  }

  Status put_token(std::string_view spelling, const Json& id, std::uint8_t flags,
                   const std::string& field);
  std::optional<std::uint32_t> find_model(std::string_view spelling) const {
    const auto id = index_->find(spelling);
    if (!id || (index_->flags(*id) & token_flag::kModel) == 0) return std::nullopt;
    return id;
  }
  std::optional<TokenId> config_token(std::string_view name) const {
    const Json& token = config_[name];
    const std::string& spelling =
        token.is_object() ? token["content"].as_string() : token.as_string();
    if (spelling.empty()) return std::nullopt;
    const auto id = index_->find(spelling);
    return id ? std::optional(static_cast<TokenId>(*id)) : std::nullopt;
  }

  const Json& json_;
  const Json& model_;
  const Json& config_;
  std::string_view file_;
  TokenizerParts parts_;
  const TokenizerTable* index_ = nullptr;
};

Status PartsReader::check_model() const {
  if (!model_.is_object()) return malformed("model", "there is none", file_);
  if (!model_["vocab"].is_object()) return malformed("model.vocab", "expected an object", file_);
  if (model_is_word_piece()) return {};
  const Json& type = model_["type"];
  if (!type.is_null() && type.as_string() != "BPE") {
    return unsupported(
        "model.type",
        cat("\"", type.as_string(), "\" is not supported, only \"BPE\" and \"WordPiece\""), file_);
  }
  if (model_["dropout"].as_number() != 0) {
    return unsupported("model.dropout", "encoding must not be random", file_);
  }
  for (const std::string_view name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model_[name].as_string().empty()) {
      return unsupported(
          cat("model.", name),
          cat(quoted(model_[name].as_string()), " is not supported, only an empty one"), file_);
    }
  }
  if (!model_["merges"].is_array()) return malformed("model.merges", "expected a list", file_);
  return {};
}

Status PartsReader::put_token(std::string_view spelling, const Json& id, std::uint8_t flags,
                              const std::string& field) {
  if (!id.is_integer() || id.as_integer() < 0 || id.as_integer() >= std::int64_t{kMaxVocabulary}) {
    return malformed(
        field,
        cat("the id of ", quoted(spelling), " is not an integer from 0 to ", kMaxVocabulary - 1),
        file_);
  }
  if (spelling.size() > kMaxTokenBytes) {
    return malformed(field, cat(quoted(spelling), " has more than ", kMaxTokenBytes, " bytes"),
                     file_);
  }
  const auto index = static_cast<std::size_t>(id.as_integer());
  if (index >= parts_.tokens.size()) {
    parts_.tokens.resize(index + 1);
    parts_.flags.resize(index + 1);
  }
  if (parts_.flags[index] != 0 && parts_.tokens[index] != spelling) {
    return malformed(field,
                     cat("id ", index, " is given to ", quoted(parts_.tokens[index]), " and to ",
                         quoted(spelling)),
                     file_);
  }
  parts_.tokens[index] = spelling;
  parts_.flags[index] |= static_cast<std::uint8_t>(flags | token_flag::kPresent);
  return {};
}

Status PartsReader::read_vocabulary() {
  const JsonObject& vocabulary = model_["vocab"].as_object();
  if (vocabulary.size() > kMaxVocabulary) {
    return unsupported("model.vocab", cat(vocabulary.size(), " tokens are too many"), file_);
  }
  for (const auto& [spelling, id] : vocabulary) {
    APR_TRY(put_token(spelling, id, token_flag::kModel, "model.vocab"));
  }
  return {};
}

Status PartsReader::read_added_tokens() {
  // The same spelling under two ids would make the text ambiguous.
  APR_ASSIGN(const std::vector<std::byte> bytes, TokenizerTable::build(parts_, file_));
  APR_ASSIGN(const TokenizerTable vocabulary, TokenizerTable::open(bytes, file_));
  const JsonArray& list = json_["added_tokens"].as_array();
  if (list.size() > kMaxVocabulary) {
    return unsupported("added_tokens", cat(list.size(), " tokens are too many"), file_);
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Json& token = list[i];
    const std::string field = cat("added_tokens[", i, "]");
    if (!token["content"].is_string()) return malformed(field, "there is no \"content\"", file_);
    const std::string& content = token["content"].as_string();
    if (content.empty()) continue;
    if (content.size() > kMaxAddedTokenBytes) {
      return unsupported(
          field, cat(quoted(content), " has more than ", kMaxAddedTokenBytes, " bytes"), file_);
    }
    const auto known = vocabulary.find(content);
    if (known && Json(std::int64_t{*known}) != token["id"]) {
      return malformed(field,
                       cat(quoted(content), " has id ", token["id"].dump(),
                           " here, but the vocabulary gives it ", *known),
                       file_);
    }
    APR_ASSIGN(const bool special, read_switch_or(token, field, "special", false, file_));
    std::uint8_t flags = token_flag::kAdded;
    if (special) flags |= token_flag::kSpecial;
    const std::tuple<std::string_view, std::uint8_t, bool> switches[] = {
        {"single_word", token_flag::kSingleWord, false},
        {"lstrip", token_flag::kLeftStrip, false},
        {"rstrip", token_flag::kRightStrip, false},
        {"normalized", token_flag::kNormalized, !special},
    };
    for (const auto& [name, flag, fallback] : switches) {
      APR_ASSIGN(const bool is_set, read_switch_or(token, field, name, fallback, file_));
      if (is_set) flags |= flag;
    }
    APR_TRY(put_token(content, token["id"], flags, field));
  }
  return {};
}

Status PartsReader::add_merge(std::string_view left, std::string_view right, std::size_t rank) {
  const auto left_id = find_model(left);
  const auto right_id = find_model(right);
  std::string joined(left);
  joined += right;
  const auto result = find_model(joined);
  if (!left_id || !right_id || !result) {
    const std::string_view missing = !left_id ? left : !right_id ? right : std::string_view(joined);
    return malformed(
        "model.merges",
        cat("merge ", rank, " needs ", quoted(missing), ", which is not in the vocabulary"), file_);
  }
  parts_.merges.push_back({*left_id, *right_id, static_cast<std::uint32_t>(rank), *result});
  return {};
}

Status PartsReader::read_merges() {
  const JsonArray& merges = model_["merges"].as_array();
  if (merges.size() > kMaxMerges) {
    return unsupported("model.merges", cat(merges.size(), " merges are too many"), file_);
  }
  parts_.merges.reserve(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const Json& merge = merges[rank];
    if (merge.is_string()) {
      const std::string_view text = merge.as_string();
      const std::size_t blank = text.find(' ');
      if (blank == std::string_view::npos || text.find(' ', blank + 1) != std::string_view::npos) {
        return malformed("model.merges",
                         cat("merge ", rank, " is not two tokens and a blank: ", quoted(text)),
                         file_);
      }
      APR_TRY(add_merge(text.substr(0, blank), text.substr(blank + 1), rank));
    } else if (merge.size() == 2 && merge.as_array()[0].is_string() &&
               merge.as_array()[1].is_string()) {
      APR_TRY(add_merge(merge.as_array()[0].as_string(), merge.as_array()[1].as_string(), rank));
    } else {
      return malformed("model.merges",
                       cat("merge ", rank, " is neither \"a b\" nor [\"a\", \"b\"]"), file_);
    }
  }
  return {};
}

/// What Hugging Face's classes for Llama and Gemma put around texts, by these two switches of
/// theirs.
Templates bos_eos_templates(std::optional<TokenId> bos, std::optional<TokenId> eos) {
  using Kind = TemplatePiece::Kind;
  Templates made{{}, {}};
  const auto add = [&](Template& pieces, Kind kind, std::int32_t type) {
    if (bos) pieces.push_back({Kind::token, *bos, type});
    pieces.push_back({kind, 0, type});
    if (eos) pieces.push_back({Kind::token, *eos, type});
  };
  add(made.single, Kind::first, 0);
  add(made.pair, Kind::first, 0);
  add(made.pair, Kind::second, 1);
  return made;
}

void PartsReader::apply_config(TokenizerSettings& settings) const {
  settings.bos = config_token("bos_token");
  settings.eos = config_token("eos_token");
  settings.pad = config_token("pad_token");
  settings.cls = config_token("cls_token");
  settings.sep = config_token("sep_token");
  settings.mask = config_token("mask_token");
  using Kind = TemplatePiece::Kind;
  const auto single_begins = [&]() -> std::optional<TokenId> {
    if (settings.single.size() < 2 || settings.single[0].kind != Kind::token) return std::nullopt;
    return settings.single[0].id;
  };
  const std::string_view name = config_["tokenizer_class"].as_string();
  if (name.starts_with("LlamaTokenizer") || name.starts_with("CodeLlamaTokenizer") ||
      name.starts_with("GemmaTokenizer")) {
    const Json& add_bos = config_["add_bos_token"];
    const Json& add_eos = config_["add_eos_token"];
    const bool has_bos = add_bos.is_boolean() && settings.bos;
    const bool has_eos = add_eos.is_boolean() && settings.eos;
    if (has_bos || has_eos) {
      const auto before = single_begins();
      const TemplatePiece& last = settings.single.back();
      const auto after = last.kind == Kind::token ? std::optional(last.id) : std::nullopt;
      const auto chosen = [](const Json& wanted, std::optional<TokenId> token) {
        return wanted.as_boolean() ? token : std::nullopt;
      };
      auto made = bos_eos_templates(has_bos ? chosen(add_bos, settings.bos) : before,
                                    has_eos ? chosen(add_eos, settings.eos) : after);
      settings.single = std::move(made.single);
      settings.pair = std::move(made.pair);
    }
  }
  if (!config_.contains("bos_token") && !model_is_word_piece() && settings.single.size() > 1 &&
      settings.single[1].kind == Kind::first) {
    settings.bos = single_begins();
  }
}

/// BERT's classes take these from their configuration, whatever the tokenizer.json says.
Result<Json> PartsReader::normalizer() const {
  Json normalizer = json_["normalizer"];
  if (normalizer["type"].as_string() != "BertNormalizer" ||
      !is_bert_tokenizer_class(config_["tokenizer_class"].as_string())) {
    return normalizer;
  }
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"do_lower_case", "lowercase"},
      {"tokenize_chinese_chars", "handle_chinese_chars"},
      {"strip_accents", "strip_accents"}};
  for (const auto& [ours, theirs] : kNames) {
    const Json* value = config_.find(ours);
    if (value == nullptr) continue;
    if (!value->is_boolean() && !(value->is_null() && ours == "strip_accents")) {
      return malformed(ours, "expected true or false", beside(file_, "tokenizer_config.json"));
    }
    normalizer.set(theirs, *value);
  }
  return normalizer;
}

Status PartsReader::read_word_piece(TokenizerSettings& settings) const {
  settings.word_piece = true;
  const Json& prefix = model_["continuing_subword_prefix"];
  if (!prefix.is_null() && !prefix.is_string()) {
    return malformed("model.continuing_subword_prefix", "expected a string", file_);
  }
  settings.subword_prefix = prefix.is_null() ? "##" : prefix.as_string();
  if (settings.subword_prefix.size() > kMaxSubwordPrefix) {
    return unsupported("model.continuing_subword_prefix",
                       cat("it has more than ", kMaxSubwordPrefix, " bytes"), file_);
  }
  const Json& most = model_["max_input_chars_per_word"];
  if (!most.is_null() && (!most.is_integer() || most.as_integer() < 0)) {
    return malformed("model.max_input_chars_per_word", "expected a number of characters", file_);
  }
  settings.max_word_characters = static_cast<std::uint64_t>(most.as_integer(100));
  if (settings.byte_level()) {
    return unsupported("pre_tokenizer", "ByteLevel does not go with a WordPiece model", file_);
  }
  settings.clean_up = config_["clean_up_tokenization_spaces"].as_boolean();
  const auto by_name = [&](std::optional<TokenId>& role, std::string_view spelling) {
    const auto id = index_->find(spelling);
    if (!role && id) role = static_cast<TokenId>(*id);
  };
  by_name(settings.pad, "[PAD]");
  by_name(settings.cls, "[CLS]");
  by_name(settings.sep, "[SEP]");
  by_name(settings.mask, "[MASK]");
  return {};
}

Status PartsReader::read_settings() {
  TokenizerSettings settings;
  APR_ASSIGN(const Json normalizer_json, normalizer());
  APR_ASSIGN(settings.normalizer, read_normalizer(normalizer_json, file_));
  APR_ASSIGN(settings.pre_tokenizer, read_pre_tokenizer(json_["pre_tokenizer"], file_));
  APR_ASSIGN(settings.decoder, read_decoder(json_["decoder"], file_));
  if (settings.decoder.empty()) {
    return unsupported("decoder", "there is none, so ids could not be turned back into text",
                       file_);
  }
  APR_ASSIGN(auto templates, read_post_processor(json_["post_processor"], index_->tokens(), file_));
  if (templates) {
    settings.single = std::move(templates->single);
    settings.pair = std::move(templates->pair);
  }
  apply_config(settings);
  const Json& unknown = model_["unk_token"];
  if (!unknown.is_null() || model_is_word_piece()) {
    const std::string spelling = unknown.is_null() ? "[UNK]" : unknown.as_string();
    const auto id = index_->find(spelling);
    if (!id) {
      return malformed("model.unk_token", cat(quoted(spelling), " is not in the vocabulary"),
                       file_);
    }
    settings.unknown = static_cast<TokenId>(*id);
  }
  if (model_is_word_piece()) {
    APR_TRY(read_word_piece(settings));
  } else {
    const auto read = [&](std::string_view name) {
      return read_switch_or(model_, "model", name, false, file_);
    };
    APR_ASSIGN(settings.fuse_unknown, read("fuse_unk"));
    APR_ASSIGN(settings.byte_fallback, read("byte_fallback"));
    APR_ASSIGN(settings.ignore_merges, read("ignore_merges"));
  }
  parts_.settings =
      write_settings(settings, normalizer_json, json_["pre_tokenizer"], json_["decoder"]);
  return {};
}

}  // namespace

Result<TokenizerParts> read_tokenizer_json(const Json& json, const Json& config,
                                           std::string_view file) {
  return PartsReader(json, config, file).read();
}

}  // namespace apr

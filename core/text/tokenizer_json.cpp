#include "core/text/tokenizer_json.h"

#include <charconv>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/cat.h"
#include "core/text/tokenizer_settings.h"

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
    APR_TRY(read_merges());
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
  Status read_post_processor(const Json& json, const std::string& field,
                             TokenizerSettings& settings, int nesting);
  Status read_template(const Json& json, const std::string& field, TokenizerSettings& settings);
  void apply_config(TokenizerSettings& settings) const;

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
  const Json& type = model_["type"];
  if (!type.is_null() && type.as_string() != "BPE") {
    return unsupported("model.type",
                       cat("\"", type.as_string(), "\" is not supported, only \"BPE\""), file_);
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
  if (!model_["vocab"].is_object()) return malformed("model.vocab", "expected an object", file_);
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
    const bool special = token["special"].as_boolean();
    std::uint8_t flags = token_flag::kAdded;
    if (special) flags |= token_flag::kSpecial;
    if (token["single_word"].as_boolean()) flags |= token_flag::kSingleWord;
    if (token["lstrip"].as_boolean()) flags |= token_flag::kLeftStrip;
    if (token["rstrip"].as_boolean()) flags |= token_flag::kRightStrip;
    if (token["normalized"].as_boolean(!special)) flags |= token_flag::kNormalized;
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

Status PartsReader::read_template(const Json& json, const std::string& field,
                                  TokenizerSettings& settings) {
  bool seen_text = false;
  if (json["single"].size() > 64) return unsupported(field + ".single", "too many pieces", file_);
  for (const Json& piece : json["single"].as_array()) {
    if (const Json* sequence = piece.find("Sequence")) {
      if (seen_text || (*sequence)["id"].as_string() != "A") {
        return unsupported(field + ".single", "expected the sequence A once", file_);
      }
      seen_text = true;
      continue;
    }
    const Json* special = piece.find("SpecialToken");
    if (special == nullptr) return malformed(field + ".single", "unknown piece", file_);
    const std::string& name = (*special)["id"].as_string();
    const Json& ids = json["special_tokens"][name]["ids"];
    if (!ids.is_array()) {
      return malformed(field + ".special_tokens", cat("there is no ", quoted(name)), file_);
    }
    for (const Json& id : ids.as_array()) {
      if (!id.is_integer() || id.as_integer() < 0 ||
          id.as_integer() >= std::int64_t{index_->tokens()}) {
        return malformed(field + ".special_tokens",
                         cat("the id of ", quoted(name), " is not in the vocabulary"), file_);
      }
      (seen_text ? settings.suffix : settings.prefix)
          .push_back(static_cast<TokenId>(id.as_integer()));
    }
  }
  if (!seen_text) return malformed(field + ".single", "the text itself is missing", file_);
  return {};
}

Status PartsReader::read_post_processor(const Json& json, const std::string& field,
                                        TokenizerSettings& settings, int nesting) {
  if (json.is_null()) return {};
  const std::string& type = json["type"].as_string();
  if (type == "ByteLevel") return {};  // trims offsets, which are not kept
  if (type == "TemplateProcessing") {
    if (!settings.prefix.empty() || !settings.suffix.empty()) {
      return unsupported(field, "two templates in one tokenizer", file_);
    }
    return read_template(json, field, settings);
  }
  if (type == "Sequence" && nesting < 4) {
    const JsonArray& list = json["processors"].as_array();
    for (std::size_t i = 0; i < list.size(); ++i) {
      APR_TRY(
          read_post_processor(list[i], cat(field, ".processors[", i, "]"), settings, nesting + 1));
    }
    return {};
  }
  return unsupported(field, cat("type \"", type, "\" is not supported"), file_);
}

/// Hugging Face's Llama and Gemma classes rebuild the template from these two switches.
void PartsReader::apply_config(TokenizerSettings& settings) const {
  settings.bos = config_token("bos_token");
  settings.eos = config_token("eos_token");
  const std::string_view name = config_["tokenizer_class"].as_string();
  if (name.starts_with("LlamaTokenizer") || name.starts_with("CodeLlamaTokenizer") ||
      name.starts_with("GemmaTokenizer")) {
    if (const Json& add = config_["add_bos_token"]; add.is_boolean() && settings.bos) {
      settings.prefix.clear();
      if (add.as_boolean()) settings.prefix.push_back(*settings.bos);
    }
    if (const Json& add = config_["add_eos_token"]; add.is_boolean() && settings.eos) {
      settings.suffix.clear();
      if (add.as_boolean()) settings.suffix.push_back(*settings.eos);
    }
  }
  if (!config_.contains("bos_token") && settings.prefix.size() == 1) {
    settings.bos = settings.prefix.front();
  }
}

Status PartsReader::read_settings() {
  TokenizerSettings settings;
  APR_ASSIGN(settings.normalizer, read_normalizer(json_["normalizer"], file_));
  APR_ASSIGN(settings.pre_tokenizer, read_pre_tokenizer(json_["pre_tokenizer"], file_));
  APR_ASSIGN(settings.decoder, read_decoder(json_["decoder"], file_));
  if (settings.decoder.empty()) {
    return unsupported("decoder", "there is none, so ids could not be turned back into text",
                       file_);
  }
  APR_TRY(read_post_processor(json_["post_processor"], "post_processor", settings, 0));
  apply_config(settings);
  if (const Json& unknown = model_["unk_token"]; !unknown.is_null()) {
    const auto id = index_->find(unknown.as_string());
    if (!id) {
      return malformed("model.unk_token",
                       cat(quoted(unknown.as_string()), " is not in the vocabulary"), file_);
    }
    settings.unknown = static_cast<TokenId>(*id);
  }
  settings.fuse_unknown = model_["fuse_unk"].as_boolean();
  settings.byte_fallback = model_["byte_fallback"].as_boolean();
  settings.ignore_merges = model_["ignore_merges"].as_boolean();
  parts_.settings =
      write_settings(settings, json_["normalizer"], json_["pre_tokenizer"], json_["decoder"]);
  return {};
}

struct KnownPattern {
  std::string_view name;
  std::string_view tokenizer_class;
  std::string_view regex;
  bool nfc;
};

constexpr KnownPattern kKnownPatterns[] = {
    {"qwen2", "Qwen2Tokenizer",
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
     "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     true},
    {"gpt-2", "GPT2Tokenizer",
     "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", false},
    {"llama-3", "",
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+"
     "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     false},
};

const KnownPattern* find_pattern(std::string_view name, std::string_view tokenizer_class) {
  if (tokenizer_class.ends_with("Fast")) tokenizer_class.remove_suffix(4);
  for (const KnownPattern& known : kKnownPatterns) {
    if (name.empty() ? !tokenizer_class.empty() && known.tokenizer_class == tokenizer_class
                     : known.name == name) {
      return &known;
    }
  }
  return nullptr;
}

Json added_token(std::string_view content, Json id, bool special) {
  return Json::object(
      {{"id", std::move(id)}, {"content", content}, {"special", special}, {"normalized", false}});
}

/// From tokenizer_config.json's added_tokens_decoder and an added_tokens.json, each token once.
Json added_tokens_of(const Json& added_tokens, const Json& config) {
  Json list = Json::array();
  const Json& decoder = config["added_tokens_decoder"];
  std::set<std::string_view> known;
  for (const auto& [key, token] : decoder.as_object()) {
    Json entry = token;
    std::int64_t id = 0;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), id);
    const bool whole = parsed.ec == std::errc() && parsed.ptr == key.data() + key.size();
    entry.set("id", whole ? Json(id) : Json(key));
    known.insert(token["content"].as_string());
    list.push_back(std::move(entry));
  }
  for (const auto& [content, id] : added_tokens.as_object()) {
    if (!known.contains(content)) list.push_back(added_token(content, id, true));
  }
  return list;
}

}  // namespace

Result<TokenizerParts> read_tokenizer_json(const Json& json, const Json& config,
                                           std::string_view file) {
  return PartsReader(json, config, file).read();
}

Result<Json> tokenizer_json_from_vocab(Json vocab, std::string_view merges,
                                       const Json& added_tokens, const Json& config,
                                       std::string_view pattern, std::string_view file) {
  const KnownPattern* known = find_pattern(pattern, config["tokenizer_class"].as_string());
  if (known == nullptr) {
    return make_error(ErrorCode::unsupported,
                      cat("it is not known how to cut text for tokenizer class \"",
                          config["tokenizer_class"].as_string(), "\""),
                      std::string(file), "give the model a tokenizer.json");
  }
  Json list = Json::array();
  for (std::size_t line = 1; !merges.empty(); ++line) {
    const std::size_t end = merges.find('\n');
    std::string_view text = merges.substr(0, end);
    merges.remove_prefix(end == std::string_view::npos ? merges.size() : end + 1);
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.empty() || (line == 1 && text.starts_with("#version"))) continue;
    list.push_back(text);
  }
  const Json byte_level =
      Json::object({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  const Json split = Json::object({{"type", "Split"},
                                   {"pattern", Json::object({{"Regex", known->regex}})},
                                   {"behavior", "Isolated"},
                                   {"invert", false}});
  Json steps = Json::array();
  steps.push_back(split);
  steps.push_back(byte_level);
  return Json::object(
      {{"added_tokens", added_tokens_of(added_tokens, config)},
       {"normalizer", known->nfc ? Json::object({{"type", "NFC"}}) : Json()},
       {"pre_tokenizer", Json::object({{"type", "Sequence"}, {"pretokenizers", std::move(steps)}})},
       {"decoder", byte_level},
       {"model",
        Json::object(
            {{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", std::move(list)}})}});
}

}  // namespace apr

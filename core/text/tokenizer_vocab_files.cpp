// The older layouts, in which a tokenizer is a vocabulary and what its class is known to do:
// written out here as the tokenizer.json that says the same.
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "core/base/cat.h"
#include "core/text/tokenizer_json.h"
#include "core/text/utf8.h"

namespace apr {

namespace {

Error malformed(std::string_view field, std::string message, std::string_view file) {
  return make_error(ErrorCode::format, cat(field, ": ", message), std::string(file));
}

std::string_view without_fast(std::string_view tokenizer_class) {
  if (tokenizer_class.ends_with("Fast")) tokenizer_class.remove_suffix(4);
  return tokenizer_class;
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
  tokenizer_class = without_fast(tokenizer_class);
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

/// The lines of a vocab.txt, each a token; its number is the id. Blank lines at the end are none.
Result<std::vector<std::string_view>> lines_of(std::string_view text, std::string_view file) {
  std::vector<std::string_view> lines;
  std::size_t used = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!is_valid_utf8(line)) {
      return malformed(cat("line ", lines.size() + 1), "it is not UTF-8", file);
    }
    lines.push_back(line);
    if (!line.empty()) used = lines.size();
    if (used > kMaxVocabulary) {
      return make_error(ErrorCode::unsupported, cat("it has more than ", kMaxVocabulary, " lines"),
                        std::string(file));
    }
  }
  lines.resize(used);
  if (lines.empty()) return make_error(ErrorCode::format, "it has no token", std::string(file));
  return lines;
}

std::string spelling_of(const Json& token) {
  return token.is_object() ? token["content"].as_string() : token.as_string();
}

/// The files of a BERT-like tokenizer, without its tokenizer.json.
class VocabTxtReader {
 public:
  explicit VocabTxtReader(const VocabTxtFiles& files) : files_(files), config_(files.config) {}
  Result<TokenizerParts> read();

 private:
  Status read_vocabulary();
  Status check_config() const;
  Status read_special_tokens();
  Status read_added_tokens();
  Status add(std::string_view content, const Json& id, Json properties, std::string_view field);
  Json tokenizer_json() const;
  const Json& setting(std::string_view name) const {
    const Json* own = files_.config.find(name);
    return own != nullptr ? *own : files_.special_tokens_map[name];
  }
  std::string config_file() const { return beside(files_.file, "tokenizer_config.json"); }

  const VocabTxtFiles& files_;
  Json config_;  ///< with what the other files and the class's defaults say
  std::map<std::string, std::int64_t, std::less<>> ids_;
  std::set<std::string, std::less<>> added_;
  Json added_list_ = Json::array();
};

Result<TokenizerParts> VocabTxtReader::read() {
  APR_TRY(check_config());
  APR_TRY(read_vocabulary());
  APR_TRY(read_added_tokens());
  APR_TRY(read_special_tokens());
  return read_tokenizer_json(tokenizer_json(), config_, files_.file);
}

Status VocabTxtReader::check_config() const {
  const std::string& name = files_.config["tokenizer_class"].as_string();
  if (!name.empty() && !is_bert_tokenizer_class(name)) {
    return make_error(ErrorCode::unsupported,
                      cat("a vocab.txt for the tokenizer class \"", name, "\" is not supported"),
                      config_file(), "give the model a tokenizer.json");
  }
  for (const std::string_view key :
       {"do_lower_case", "tokenize_chinese_chars", "strip_accents", "do_basic_tokenize"}) {
    const Json& value = files_.config[key];
    if (!value.is_null() && !value.is_boolean()) {
      return malformed(key, "expected true or false", config_file());
    }
  }
  if (!files_.config["do_basic_tokenize"].as_boolean(true)) {
    return make_error(ErrorCode::unsupported, "do_basic_tokenize: false is not supported",
                      config_file(), "give the model a tokenizer.json");
  }
  if (files_.config["never_split"].size() != 0) {
    return make_error(ErrorCode::unsupported, "never_split: a list is not supported", config_file(),
                      "give the model a tokenizer.json");
  }
  return {};
}

Status VocabTxtReader::read_vocabulary() {
  APR_ASSIGN(const auto lines, lines_of(files_.vocab, files_.file));
  // Where a token stands twice, its last line is its id; the others stay without a meaning.
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].empty()) ids_[std::string(lines[i])] = static_cast<std::int64_t>(i);
  }
  return {};
}

Status VocabTxtReader::add(std::string_view content, const Json& id, Json properties,
                           std::string_view field) {
  if (content.empty()) return malformed(field, "it has no \"content\"", config_file());
  if (!added_.emplace(content).second) return {};
  properties.set("id", id);
  properties.set("content", content);
  added_list_.push_back(std::move(properties));
  return {};
}

Status VocabTxtReader::read_added_tokens() {
  for (const auto& [key, token] : files_.config["added_tokens_decoder"].as_object()) {
    std::int64_t id = 0;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), id);
    if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size()) {
      return malformed(cat("added_tokens_decoder.", key), "this is not an id", config_file());
    }
    APR_TRY(add(token["content"].as_string(), Json(id), token, cat("added_tokens_decoder.", key)));
  }
  for (const auto& [content, id] : files_.added_tokens.as_object()) {
    APR_TRY(add(content, id, Json::object(), "added_tokens.json"));
  }
  return {};
}

Status VocabTxtReader::read_special_tokens() {
  struct Role {
    std::string_view name;
    std::string_view usual;  ///< what BERT's classes take where nothing is said
    bool needed;
  };
  constexpr Role kRoles[] = {{"unk_token", "[UNK]", true},
                             {"cls_token", "[CLS]", true},
                             {"sep_token", "[SEP]", true},
                             {"pad_token", "[PAD]", false},
                             {"mask_token", "[MASK]", false}};
  const auto add_special = [&](const std::string& spelling, std::string_view field) -> Status {
    const auto found = ids_.find(spelling);
    if (found == ids_.end()) {
      if (added_.contains(spelling)) return {};
      return malformed(field, cat("\"", spelling, "\" is not in vocab.txt"), config_file());
    }
    return add(spelling, Json(found->second),
               Json::object({{"special", true}, {"normalized", false}}), field);
  };
  for (const Role& role : kRoles) {
    const Json& said = setting(role.name);
    const std::string spelling = said.is_null() ? std::string(role.usual) : spelling_of(said);
    const bool is_there = ids_.contains(spelling) || added_.contains(spelling);
    if (!is_there && said.is_null() && !role.needed) continue;
    APR_TRY(add_special(spelling, role.name));
    config_.set(role.name, spelling);
  }
  const Json& more = setting("additional_special_tokens");
  for (std::size_t i = 0; i < more.size(); ++i) {
    APR_TRY(
        add_special(spelling_of(more.as_array()[i]), cat("additional_special_tokens[", i, "]")));
  }
  return {};
}

Json VocabTxtReader::tokenizer_json() const {
  JsonObject vocabulary;
  vocabulary.reserve(ids_.size());
  for (const auto& [spelling, id] : ids_) vocabulary.emplace_back(spelling, Json(id));
  const auto typed = [](const char* type) { return Json::object({{"type", type}}); };
  const auto id_of = [this](std::string_view role) {
    const std::string& spelling = config_[role].as_string();
    if (const auto found = ids_.find(spelling); found != ids_.end()) return Json(found->second);
    for (const Json& token : added_list_.as_array()) {
      if (token["content"].as_string() == spelling) return token["id"];
    }
    return Json();
  };
  const auto named = [&](std::string_view role) {
    return Json(JsonArray{config_[role], id_of(role)});
  };
  Json normalizer = typed("BertNormalizer");
  normalizer.set("clean_text", true);
  normalizer.set("handle_chinese_chars", files_.config["tokenize_chinese_chars"].as_boolean(true));
  normalizer.set("strip_accents", files_.config["strip_accents"]);
  normalizer.set("lowercase", files_.config["do_lower_case"].as_boolean(true));
  Json post_processor = typed("BertProcessing");
  post_processor.set("sep", named("sep_token"));
  post_processor.set("cls", named("cls_token"));
  Json decoder = typed("WordPiece");
  decoder.set("prefix", "##");
  decoder.set("cleanup", true);
  Json model = typed("WordPiece");
  model.set("unk_token", config_["unk_token"]);
  model.set("continuing_subword_prefix", "##");
  model.set("max_input_chars_per_word", 100);
  model.set("vocab", Json(std::move(vocabulary)));
  return Json::object({{"added_tokens", added_list_},
                       {"normalizer", std::move(normalizer)},
                       {"pre_tokenizer", typed("BertPreTokenizer")},
                       {"post_processor", std::move(post_processor)},
                       {"decoder", std::move(decoder)},
                       {"model", std::move(model)}});
}

}  // namespace

std::string beside(std::string_view file, std::string_view name) {
  const auto end = file.rfind(": ");
  return end == std::string_view::npos ? std::string(name) : cat(file.substr(0, end + 2), name);
}

bool is_bert_tokenizer_class(std::string_view name) {
  name = without_fast(name);
  for (const std::string_view known :
       {"BertTokenizer", "ConvBertTokenizer", "DistilBertTokenizer", "ElectraTokenizer",
        "LayoutLMTokenizer", "LxmertTokenizer", "MobileBertTokenizer", "RealmTokenizer",
        "RetriBertTokenizer", "SqueezeBertTokenizer"}) {
    if (name == known) return true;
  }
  return false;
}

Result<TokenizerParts> read_vocab_txt(const VocabTxtFiles& files) {
  return VocabTxtReader(files).read();
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

#include "core/text/tokenizer_settings.h"

#include "core/base/cat.h"
#include "core/text/utf8.h"

namespace apr {

namespace {

constexpr std::size_t kMaxSteps = 32;
constexpr int kMaxNesting = 4;  ///< Sequences in Sequences

Error unsupported(std::string_view field, std::string message, std::string_view file) {
  return make_error(ErrorCode::unsupported, cat(field, ": ", message), std::string(file));
}

Error malformed(std::string_view field, std::string message, std::string_view file) {
  return make_error(ErrorCode::format, cat(field, ": ", message), std::string(file));
}

Error unknown_type(std::string_view field, const Json& json, std::string_view file) {
  if (!json["type"].is_string()) return malformed(field, "there is no \"type\"", file);
  return unsupported(field, cat("type \"", json["type"].as_string(), "\" is not supported"), file);
}

/// Calls read(step, field) for a step, or for every step of a Sequence.
template <typename Read>
Status each_step(const Json& json, const std::string& field, std::string_view list_name,
                 std::string_view file, const Read& read, std::size_t& steps, int nesting = 0) {
  if (json.is_null()) return {};
  if (!json.is_object()) return malformed(field, "expected an object or null", file);
  if (json["type"].as_string() != "Sequence") {
    if (++steps > kMaxSteps) return unsupported(field, "there are too many steps", file);
    return read(json, field);
  }
  if (nesting >= kMaxNesting) return unsupported(field, "Sequences are nested too deeply", file);
  const Json& list = json[list_name];
  if (!list.is_array()) return malformed(field, cat("there is no list \"", list_name, "\""), file);
  if (list.size() > kMaxSteps) return unsupported(field, "there are too many steps", file);
  for (std::size_t i = 0; i < list.size(); ++i) {
    APR_TRY(each_step(list.as_array()[i], cat(field, ".", list_name, "[", i, "]"), list_name, file,
                      read, steps, nesting + 1));
  }
  return {};
}

Result<std::string> string_pattern(const Json& json, const std::string& field,
                                   std::string_view file) {
  const Json& pattern = json["pattern"]["String"];
  if (!pattern.is_string()) {
    return unsupported(field + ".pattern", "only {\"String\": …} is supported here", file);
  }
  if (pattern.as_string().empty()) return malformed(field + ".pattern", "it is empty", file);
  return pattern.as_string();
}

Result<PreTokenizerStep::Join> read_join(const Json& json, const std::string& field,
                                         std::string_view file) {
  const std::string& name = json["behavior"].as_string();
  if (name == "Isolated") return PreTokenizerStep::Join::isolated;
  if (name == "Removed") return PreTokenizerStep::Join::removed;
  if (name == "MergedWithPrevious") return PreTokenizerStep::Join::with_previous;
  if (name == "MergedWithNext") return PreTokenizerStep::Join::with_next;
  return unsupported(field + ".behavior", cat("\"", name, "\" is not supported"), file);
}

Result<PreTokenizerStep> read_split(const Json& json, const std::string& field,
                                    std::string_view file) {
  PreTokenizerStep step;
  const bool invert = json["invert"].as_boolean();
  APR_ASSIGN(step.join, read_join(json, field, file));
  if (const Json& regex = json["pattern"]["Regex"]; regex.is_string()) {
    const auto pattern = SplitPattern::recognize(regex.as_string());
    if (!pattern) {
      return unsupported(
          field + ".pattern.Regex",
          cat("this expression is not one of the supported family: ", regex.as_string()), file);
    }
    // The expressions cover every text, so these two spellings mean the same.
    if (step.join != PreTokenizerStep::Join::isolated &&
        !(step.join == PreTokenizerStep::Join::removed && invert)) {
      return unsupported(field + ".behavior", "only \"Isolated\" is supported for an expression",
                         file);
    }
    step.kind = PreTokenizerStep::Kind::pattern;
    step.pattern = *pattern;
    return step;
  }
  if (invert) return unsupported(field + ".invert", "true is not supported for a string", file);
  step.kind = PreTokenizerStep::Kind::delimiter;
  APR_ASSIGN(step.text, string_pattern(json, field, file));
  return step;
}

Result<PreTokenizerStep::Prefix> read_prefix_scheme(const Json& json, const std::string& field,
                                                    std::string_view file) {
  const Json& scheme = json["prepend_scheme"];
  if (scheme.is_null()) {
    return json["add_prefix_space"].as_boolean(true) ? PreTokenizerStep::Prefix::always
                                                     : PreTokenizerStep::Prefix::never;
  }
  if (scheme.as_string() == "always") return PreTokenizerStep::Prefix::always;
  if (scheme.as_string() == "first") return PreTokenizerStep::Prefix::first;
  if (scheme.as_string() == "never") return PreTokenizerStep::Prefix::never;
  return unsupported(field + ".prepend_scheme",
                     cat("\"", scheme.as_string(), "\" is not supported"), file);
}

Result<std::string> read_replacement(const Json& json, const std::string& field,
                                     std::string_view file) {
  const std::string& text = json["replacement"].as_string();
  if (text.empty() || utf8_at(text, 0).size != text.size() || !is_valid_utf8(text)) {
    return malformed(field + ".replacement", "expected one character", file);
  }
  return text;
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

Result<std::vector<TokenId>> read_ids(const Json& json, std::string_view name, std::uint32_t tokens,
                                      std::string_view file) {
  std::vector<TokenId> ids;
  for (const Json& id : json[name].as_array()) {
    if (!id.is_integer() || id.as_integer() < 0 || id.as_integer() >= std::int64_t{tokens}) {
      return malformed(name, "it names an id that is not in the vocabulary", file);
    }
    ids.push_back(static_cast<TokenId>(id.as_integer()));
  }
  return ids;
}

}  // namespace

Result<std::vector<NormalizerStep>> read_normalizer(const Json& json, std::string_view file) {
  std::vector<NormalizerStep> steps;
  std::size_t count = 0;
  APR_TRY(each_step(
      json, "normalizer", "normalizers", file,
      [&](const Json& step, const std::string& field) -> Status {
        const std::string& type = step["type"].as_string();
        if (type == "NFC") {
          steps.push_back({NormalizerStep::Kind::nfc, {}, {}});
        } else if (type == "Prepend") {
          const Json& content = step["prepend"];
          if (!content.is_string()) return malformed(field + ".prepend", "expected a string", file);
          if (content.as_string().size() > 64)
            return unsupported(field + ".prepend", "it is too long", file);
          steps.push_back({NormalizerStep::Kind::prepend, {}, content.as_string()});
        } else if (type == "Replace") {
          APR_ASSIGN(std::string pattern, string_pattern(step, field, file));
          const Json& content = step["content"];
          if (!content.is_string()) return malformed(field + ".content", "expected a string", file);
          steps.push_back({NormalizerStep::Kind::replace, std::move(pattern), content.as_string()});
        } else {
          return unknown_type(field, step, file);
        }
        return {};
      },
      count));
  return steps;
}

Result<std::vector<PreTokenizerStep>> read_pre_tokenizer(const Json& json, std::string_view file) {
  std::vector<PreTokenizerStep> steps;
  std::size_t count = 0;
  APR_TRY(each_step(
      json, "pre_tokenizer", "pretokenizers", file,
      [&](const Json& part, const std::string& field) -> Status {
        if (!steps.empty() && steps.back().kind == PreTokenizerStep::Kind::byte_level) {
          return unsupported(field, "nothing may follow ByteLevel", file);
        }
        const std::string& type = part["type"].as_string();
        PreTokenizerStep step;
        if (type == "Split") {
          APR_ASSIGN(step, read_split(part, field, file));
        } else if (type == "ByteLevel") {
          step.kind = PreTokenizerStep::Kind::byte_level;
          step.pattern = SplitPattern::gpt2();
          step.cuts = part["use_regex"].as_boolean(true);
          step.prefix = part["add_prefix_space"].as_boolean(true) ? PreTokenizerStep::Prefix::always
                                                                  : PreTokenizerStep::Prefix::never;
        } else if (type == "Metaspace") {
          step.kind = PreTokenizerStep::Kind::metaspace;
          step.join = PreTokenizerStep::Join::with_next;
          step.cuts = part["split"].as_boolean(true);
          APR_ASSIGN(step.text, read_replacement(part, field, file));
          APR_ASSIGN(step.prefix, read_prefix_scheme(part, field, file));
        } else if (type == "Digits") {
          step.kind = PreTokenizerStep::Kind::digits;
          step.individual = part["individual_digits"].as_boolean();
        } else {
          return unknown_type(field, part, file);
        }
        steps.push_back(std::move(step));
        return {};
      },
      count));
  return steps;
}

Result<std::vector<DecoderStep>> read_decoder(const Json& json, std::string_view file) {
  std::vector<DecoderStep> steps;
  std::size_t count = 0;
  APR_TRY(each_step(
      json, "decoder", "decoders", file,
      [&](const Json& part, const std::string& field) -> Status {
        const std::string& type = part["type"].as_string();
        DecoderStep step;
        if (type == "ByteLevel") {
          step.kind = DecoderStep::Kind::byte_level;
        } else if (type == "Replace") {
          step.kind = DecoderStep::Kind::replace;
          APR_ASSIGN(step.pattern, string_pattern(part, field, file));
          step.content = part["content"].as_string();
          if (step.content.size() > step.pattern.size()) {
            return unsupported(field + ".content", "it is longer than what it replaces", file);
          }
        } else if (type == "ByteFallback") {
          step.kind = DecoderStep::Kind::byte_fallback;
        } else if (type == "Fuse") {
          step.kind = DecoderStep::Kind::fuse;
        } else if (type == "Strip") {
          step.kind = DecoderStep::Kind::strip;
          step.content = part["content"].as_string();
          const std::int64_t start = part["start"].as_integer();
          const std::int64_t stop = part["stop"].as_integer();
          if (step.content.empty() || start < 0 || stop < 0 || start > 1024 || stop > 1024) {
            return malformed(field, "\"content\", \"start\" or \"stop\" makes no sense", file);
          }
          step.start = static_cast<std::size_t>(start);
          step.stop = static_cast<std::size_t>(stop);
        } else if (type == "Metaspace") {
          step.kind = DecoderStep::Kind::metaspace;
          APR_ASSIGN(step.pattern, read_replacement(part, field, file));
          APR_ASSIGN(const auto prefix, read_prefix_scheme(part, field, file));
          step.content = " ";
          step.drop_first = prefix != PreTokenizerStep::Prefix::never;
        } else {
          return unknown_type(field, part, file);
        }
        steps.push_back(std::move(step));
        return {};
      },
      count));
  return steps;
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
  APR_ASSIGN(settings.prefix, read_ids(json, "prefix", tokens, file));
  APR_ASSIGN(settings.suffix, read_ids(json, "suffix", tokens, file));
  APR_ASSIGN(settings.unknown, read_id(json, "unk", tokens, file));
  APR_ASSIGN(settings.bos, read_id(json, "bos", tokens, file));
  APR_ASSIGN(settings.eos, read_id(json, "eos", tokens, file));
  settings.fuse_unknown = json["fuse_unk"].as_boolean();
  settings.byte_fallback = json["byte_fallback"].as_boolean();
  settings.ignore_merges = json["ignore_merges"].as_boolean();
  return settings;
}

std::string write_settings(const TokenizerSettings& settings, const Json& normalizer,
                           const Json& pre_tokenizer, const Json& decoder) {
  const auto id = [](const std::optional<TokenId>& value) {
    return value ? Json(std::int64_t{*value}) : Json();
  };
  const auto ids = [](const std::vector<TokenId>& values) {
    Json list = Json::array();
    for (const TokenId value : values) list.push_back(std::int64_t{value});
    return list;
  };
  Json json = Json::object();
  json.set("normalizer", normalizer);
  json.set("pre_tokenizer", pre_tokenizer);
  json.set("decoder", decoder);
  json.set("prefix", ids(settings.prefix));
  json.set("suffix", ids(settings.suffix));
  json.set("unk", id(settings.unknown));
  json.set("bos", id(settings.bos));
  json.set("eos", id(settings.eos));
  json.set("fuse_unk", settings.fuse_unknown);
  json.set("byte_fallback", settings.byte_fallback);
  json.set("ignore_merges", settings.ignore_merges);
  return json.dump();
}

}  // namespace apr

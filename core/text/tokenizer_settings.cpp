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

/// A switch that must be there.
Result<bool> read_switch(const Json& json, const std::string& field, std::string_view name,
                         std::string_view file) {
  if (!json[name].is_boolean()) {
    return malformed(cat(field, ".", name), "expected true or false", file);
  }
  return json[name].as_boolean();
}

Result<PreTokenizerStep> read_split(const Json& json, const std::string& field,
                                    std::string_view file) {
  PreTokenizerStep step;
  APR_ASSIGN(const bool invert, read_switch_or(json, field, "invert", false, file));
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

Result<PreTokenizerStep::Prefix> read_prefix_space(const Json& json, const std::string& field,
                                                   std::string_view file) {
  APR_ASSIGN(const bool always, read_switch_or(json, field, "add_prefix_space", true, file));
  return always ? PreTokenizerStep::Prefix::always : PreTokenizerStep::Prefix::never;
}

Result<PreTokenizerStep::Prefix> read_prefix_scheme(const Json& json, const std::string& field,
                                                    std::string_view file) {
  const Json& scheme = json["prepend_scheme"];
  if (scheme.is_null()) {
    return read_prefix_space(json, field, file);
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

Result<NormalizerStep> read_bert_normalizer(const Json& json, const std::string& field,
                                            std::string_view file) {
  NormalizerStep step;
  step.kind = NormalizerStep::Kind::bert;
  APR_ASSIGN(step.clean_text, read_switch(json, field, "clean_text", file));
  APR_ASSIGN(step.space_ideographs, read_switch(json, field, "handle_chinese_chars", file));
  APR_ASSIGN(step.lowercase, read_switch(json, field, "lowercase", file));
  const Json& accents = json["strip_accents"];
  if (!accents.is_null() && !accents.is_boolean()) {
    return malformed(field + ".strip_accents", "expected true, false or null", file);
  }
  step.strip_accents = accents.as_boolean(step.lowercase);
  return step;
}

std::optional<NormalForm> normal_form(std::string_view type) {
  if (type == "NFC") return NormalForm::nfc;
  if (type == "NFD") return NormalForm::nfd;
  if (type == "NFKC") return NormalForm::nfkc;
  if (type == "NFKD") return NormalForm::nfkd;
  return std::nullopt;
}

}  // namespace

Result<bool> read_switch_or(const Json& json, std::string_view field, std::string_view name,
                            bool fallback, std::string_view file) {
  const Json& value = json[name];
  if (value.is_null()) return fallback;
  if (value.is_boolean()) return value.as_boolean();
  return malformed(field.empty() ? std::string(name) : cat(field, ".", name),
                   "expected true or false", file);
}

Result<std::vector<NormalizerStep>> read_normalizer(const Json& json, std::string_view file) {
  std::vector<NormalizerStep> steps;
  std::size_t count = 0;
  APR_TRY(each_step(
      json, "normalizer", "normalizers", file,
      [&](const Json& step, const std::string& field) -> Status {
        const std::string& type = step["type"].as_string();
        NormalizerStep made;
        if (const auto form = normal_form(type)) {
          made.form = *form;
        } else if (type == "Lowercase") {
          made.kind = NormalizerStep::Kind::lowercase;
        } else if (type == "StripAccents") {
          made.kind = NormalizerStep::Kind::strip_accents;
        } else if (type == "Strip") {
          made.kind = NormalizerStep::Kind::strip;
          APR_ASSIGN(made.strip_left, read_switch(step, field, "strip_left", file));
          APR_ASSIGN(made.strip_right, read_switch(step, field, "strip_right", file));
        } else if (type == "BertNormalizer") {
          APR_ASSIGN(made, read_bert_normalizer(step, field, file));
        } else if (type == "Prepend") {
          const Json& content = step["prepend"];
          if (!content.is_string()) return malformed(field + ".prepend", "expected a string", file);
          if (content.as_string().size() > 64)
            return unsupported(field + ".prepend", "it is too long", file);
          made.kind = NormalizerStep::Kind::prepend;
          made.content = content.as_string();
        } else if (type == "Replace") {
          made.kind = NormalizerStep::Kind::replace;
          APR_ASSIGN(made.pattern, string_pattern(step, field, file));
          const Json& content = step["content"];
          if (!content.is_string()) return malformed(field + ".content", "expected a string", file);
          made.content = content.as_string();
        } else {
          return unknown_type(field, step, file);
        }
        steps.push_back(std::move(made));
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
          APR_ASSIGN(step.cuts, read_switch_or(part, field, "use_regex", true, file));
          APR_ASSIGN(step.prefix, read_prefix_space(part, field, file));
        } else if (type == "Metaspace") {
          step.kind = PreTokenizerStep::Kind::metaspace;
          step.join = PreTokenizerStep::Join::with_next;
          APR_ASSIGN(step.cuts, read_switch_or(part, field, "split", true, file));
          APR_ASSIGN(step.text, read_replacement(part, field, file));
          APR_ASSIGN(step.prefix, read_prefix_scheme(part, field, file));
        } else if (type == "Digits") {
          step.kind = PreTokenizerStep::Kind::digits;
          APR_ASSIGN(step.individual,
                     read_switch_or(part, field, "individual_digits", false, file));
        } else if (type == "BertPreTokenizer") {
          step.kind = PreTokenizerStep::Kind::bert;
        } else if (type == "WhitespaceSplit") {
          step.kind = PreTokenizerStep::Kind::white_space;
        } else if (type == "Whitespace") {
          step.kind = PreTokenizerStep::Kind::word_runs;
        } else if (type == "Punctuation") {
          step.kind = PreTokenizerStep::Kind::punctuation;
          if (part.contains("behavior")) {
            APR_ASSIGN(step.join, read_join(part, field, file));
          }
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
        } else if (type == "WordPiece") {
          step.kind = DecoderStep::Kind::word_piece;
          if (!part["prefix"].is_string()) {
            return malformed(field + ".prefix", "expected a string", file);
          }
          step.pattern = part["prefix"].as_string();
          APR_ASSIGN(step.cleanup, read_switch(part, field, "cleanup", file));
        } else {
          return unknown_type(field, part, file);
        }
        steps.push_back(std::move(step));
        return {};
      },
      count));
  return steps;
}

}  // namespace apr

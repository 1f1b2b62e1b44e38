#include "core/speech/speech_tokens.h"

#include <algorithm>
#include <utility>

#include "core/base/cat.h"

namespace apr {

namespace {

constexpr std::string_view kGenerationConfig = "generation_config.json";

class TokenReader {
 public:
  explicit TokenReader(const SpeechTokenSource& source) : source_(source) {}

  Result<SpeechTokens> read() {
    SpeechTokens tokens;
    APR_ASSIGN(tokens.end, required("eos_token_id", "<|endoftext|>"));
    APR_ASSIGN(tokens.start, required("decoder_start_token_id", "<|startoftranscript|>"));
    APR_ASSIGN(tokens.previous, optional("prev_sot_token_id", "<|startofprev|>"));
    APR_ASSIGN(tokens.no_timestamps, optional("no_timestamps_token_id", "<|notimestamps|>"));
    APR_ASSIGN(tokens.no_speech, named("<|nospeech|>"));
    if (!tokens.no_speech) {
      APR_ASSIGN(tokens.no_speech, named("<|nocaptions|>"));
    }
    if (tokens.start <= tokens.end) {
      return bad("decoder_start_token_id", cat(tokens.start, " does not come after the text and ",
                                               "eos_token_id ", tokens.end));
    }
    APR_TRY(read_languages(tokens));
    APR_TRY(read_timestamps(tokens));
    APR_ASSIGN(tokens.suppressed, list("suppress_tokens"));
    APR_ASSIGN(tokens.suppressed_at_begin, list("begin_suppress_tokens"));
    suppress_directions(tokens);
    return tokens;
  }

 private:
  /// The field of generation_config.json, else of config.json.
  const Json& field(std::string_view name) const {
    const Json& value = source_.generation_config[name];
    return value.is_null() ? source_.config[name] : value;
  }

  Error bad(std::string_view name, std::string problem) const {
    const bool generation = !source_.generation_config[name].is_null();
    return make_error(
        ErrorCode::format, cat("field ", name, ": ", problem),
        cat(source_.file, ": ", generation ? kGenerationConfig : std::string_view("config.json")));
  }

  Result<TokenId> id_of(std::string_view name, const Json& value) const {
    const std::int64_t id = value.as_integer(-1);
    if (value.is_integer() && id >= 0 && id < std::int64_t{source_.vocab_size}) {
      return static_cast<TokenId>(id);
    }
    return bad(name, cat(value.dump().substr(0, 60), " is not an id of the vocabulary of ",
                         source_.vocab_size));
  }

  Result<std::optional<TokenId>> named(std::string_view token) const {
    const std::optional<TokenId> id = source_.tokenizer.id_of(token);
    if (id && *id >= static_cast<std::int64_t>(source_.vocab_size)) {
      return make_error(
          ErrorCode::format,
          cat("token ", token, " has id ", *id, ", beyond the vocabulary of ", source_.vocab_size),
          cat(source_.file, ": tokenizer"));
    }
    return id;
  }

  Result<std::optional<TokenId>> optional(std::string_view name, std::string_view token) const {
    if (field(name).is_null()) return named(token);
    APR_ASSIGN(const TokenId id, id_of(name, field(name)));
    return std::optional<TokenId>(id);
  }

  Result<TokenId> required(std::string_view name, std::string_view token) const {
    APR_ASSIGN(const std::optional<TokenId> id, optional(name, token));
    if (id) return *id;
    return make_error(ErrorCode::load,
                      cat("neither the field ", name, " of generation_config.json nor a token ",
                          token, " is there, which a transcript needs"),
                      source_.file, "import the model again from its complete folder");
  }

  Result<std::vector<TokenId>> list(std::string_view name) const {
    std::vector<TokenId> ids;
    const Json& values = field(name);
    if (values.is_null()) return ids;
    if (!values.is_array()) return bad(name, "is not a list of ids");
    for (const Json& value : values.as_array()) {
      // -1 is OpenAI's word for "the tokens that are not speech"; files list them.
      APR_ASSIGN(const TokenId id, id_of(name, value));
      ids.push_back(id);
    }
    return ids;
  }

  Status read_languages(SpeechTokens& tokens) const {
    const Json& flag = field("is_multilingual");
    if (!flag.is_null() && !flag.is_boolean())
      return bad("is_multilingual", "is not true or false");
    if (flag.is_boolean() && !flag.as_boolean()) return {};
    const Json& table = field("lang_to_id");
    if (!table.is_null() && !table.is_object()) return bad("lang_to_id", "is not an object");
    for (const auto& [name, value] : table.as_object()) {
      if (name.size() < 5 || !name.starts_with("<|") || !name.ends_with("|>")) {
        return bad("lang_to_id", cat(Json(name).dump(), " is not written like <|en|>"));
      }
      APR_ASSIGN(const TokenId id, id_of("lang_to_id", value));
      tokens.languages.push_back({name.substr(2, name.size() - 4), id});
    }
    if (table.is_null()) find_languages(tokens);
    std::sort(tokens.languages.begin(), tokens.languages.end(),
              [](const auto& a, const auto& b) { return a.token < b.token; });
    if (tokens.languages.empty()) {
      if (flag.as_boolean(false)) return bad("is_multilingual", "true, but there are no languages");
      return {};
    }
    const Json& tasks = field("task_to_id");
    if (!tasks.is_null() && !tasks.is_object()) return bad("task_to_id", "is not an object");
    APR_ASSIGN(tokens.transcribe, task(tasks, SpeechTask::transcribe));
    APR_ASSIGN(tokens.translate, task(tasks, SpeechTask::translate));
    return {};
  }

  Result<std::optional<TokenId>> task(const Json& tasks, SpeechTask which) const {
    const Json& value = tasks[name_of(which)];
    if (value.is_null()) return named(cat("<|", name_of(which), "|>"));
    APR_ASSIGN(const TokenId id, id_of("task_to_id", value));
    return std::optional<TokenId>(id);
  }

  /// Languages have the ids between the start token and those of the tasks, and two or three
  /// letters.
  void find_languages(SpeechTokens& tokens) const {
    const std::optional<TokenId> translate = source_.tokenizer.id_of("<|translate|>");
    const std::optional<TokenId> transcribe = source_.tokenizer.id_of("<|transcribe|>");
    if (!translate || !transcribe) return;
    const TokenId after = std::min(*translate, *transcribe);
    for (TokenId id = tokens.start + 1; id < after; ++id) {
      const std::string_view name = source_.tokenizer.token(id);
      if (name.size() < 6 || name.size() > 7 || !name.starts_with("<|") || !name.ends_with("|>")) {
        continue;
      }
      if (id < static_cast<std::int64_t>(source_.vocab_size)) {
        tokens.languages.push_back({std::string(name.substr(2, name.size() - 4)), id});
      }
    }
  }

  Status read_timestamps(SpeechTokens& tokens) const {
    if (tokens.no_timestamps) {
      if (*tokens.no_timestamps <= tokens.end) {
        return bad("no_timestamps_token_id",
                   cat(*tokens.no_timestamps, " does not come after the text and eos_token_id ",
                       tokens.end));
      }
      tokens.first_timestamp = *tokens.no_timestamps + 1;
      const std::uint32_t rest =
          source_.vocab_size - static_cast<std::uint32_t>(tokens.first_timestamp);
      tokens.timestamps = std::min(rest, source_.max_states + 1);
    } else {
      tokens.first_timestamp = static_cast<TokenId>(source_.vocab_size);
    }
    const Json& config = source_.generation_config;
    const Json* limit = config.find("max_initial_timestamp_index");
    if (limit == nullptr) return {};
    if (limit->is_null()) {
      tokens.max_initial_timestamp.reset();
      return {};
    }
    const std::int64_t value = limit->as_integer(-1);
    if (!limit->is_integer() || value < 0 || value > std::int64_t{INT32_MAX}) {
      return bad("max_initial_timestamp_index", "is not a number of timestamps");
    }
    tokens.max_initial_timestamp = static_cast<std::uint32_t>(value);
    return {};
  }

  /// Tokens that direct the model are never part of a transcript.
  void suppress_directions(SpeechTokens& tokens) const {
    const std::optional<TokenId> directions[] = {
        tokens.start,      tokens.previous,  tokens.no_speech,
        tokens.transcribe, tokens.translate, source_.tokenizer.id_of("<|startoflm|>")};
    for (const std::optional<TokenId>& id : directions) {
      if (id && *id < static_cast<std::int64_t>(source_.vocab_size)) {
        tokens.suppressed.push_back(*id);
      }
    }
    std::sort(tokens.suppressed.begin(), tokens.suppressed.end());
    tokens.suppressed.erase(std::unique(tokens.suppressed.begin(), tokens.suppressed.end()),
                            tokens.suppressed.end());
  }

  const SpeechTokenSource& source_;
};

}  // namespace

std::string_view name_of(SpeechTask task) {
  return task == SpeechTask::transcribe ? "transcribe" : "translate";
}

const SpokenLanguage* SpeechTokens::find_language(std::string_view code) const {
  const auto found = std::find_if(languages.begin(), languages.end(),
                                  [&](const SpokenLanguage& l) { return l.code == code; });
  return found == languages.end() ? nullptr : &*found;
}

std::string SpeechTokens::language_codes() const {
  std::vector<std::string> codes;
  for (const SpokenLanguage& language : languages) codes.push_back(language.code);
  std::sort(codes.begin(), codes.end());
  std::string text;
  for (const std::string& code : codes) text += cat(text.empty() ? "" : ", ", code);
  return text;
}

Result<SpeechTokens> read_speech_tokens(const SpeechTokenSource& source) {
  return TokenReader(source).read();
}

}  // namespace apr

// Greedy decoding and sampling follow the reference decoder of Whisper (Radford et al. 2022,
// section 4.5): probabilities count after the rules have removed what may not follow, and before
// the temperature; every answer ends with the end token or at half of the context.
#include "core/speech/decode.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/cat.h"
#include "core/runtime/sampler.h"
#include "core/speech/candidates.h"

namespace apr {

namespace {

double score_of(const Candidate& candidate, const std::optional<double>& penalty) {
  const auto length = static_cast<double>(std::max<std::size_t>(candidate.tokens.size(), 1));
  const double norm = penalty ? std::pow((5.0 + length) / 6.0, *penalty) : length;
  return candidate.log_probability / norm;
}

/// Draws of independent answers: those that are not complete go on together.
class Draws {
 public:
  Draws(Search& search, Sampler sampler, std::uint32_t count)
      : search_(search), sampler_(std::move(sampler)), candidates_(count) {}

  Result<std::vector<Candidate>> run() {
    const std::size_t vocabulary = search_.decoder.vocab_size();
    for (SequenceId i = 0; i < candidates_.size(); ++i) {
      if (i > 0) APR_TRY(search_.decoder.copy(0, i));
      live_.push_back(i);
    }
    std::span<const float> rows = search_.logits;
    for (std::uint32_t length = 0; length < search_.max_tokens; ++length) {
      APR_TRY(check_not_interrupted(search_.options));
      std::vector<SequenceId> going_on;
      std::vector<TokenId> next;
      for (std::size_t i = 0; i < live_.size(); ++i) {
        // After the prompt there is one row for all.
        const std::size_t row = length == 0 ? 0 : i;
        APR_ASSIGN(const TokenId token,
                   choose(rows.subspan(row * vocabulary, vocabulary), candidates_[live_[i]]));
        if (token == search_.tokens.end) continue;
        going_on.push_back(live_[i]);
        next.push_back(token);
      }
      live_ = std::move(going_on);
      if (live_.empty() || length + 1 == search_.max_tokens) break;
      APR_ASSIGN(rows, search_.decoder.step(live_, next));
    }
    return std::move(candidates_);
  }

 private:
  Result<TokenId> choose(std::span<const float> logits, Candidate& candidate) {
    allowed_.assign(logits.begin(), logits.end());
    APR_TRY(search_.rules.apply(allowed_, candidate.tokens));
    APR_ASSIGN(const TokenId token, sampler_.sample(allowed_, {}));
    candidate.log_probability += log_probability(allowed_, token);
    if (token == search_.tokens.end) {
      candidate.complete = true;
    } else {
      candidate.tokens.push_back(token);
    }
    return token;
  }

  Search& search_;
  Sampler sampler_;
  std::vector<Candidate> candidates_;
  std::vector<SequenceId> live_;
  std::vector<float> allowed_;
};

Status check_options(const SpeechDecoder& decoder, const DecodeOptions& options) {
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
    return make_error(ErrorCode::usage,
                      cat("temperature is ", options.temperature, ", but must be 0 or more"));
  }
  const std::uint32_t sequences = options.temperature > 0 ? options.best_of : options.beams;
  if (sequences == 0 || sequences > decoder.max_sequences()) {
    return make_error(ErrorCode::usage,
                      cat(sequences, " answers side by side, but there is room for 1 to ",
                          decoder.max_sequences()));
  }
  return {};
}

}  // namespace

Status check_not_interrupted(const DecodeOptions& options) {
  if (options.interrupted && options.interrupted()) {
    return make_error(ErrorCode::interrupted, "stopped before the end");
  }
  return {};
}

Result<std::vector<Candidate>> sample_candidates(Search& search) {
  SamplerOptions options;
  options.temperature = search.options.temperature;
  options.seed = search.options.seed;
  APR_ASSIGN(Sampler sampler, Sampler::create(options));
  const std::uint32_t count = options.temperature > 0 ? search.options.best_of : 1;
  return Draws(search, std::move(sampler), count).run();
}

Result<SpeechPrompt> speech_prompt(const SpeechTokens& tokens, const DecodeOptions& options,
                                   std::uint32_t context) {
  SpeechPrompt prompt;
  if (!options.previous.empty()) {
    if (!tokens.previous) {
      return make_error(ErrorCode::unsupported,
                        "the model has no token <|startofprev|> for the text said before");
    }
    const std::size_t room = std::max(context / 2, 1U) - 1;
    const std::size_t kept = std::min(options.previous.size(), room);
    prompt.tokens.push_back(*tokens.previous);
    prompt.tokens.insert(prompt.tokens.end(),
                         options.previous.end() - static_cast<std::ptrdiff_t>(kept),
                         options.previous.end());
  }
  prompt.start = static_cast<std::uint32_t>(prompt.tokens.size());
  prompt.tokens.push_back(tokens.start);
  if (tokens.multilingual()) {
    if (!options.language) {
      return make_error(ErrorCode::usage, "the language spoken is not given");
    }
    const std::optional<TokenId> task =
        options.task == SpeechTask::transcribe ? tokens.transcribe : tokens.translate;
    if (!task) {
      return make_error(ErrorCode::unsupported,
                        cat("the model has no token <|", name_of(options.task), "|>"));
    }
    prompt.tokens.push_back(*options.language);
    prompt.tokens.push_back(*task);
  } else if (options.task != SpeechTask::transcribe) {
    return make_error(ErrorCode::unsupported, "the model knows one language and cannot translate");
  }
  if (options.timestamps) {
    if (tokens.timestamps == 0) {
      return make_error(ErrorCode::unsupported, "the model has no timestamps");
    }
  } else if (tokens.no_timestamps) {
    prompt.tokens.push_back(*tokens.no_timestamps);
  }
  if (prompt.tokens.size() >= context) {
    return make_error(ErrorCode::load, cat("the prompt of ", prompt.tokens.size(),
                                           " tokens leaves no room in a context of ", context));
  }
  return prompt;
}

Result<DecodedChunk> decode_chunk(SpeechDecoder& decoder, const SpeechTokens& tokens,
                                  const DecodeOptions& options) {
  APR_TRY(check_options(decoder, options));
  const std::uint32_t context = decoder.context();
  APR_ASSIGN(const SpeechPrompt prompt, speech_prompt(tokens, options, context));
  const auto last = static_cast<std::uint32_t>(prompt.tokens.size() - 1);
  std::vector<std::uint32_t> rows{prompt.start};
  if (last != prompt.start) rows.push_back(last);
  APR_ASSIGN(const std::span<const float> logits, decoder.begin(prompt.tokens, rows));

  const std::size_t vocabulary = decoder.vocab_size();
  DecodedChunk chunk;
  if (tokens.no_speech) {
    chunk.no_speech_probability =
        std::exp(log_probability(logits.first(vocabulary), *tokens.no_speech));
  }
  const std::span<const float> after = logits.last(vocabulary);
  const LogitRules rules(tokens, options.timestamps);
  const std::uint32_t wanted = options.max_tokens > 0 ? options.max_tokens : context / 2;
  Search search{decoder,
                tokens,
                rules,
                options,
                std::min(wanted, context - static_cast<std::uint32_t>(prompt.tokens.size())),
                {after.begin(), after.end()}};
  const bool beams = options.temperature == 0 && options.beams > 1;
  APR_ASSIGN(std::vector<Candidate> candidates,
             beams ? beam_candidates(search) : sample_candidates(search));
  const auto best = std::max_element(
      candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
        return score_of(a, options.length_penalty) < score_of(b, options.length_penalty);
      });
  if (best == candidates.end()) {
    return make_error(ErrorCode::inference, "the decoder found no answer");
  }
  chunk.average_log_probability =
      best->log_probability / static_cast<double>(best->tokens.size() + 1);
  chunk.complete = best->complete;
  chunk.tokens = std::move(best->tokens);
  return chunk;
}

Result<LanguageGuess> detect_language(SpeechDecoder& decoder, const SpeechTokens& tokens) {
  if (!tokens.multilingual()) {
    return make_error(ErrorCode::unsupported, "the model knows one language only");
  }
  const std::uint32_t row = 0;
  APR_ASSIGN(const std::span<const float> logits, decoder.begin({&tokens.start, 1}, {&row, 1}));
  const SpokenLanguage* best = nullptr;
  for (const SpokenLanguage& language : tokens.languages) {
    const float logit = logits[static_cast<std::size_t>(language.token)];
    if (std::isnan(logit)) {
      return make_error(ErrorCode::inference,
                        cat("the logit of language ", language.code, " is not a number"));
    }
    if (best == nullptr || logit > logits[static_cast<std::size_t>(best->token)]) best = &language;
  }
  const double largest = logits[static_cast<std::size_t>(best->token)];
  double sum = 0;
  for (const SpokenLanguage& language : tokens.languages) {
    sum +=
        std::exp(static_cast<double>(logits[static_cast<std::size_t>(language.token)]) - largest);
  }
  return LanguageGuess{*best, 1.0 / sum};
}

}  // namespace apr

// A Whisper model hears 30 s at once. A longer recording is read with a window that starts at 0.
// Where the answer has timestamps and its last segment is not complete (the answer does not end
// with a single timestamp), the next window starts where the last complete segment ended, so that
// what was cut in half is heard again as a whole; otherwise the window moves on by its length.
// Following Radford et al. 2022, section 4.5, and the reference implementation's thresholds.
#include "core/speech/transcribe.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/cat.h"
#include "core/base/checked.h"

namespace apr {

namespace {

/// Text drawn above this is not worth continuing from.
constexpr double kTrustedTemperature = 0.5;

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

struct Attempt {
  DecodedChunk chunk;
  double temperature = 0;
  double compression_ratio = 0;
};

class Transcriber {
 public:
  Transcriber(SpeechModel& model, const Tokenizer& tokenizer, const SpeechTokens& tokens,
              const SpeechFeatures& features, const TranscribeOptions& options)
      : model_(model),
        tokenizer_(tokenizer),
        tokens_(tokens),
        features_(features),
        options_(options) {}

  Result<Transcript> run() {
    APR_TRY(prepare());
    std::uint64_t seek = 0;
    while (seek < features_.frames) {
      const std::uint64_t size = std::min(features_.chunk, features_.frames - seek);
      APR_TRY(model_.hear(window(seek)));
      if (tokens_.multilingual() && !decode_.language) APR_TRY(choose_language());
      APR_ASSIGN(const Attempt attempt, decode());
      std::uint64_t step = size;
      std::vector<TranscriptSegment> found;
      if (!is_silence(attempt.chunk)) {
        APR_ASSIGN(step, cut(attempt, seek, size, found));
      }
      remember(attempt, found);
      for (TranscriptSegment& segment : found) {
        if (options_.on_segment) options_.on_segment(segment);
        transcript_.segments.push_back(std::move(segment));
      }
      seek += step;
      if (options_.on_progress) {
        options_.on_progress(std::min(seek, features_.frames), features_.frames);
      }
    }
    return std::move(transcript_);
  }

 private:
  Status prepare() {
    const auto needed = checked_mul(features_.chunk, features_.features);
    const std::uint64_t rows =
        features_.features == 0 ? 0 : features_.values.size() / features_.features;
    if (!needed || *needed == 0 || features_.frames_per_state == 0 || rows < features_.frames ||
        rows - features_.frames < (features_.frames > features_.chunk
                                       ? features_.chunk
                                       : features_.chunk - features_.frames)) {
      return make_error(ErrorCode::inference, "the features are not followed by enough silence");
    }
    if (options_.temperatures.empty()) {
      return make_error(ErrorCode::usage, "there is no temperature to decode at");
    }
    const bool reach = tokens_.timestamps > features_.chunk / features_.frames_per_state;
    decode_.timestamps = options_.timestamps == TimestampUse::always ||
                         (options_.timestamps == TimestampUse::when_cutting && reach &&
                          features_.frames > features_.chunk);
    decode_.language = options_.language;
    decode_.task = options_.task;
    decode_.length_penalty = options_.length_penalty;
    decode_.interrupted = options_.interrupted;
    transcript_.timestamps = decode_.timestamps;
    if (decode_.language) {
      for (const SpokenLanguage& language : tokens_.languages) {
        if (language.token == *decode_.language) transcript_.language = language;
      }
    }
    return {};
  }

  std::span<const float> window(std::uint64_t seek) const {
    const std::span<const float> values = features_.values;
    return values.subspan(seek * features_.features, features_.chunk * features_.features);
  }

  /// The language of the first chunk is that of the whole recording.
  Status choose_language() {
    APR_ASSIGN(const LanguageGuess guess, detect_language(model_, tokens_));
    decode_.language = guess.language.token;
    transcript_.language = guess.language;
    transcript_.language_probability = guess.probability;
    return {};
  }

  Result<std::string> text_of(std::span<const TokenId> ids) const {
    std::vector<TokenId> text;
    for (const TokenId id : ids) {
      if (tokens_.is_text(id)) text.push_back(id);
    }
    return tokenizer_.decode(text, true);
  }

  /// Greedy or by beams first; drawn, ever more freely, while the answer looks wrong.
  Result<Attempt> decode() {
    Attempt attempt;
    for (const double temperature : options_.temperatures) {
      decode_.temperature = temperature;
      decode_.beams = options_.beams;
      decode_.best_of = options_.best_of;
      // Every chunk and temperature draws other numbers.
      decode_.seed = options_.seed + draws_++;
      attempt.temperature = temperature;
      APR_ASSIGN(attempt.chunk, decode_chunk(model_, tokens_, decode_));
      if (options_.compression_ratio) {
        APR_ASSIGN(const std::string text, text_of(attempt.chunk.tokens));
        attempt.compression_ratio = options_.compression_ratio(text);
      }
      if (!looks_wrong(attempt)) break;
    }
    return attempt;
  }

  bool is_guess(const DecodedChunk& chunk) const {
    return options_.log_probability_threshold &&
           chunk.average_log_probability < *options_.log_probability_threshold;
  }

  bool looks_wrong(const Attempt& attempt) const {
    const DecodedChunk& chunk = attempt.chunk;
    const bool repeats = options_.compression_ratio_threshold && options_.compression_ratio &&
                         attempt.compression_ratio > *options_.compression_ratio_threshold;
    if (!repeats && !is_guess(chunk)) return false;
    return !(is_guess(chunk) && sounds_silent(chunk));
  }

  bool sounds_silent(const DecodedChunk& chunk) const {
    return options_.no_speech_threshold &&
           chunk.no_speech_probability > *options_.no_speech_threshold;
  }

  bool is_silence(const DecodedChunk& chunk) const {
    return sounds_silent(chunk) && (!options_.log_probability_threshold || is_guess(chunk));
  }

  std::uint64_t states_at(TokenId token) const {
    return static_cast<std::uint64_t>(token - tokens_.first_timestamp);
  }

  double seconds(std::uint64_t frames) const {
    return static_cast<double>(frames) * features_.seconds_per_frame;
  }

  Status add(const Attempt& attempt, std::uint64_t seek, std::uint64_t start, std::uint64_t end,
             std::span<const TokenId> tokens, std::vector<TranscriptSegment>& found) const {
    TranscriptSegment segment;
    APR_ASSIGN(segment.text, text_of(tokens));
    if (start >= end || is_blank(segment.text)) return {};
    segment.start = seconds(seek + start);
    segment.end = seconds(seek + end);
    segment.tokens.assign(tokens.begin(), tokens.end());
    segment.chunk_start = seconds(seek);
    segment.temperature = attempt.temperature;
    segment.average_log_probability = attempt.chunk.average_log_probability;
    segment.compression_ratio = attempt.compression_ratio;
    segment.no_speech_probability = attempt.chunk.no_speech_probability;
    found.push_back(std::move(segment));
    return {};
  }

  /// Makes segments of an answer; returns how many frames were dealt with.
  Result<std::uint64_t> cut(const Attempt& attempt, std::uint64_t seek, std::uint64_t size,
                            std::vector<TranscriptSegment>& found) const {
    const std::span<const TokenId> answer = attempt.chunk.tokens;
    const auto is_time = [&](std::size_t i) { return tokens_.is_timestamp(answer[i]); };
    const std::size_t length = decode_.timestamps ? answer.size() : 0;
    // Segments end where one timestamp follows another.
    std::vector<std::size_t> ends;
    for (std::size_t i = 1; i < length; ++i) {
      if (is_time(i - 1) && is_time(i)) ends.push_back(i);
    }
    const bool whole = length >= 2 && is_time(length - 1) && !is_time(length - 2);
    if (ends.empty()) {
      std::uint64_t end = size;
      for (std::size_t i = length; i-- > 0;) {
        if (!is_time(i)) continue;
        if (states_at(answer[i]) > 0) end = states_at(answer[i]) * features_.frames_per_state;
        break;
      }
      APR_TRY(add(attempt, seek, 0, end, answer, found));
      return size;
    }
    if (whole) ends.push_back(length);
    std::size_t begin = 0;
    std::uint64_t last = 0;
    for (const std::size_t end : ends) {
      const std::span<const TokenId> part = answer.subspan(begin, end - begin);
      const std::uint64_t from =
          tokens_.is_timestamp(part.front()) ? states_at(part.front()) : last;
      last = states_at(part.back());
      APR_TRY(add(attempt, seek, from * features_.frames_per_state,
                  last * features_.frames_per_state, part, found));
      begin = end;
    }
    const std::uint64_t frames = last * features_.frames_per_state;
    // A last segment that began where the window does is not heard again: that would never end.
    return whole || frames == 0 ? size : frames;
  }

  void remember(const Attempt& attempt, std::span<const TranscriptSegment> found) {
    if (!options_.condition_on_previous) return;
    if (attempt.temperature > kTrustedTemperature) {
      decode_.previous.clear();
      return;
    }
    std::vector<TokenId>& said = decode_.previous;
    for (const TranscriptSegment& segment : found) {
      said.insert(said.end(), segment.tokens.begin(), segment.tokens.end());
    }
    // The prompt takes less than a context of it.
    const std::size_t kept = std::min<std::size_t>(said.size(), model_.context());
    said.erase(said.begin(), said.end() - static_cast<std::ptrdiff_t>(kept));
  }

  SpeechModel& model_;
  const Tokenizer& tokenizer_;
  const SpeechTokens& tokens_;
  const SpeechFeatures& features_;
  const TranscribeOptions& options_;
  DecodeOptions decode_;
  Transcript transcript_;
  std::uint64_t draws_ = 0;
};

}  // namespace

std::string Transcript::text() const {
  std::string text;
  for (const TranscriptSegment& segment : segments) text += segment.text;
  return text;
}

Result<SpeechFeatures> speech_features(const LogMel& log_mel, std::span<const float> samples,
                                       std::uint32_t frames_per_state) {
  const MelOptions& options = log_mel.options();
  SpeechFeatures features;
  features.features = options.feature_size;
  features.chunk = options.chunk_frames();
  features.frames = (samples.size() + options.hop_length - 1) / options.hop_length;
  features.seconds_per_frame = options.seconds_per_frame();
  features.frames_per_state = frames_per_state;
  const std::uint64_t chunk = options.chunk_samples();
  const std::uint64_t padded =
      samples.size() <= chunk
          ? chunk
          : (samples.size() / options.hop_length + 1) * options.hop_length + chunk;
  APR_ASSIGN(features.values, log_mel.features(samples, padded));
  return features;
}

Result<Transcript> transcribe(SpeechModel& model, const Tokenizer& tokenizer,
                              const SpeechTokens& tokens, const SpeechFeatures& features,
                              const TranscribeOptions& options) {
  return Transcriber(model, tokenizer, tokens, features, options).run();
}

}  // namespace apr

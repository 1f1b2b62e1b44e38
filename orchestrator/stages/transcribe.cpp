// apr transcribe: speech -> text.
#include <algorithm>
#include <cmath>
#include <ostream>
#include <utility>

#include "core/base/cat.h"
#include "core/base/number.h"
#include "core/platform/clock.h"
#include "core/platform/file.h"
#include "core/speech/session_speech.h"
#include "core/text/utf8.h"
#include "orchestrator/cli/format.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/audio.h"
#include "orchestrator/stages/generation.h"
#include "orchestrator/stages/heard_frames.h"
#include "orchestrator/stages/load_model.h"
#include "orchestrator/stages/open_package.h"
#include "orchestrator/stages/params.h"
#include "orchestrator/stages/transcript_format.h"
#include "orchestrator/stages/verbs.h"

namespace apr {

namespace {

/// More than any speech model's decoder has; the executable plans memory for it.
constexpr std::uint32_t kMaxContext = 1024;

Param count_param(std::string name, std::int64_t fallback, std::int64_t maximum, std::string help) {
  Param param;
  param.name = std::move(name);
  param.type = ParamType::integer;
  param.fallback = Json(fallback);
  param.minimum = 1;
  param.maximum = static_cast<double>(maximum);
  param.help = std::move(help);
  return param;
}

Param threshold_param(std::string name, double fallback, std::string help) {
  Param param;
  param.name = std::move(name);
  param.type = ParamType::number;
  param.fallback = Json(fallback);
  param.help = std::move(help);
  return param;
}

Param choice_param(std::string name, std::vector<std::string> choices, std::string help) {
  Param param;
  param.name = std::move(name);
  param.type = ParamType::choice;
  param.fallback = Json(choices.front());
  param.choices = std::move(choices);
  param.help = std::move(help);
  return param;
}

void add_decoding_params(std::vector<Param>& params) {
  params.push_back(count_param("beam", 1, 32, "answers followed side by side; 1 is greedy"));
  Param temperature = text_param(
      "temperature", "LIST",
      "temperatures to try until an answer passes the thresholds; 0 takes the likeliest");
  temperature.fallback = Json("0,0.2,0.4,0.6,0.8,1");
  params.push_back(std::move(temperature));
  params.push_back(count_param("best-of", 5, 32,
                               "answers drawn at a temperature above 0; the likeliest counts"));
  params.push_back(threshold_param("compression-threshold", 2.4,
                                   "an answer that deflates by more than this repeats itself"));
  params.push_back(threshold_param("logprob-threshold", -1.0,
                                   "an answer below this log-probability per token is a guess"));
  Param silence = threshold_param("no-speech-threshold", 0.6,
                                  "a guess where silence is likelier than this is silence");
  silence.minimum = 0;
  params.push_back(std::move(silence));
  params.push_back(flag_param("condition-on-previous", "give each chunk the text before it"));
  Param seed;
  seed.name = "seed";
  seed.type = ParamType::integer;
  seed.fallback = Json(0);
  seed.minimum = 0;
  seed.help = "of the random numbers; the same seed gives the same text";
  params.push_back(std::move(seed));
}

VerbInfo describe() {
  VerbInfo info;
  info.name = "transcribe";
  info.summary = "write down the speech in a sound file";
  info.details =
      "Works with speech models (Whisper). The sound may have any rate, width and number of "
      "channels; WAV, FLAC, Ogg, MP3 and AIFF are read. - reads it from standard input.\n\n"
      "A model hears 30 seconds at once. Longer sound is cut where the model's own timestamps end "
      "a "
      "segment. A model without timestamps for all of the 30 seconds cannot say where: its sound "
      "is "
      "cut every 30 seconds, and its subtitles are as long. --timestamps shows when each segment "
      "is spoken, whatever the model's timestamps are worth.\n\n"
      "An answer that repeats itself or is a guess is tried again at the next temperature.";
  info.params.push_back(model_param());
  Param audio = text_param("audio", "AUDIO", "the sound file; - reads standard input");
  audio.role = ParamRole::input;
  audio.required = true;
  audio.position = 1;
  info.params.push_back(std::move(audio));
  Param language =
      text_param("language", "CODE", "what is spoken: en, de, ...; auto listens first");
  language.fallback = Json("auto");
  info.params.push_back(std::move(language));
  info.params.push_back(
      choice_param("task", {"transcribe", "translate"}, "translate: into English"));
  info.params.push_back(flag_param("timestamps", "say when each segment is spoken"));
  info.params.push_back(
      choice_param("format", {"text", "srt", "vtt", "json"}, "how the transcript is written"));
  add_decoding_params(info.params);
  Param output = output_param("the file to write, instead of standard output");
  output.required = false;
  info.params.push_back(std::move(output));
  info.params.push_back(force_param());
  info.params.push_back(mode_param(Mode::deterministic));
  info.params.push_back(backend_param());
  info.params.push_back(allow_synthetic_param());
  info.examples = {
      {"apr transcribe whisper.apr talk.mp3", "the text, as it is understood"},
      {"apr transcribe whisper.apr talk.flac --timestamps --format srt -o talk.srt", "subtitles"},
      {"apr transcribe whisper.apr rede.wav --language de --task translate", "German into English"},
      {"ffmpeg -i film.mkv -f wav - | apr transcribe whisper.apr - --format json",
       "the sound of a film, with times and probabilities"}};
  info.metrics = {"audio_seconds", "tokens", "avg_logprob", "speed"};
  return info;
}

Result<SpeechTokens> speech_tokens(const Model& model) {
  APR_ASSIGN(const Tokenizer* tokenizer, model.tokenizer());
  const Package& package = model.package();
  APR_ASSIGN(const Json generation, read_generation_config(package));
  const ModelFacts& facts = model.facts();
  return read_speech_tokens({package.config(), generation, *tokenizer, facts.vocab_size,
                             static_cast<std::uint32_t>(facts.states_of(facts.max_frames)),
                             package.path()});
}

Result<std::optional<TokenId>> chosen_language(const std::string& code,
                                               const SpeechTokens& tokens) {
  if (code == "auto") return std::optional<TokenId>();
  if (const SpokenLanguage* language = tokens.find_language(code)) {
    return std::optional<TokenId>(language->token);
  }
  if (!tokens.multilingual()) {
    // Whisper's models of one language are all English.
    if (code == "en") return std::optional<TokenId>();
    return make_error(ErrorCode::usage, cat("--language ", code, ": the model knows English only"));
  }
  return make_error(ErrorCode::usage,
                    cat("--language ", printable(code), " is none that the model knows"), {},
                    cat("auto, or one of ", tokens.language_codes()));
}

Result<std::vector<double>> temperatures_of(const std::string& list) {
  std::vector<double> temperatures;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    std::string_view word = std::string_view(list).substr(begin, end - begin);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    const std::optional<double> value = parse_double(word);
    if (!value || !(*value >= 0) || *value > 100) {
      return make_error(ErrorCode::usage,
                        cat("--temperature: '", printable(word), "' is no temperature"), {},
                        "write one number or several from 0 on: --temperature 0,0.4,0.8");
    }
    temperatures.push_back(*value);
    begin = end + 1;
  }
  return temperatures;
}

TranscriptFormat format_of(const std::string& name) {
  if (name == "srt") return TranscriptFormat::srt;
  if (name == "vtt") return TranscriptFormat::vtt;
  return name == "json" ? TranscriptFormat::json : TranscriptFormat::text;
}

/// Times are shown by subtitles, but asked of the model only where that helps.
Result<TimestampUse> timestamp_use(const Values& params, const SpeechTokens& tokens,
                                   const ModelFacts& facts) {
  if (params.flag("timestamps")) {
    if (tokens.timestamps == 0) {
      return make_error(ErrorCode::unsupported, "--timestamps: the model has no timestamps");
    }
    return TimestampUse::always;
  }
  const bool subtitles = params.text("format") == "srt" || params.text("format") == "vtt";
  const bool reach = tokens.timestamps > facts.states_of(facts.max_frames);
  return subtitles && reach ? TimestampUse::always : TimestampUse::when_cutting;
}

class Transcribe final : public Stage {
 public:
  const VerbInfo& info() const override { return info_; }

  std::vector<std::pair<std::string, std::string>> plugins_used(
      const Values& params) const override {
    return {{"backend", params.text("backend")}};
  }

  Result<Outcome> run(RunContext& context) override {
    const Values& params = context.params;
    APR_ASSIGN(TranscribeOptions options, options_of(params));
    if (params.has("output")) {
      APR_TRY(check_writable_target(params.text("output"), params.flag("force")));
    }
    APR_ASSIGN(Package package, open_any(context, params.text("model")));
    APR_ASSIGN(const Graph graph, graph_of(package, context.registry()));
    if (graph.facts().max_frames == 0) {
      return make_error(
          ErrorCode::unsupported,
          cat("apr transcribe works with speech models; ", graph.facts().architecture, " is none"),
          package.path());
    }
    APR_ASSIGN(const LogMel front_end, front_end_of(package, graph));
    const std::uint32_t rate = front_end.options().sampling_rate;
    APR_ASSIGN(const Audio audio,
               read_audio(params.text("audio"), rate, {}, forward_progress(context)));
    context.progress.finish();

    CompileOptions compile;
    compile.max_tokens = kMaxContext;
    compile.max_logit_rows = std::max({2U, options.beams, options.best_of});
    APR_ASSIGN(const Model model, load_model(context, std::move(package), compile));
    APR_ASSIGN(const SpeechTokens tokens, speech_tokens(model));
    APR_ASSIGN(options.language, chosen_language(params.text("language"), tokens));
    APR_ASSIGN(options.timestamps, timestamp_use(params, tokens, model.facts()));
    return transcribe_audio(context, model, tokens, front_end, audio, options);
  }

  void print(const Json&, std::ostream&, bool) const override {}

 private:
  static Result<TranscribeOptions> options_of(const Values& params) {
    TranscribeOptions options;
    APR_ASSIGN(options.temperatures, temperatures_of(params.text("temperature")));
    options.task =
        params.text("task") == "translate" ? SpeechTask::translate : SpeechTask::transcribe;
    options.beams = static_cast<std::uint32_t>(params.integer("beam"));
    options.best_of = static_cast<std::uint32_t>(params.integer("best-of"));
    options.seed = static_cast<std::uint64_t>(params.integer("seed"));
    options.condition_on_previous = params.flag("condition-on-previous");
    options.compression_ratio_threshold = params.number("compression-threshold");
    options.log_probability_threshold = params.number("logprob-threshold");
    options.no_speech_threshold = params.number("no-speech-threshold");
    options.compression_ratio = compression_ratio;
    options.interrupted = [] { return g_interrupted.load(); };
    return options;
  }

  static Result<Outcome> transcribe_audio(RunContext& context, const Model& model,
                                          const SpeechTokens& tokens, const LogMel& front_end,
                                          const Audio& audio, TranscribeOptions& options) {
    const Values& params = context.params;
    const std::uint64_t begin = monotonic_ns();
    APR_ASSIGN(const SpeechFeatures features,
               speech_features(front_end, audio.samples, model.facts().frames_per_state));
    const std::uint32_t sequences = std::max(options.beams, options.best_of);
    const std::uint32_t length = std::min(model.facts().max_position_embeddings, kMaxContext);
    APR_ASSIGN(Session session, model.start(length, sequences));
    SessionSpeech speech(session, sequences);
    APR_ASSIGN(const Tokenizer* tokenizer, model.tokenizer());

    const TranscriptFormat format = format_of(params.text("format"));
    const bool times = params.flag("timestamps");
    // Text appears as it is understood.
    const bool stream = !context.json && !params.has("output") && format == TranscriptFormat::text;
    if (stream) {
      options.on_segment = [&](const TranscriptSegment& segment) {
        context.progress.finish();
        context.out << terminal_text(segment_line(segment, times), context.terminal) << '\n'
                    << std::flush;
      };
    }
    const std::string what = cat("listening to ", base_name(params.text("audio")));
    options.on_progress = [&](std::uint64_t done, std::uint64_t total) {
      context.progress.update(what, done, total);
    };
    auto transcript = transcribe(speech, *tokenizer, tokens, features, options);
    context.progress.finish();
    if (!transcript) return std::move(transcript).error();
    const double seconds = static_cast<double>(monotonic_ns() - begin) * 1e-9;

    if (params.has("output") || (!stream && !context.json)) {
      const std::string file =
          transcript_file(*transcript, format, times, audio.seconds(), options.task);
      if (params.has("output")) {
        APR_ASSIGN(AtomicFile output,
                   AtomicFile::create(params.text("output"), params.flag("force")));
        APR_TRY(output.write(valid_utf8(file)));
        APR_TRY(output.commit());
      } else {
        context.out << terminal_text(file, context.terminal) << std::flush;
      }
    }
    return Outcome{.report = report_of(context, model, audio, *transcript, options.task, seconds)};
  }

  static Json report_of(const RunContext& context, const Model& model, const Audio& audio,
                        const Transcript& transcript, SpeechTask task, double seconds) {
    const Values& params = context.params;
    Json report = Json::object({{"model", params.text("model")}, {"audio", params.text("audio")}});
    const Json written = transcript_json(transcript, audio.seconds(), task);
    for (const auto& [name, value] : written.as_object()) report.set(name, value);
    double log_probability = 0;
    std::uint64_t count = 0;
    for (const TranscriptSegment& segment : transcript.segments) {
      count += segment.tokens.size();
      log_probability +=
          segment.average_log_probability * static_cast<double>(segment.tokens.size());
    }
    report.set("audio_seconds", audio.seconds());
    report.set("audio_format", audio.format);
    report.set("audio_rate", audio.source_rate);
    report.set("audio_channels", audio.source_channels);
    report.set("tokens", count);
    report.set("avg_logprob",
               count > 0 ? Json(log_probability / static_cast<double>(count)) : Json());
    report.set("seconds", seconds);
    report.set("speed", seconds > 0 ? audio.seconds() / seconds : 0);
    report.set("backend", model.executable()->description());
    if (params.has("output")) report.set("output", params.text("output"));
    return report;
  }

  VerbInfo info_ = describe();
};

}  // namespace

std::unique_ptr<Verb> make_transcribe() {
  return std::make_unique<Transcribe>();
}

}  // namespace apr

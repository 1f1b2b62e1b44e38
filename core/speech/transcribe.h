// Speech of any length -> text: chunk after chunk, each decoded again where the first try looks
// wrong.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"
#include "core/speech/decode.h"
#include "core/speech/mel.h"
#include "core/text/tokenizer.h"

namespace apr {

/// A decoder and the encoder in front of it.
class SpeechModel : public SpeechDecoder {
 public:
  /// What the sequences hold is forgotten; the next ones hear these frames (a whole chunk of them,
  /// [frames][features]).
  virtual Status hear(std::span<const float> frames) noexcept = 0;
};

struct TranscriptSegment {
  double start = 0;  ///< seconds
  double end = 0;
  std::string text;  ///< as the tokens spell it, a leading space included
  std::vector<TokenId> tokens;
  // Of the chunk that the segment is part of:
  double chunk_start = 0;
  double temperature = 0;
  double average_log_probability = 0;
  double compression_ratio = 0;
  double no_speech_probability = 0;
};

struct APR_API Transcript {
  std::optional<SpokenLanguage> language;      ///< of a multilingual model
  std::optional<double> language_probability;  ///< if it was detected
  bool timestamps = false;                     ///< the segments' times are the model's
  std::vector<TranscriptSegment> segments;
  std::string text() const;
};

/// When the model's own times are asked for.
enum class TimestampUse : std::uint8_t {
  never,
  always,
  /// For sound longer than a chunk, to cut it between segments; by a model whose timestamps reach
  /// the end of a chunk. Otherwise sound is cut at the end of each chunk.
  when_cutting,
};

struct TranscribeOptions {
  std::optional<TokenId> language;  ///< of a multilingual model; nothing: it is detected
  SpeechTask task = SpeechTask::transcribe;
  TimestampUse timestamps = TimestampUse::when_cutting;
  std::uint32_t beams = 1;
  std::uint32_t best_of = 1;
  std::optional<double> length_penalty;
  std::uint64_t seed = 0;
  /// Gives each chunk the text before it, unless that was drawn at a temperature above 0.5.
  bool condition_on_previous = false;

  /// Tried in this order until an answer passes the thresholds; the last is taken as it is.
  std::vector<double> temperatures{0.0, 0.2, 0.4, 0.6, 0.8, 1.0};
  /// An answer that compresses better repeats itself.
  std::optional<double> compression_ratio_threshold = 2.4;
  /// An answer below this average is a guess.
  std::optional<double> log_probability_threshold = -1.0;
  /// A guess where silence is likelier than this is silence.
  std::optional<double> no_speech_threshold = 0.6;

  /// Bytes of a text / bytes of it deflated. None: the ratio is not looked at (and told as 0).
  std::function<double(std::string_view)> compression_ratio;
  std::function<void(const TranscriptSegment&)> on_segment;
  std::function<void(std::uint64_t frames, std::uint64_t total)> on_progress;
  std::function<bool()> interrupted;
};

/// Features of a recording: `frames` of them are sound, followed by at least chunk - frames or,
/// where sound is longer than a chunk, by a whole chunk of silence.
struct SpeechFeatures {
  std::vector<float> values;  ///< [rows][features]
  std::uint32_t features = 0;
  std::uint64_t frames = 0;
  std::uint64_t chunk = 0;  ///< frames that the model hears at once
  double seconds_per_frame = 0;
  std::uint32_t frames_per_state = 1;  ///< a timestamp counts states
};
/// A recording within a chunk is padded to it, a longer one by a chunk.
APR_API Result<SpeechFeatures> speech_features(const LogMel& log_mel,
                                               std::span<const float> samples,
                                               std::uint32_t frames_per_state);

/// The sequential algorithm of Radford et al. 2022, section 4.5.
APR_API Result<Transcript> transcribe(SpeechModel& model, const Tokenizer& tokenizer,
                                      const SpeechTokens& tokens, const SpeechFeatures& features,
                                      const TranscribeOptions& options);

}  // namespace apr

// Transcripts as text, subtitles and JSON.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/json.h"
#include "core/speech/transcribe.h"

namespace apr {

enum class TranscriptFormat : std::uint8_t { text, srt, vtt, json };

/// A segment as a line of text, or with its times before it.
std::string segment_line(const TranscriptSegment& segment, bool times);

/// text, language, segments with times, tokens and how sure the model was.
Json transcript_json(const Transcript& transcript, double seconds, SpeechTask task);

/// The whole transcript as a file of that format. `times` is for text only.
std::string transcript_file(const Transcript& transcript, TranscriptFormat format, bool times,
                            double seconds, SpeechTask task);

/// Bytes of a text / bytes of it deflated (zlib, its usual level); 0 for an empty text.
double compression_ratio(std::string_view text);

}  // namespace apr

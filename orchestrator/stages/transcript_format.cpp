#include "orchestrator/stages/transcript_format.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/cat.h"

namespace apr {

namespace {

std::string digits(std::uint64_t value, std::size_t width) {
  std::string text = cat(value);
  if (text.size() < width) text.insert(0, width - text.size(), '0');
  return text;
}

/// 00:01:02,345; without hours where there are none and they may be left out.
std::string clock(double seconds, char point, bool hours) {
  const auto all = static_cast<std::uint64_t>(std::llround(std::max(seconds, 0.0) * 1000));
  const std::uint64_t hour = all / 3'600'000;
  std::string text = hours || hour > 0 ? cat(digits(hour, 2), ":") : std::string();
  return text + cat(digits(all / 60'000 % 60, 2), ":", digits(all / 1000 % 60, 2), point,
                    digits(all % 1000, 3));
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(kSpace) - begin + 1));
}

/// One line: a line end would end a subtitle, and an arrow look like its times.
std::string subtitle(std::string_view text, bool markup) {
  std::string line;
  for (const char c : trimmed(text)) {
    if (c == '\n' || c == '\r') {
      line += ' ';
    } else if (markup && c == '&') {
      line += "&amp;";
    } else if (markup && c == '<') {
      line += "&lt;";
    } else if (markup && c == '>') {
      line += "&gt;";
    } else if (c == '>' && line.ends_with("--")) {
      line += "\u203a";  // ›
    } else {
      line += c;
    }
  }
  return line;
}

std::string srt(const Transcript& transcript) {
  std::string out;
  std::size_t number = 0;
  for (const TranscriptSegment& segment : transcript.segments) {
    out += cat(++number, "\n", clock(segment.start, ',', true), " --> ",
               clock(segment.end, ',', true), "\n", subtitle(segment.text, false), "\n\n");
  }
  return out;
}

std::string vtt(const Transcript& transcript) {
  std::string out = "WEBVTT\n\n";
  for (const TranscriptSegment& segment : transcript.segments) {
    out += cat(clock(segment.start, '.', true), " --> ", clock(segment.end, '.', true), "\n",
               subtitle(segment.text, true), "\n\n");
  }
  return out;
}

/// Seconds to a thousandth: products of frames and their length carry noise.
double milliseconds(double seconds) {
  return static_cast<double>(std::llround(seconds * 1000)) / 1000;
}

Json segment_json(const TranscriptSegment& segment, std::size_t id) {
  Json tokens = Json::array();
  for (const TokenId token : segment.tokens) tokens.push_back(token);
  return Json::object({{"id", std::uint64_t{id}},
                       {"start", milliseconds(segment.start)},
                       {"end", milliseconds(segment.end)},
                       {"text", segment.text},
                       {"tokens", std::move(tokens)},
                       {"chunk_start", milliseconds(segment.chunk_start)},
                       {"temperature", segment.temperature},
                       {"avg_logprob", segment.average_log_probability},
                       {"compression_ratio", segment.compression_ratio},
                       {"no_speech_prob", segment.no_speech_probability}});
}

}  // namespace

std::string segment_line(const TranscriptSegment& segment, bool times) {
  std::string line = trimmed(segment.text);
  if (!times) return line;
  return cat("[", clock(segment.start, '.', false), " --> ", clock(segment.end, '.', false), "]  ",
             line);
}

Json transcript_json(const Transcript& transcript, double seconds, SpeechTask task) {
  Json json = Json::object({{"text", transcript.text()}, {"task", name_of(task)}});
  if (transcript.language) json.set("language", transcript.language->code);
  if (transcript.language_probability) {
    json.set("language_probability", *transcript.language_probability);
  }
  json.set("duration", milliseconds(seconds));
  json.set("timestamps", transcript.timestamps);
  Json segments = Json::array();
  for (std::size_t i = 0; i < transcript.segments.size(); ++i) {
    segments.push_back(segment_json(transcript.segments[i], i));
  }
  json.set("segments", std::move(segments));
  return json;
}

std::string transcript_file(const Transcript& transcript, TranscriptFormat format, bool times,
                            double seconds, SpeechTask task) {
  switch (format) {
    case TranscriptFormat::srt:
      return srt(transcript);
    case TranscriptFormat::vtt:
      return vtt(transcript);
    case TranscriptFormat::json:
      return transcript_json(transcript, seconds, task).dump(2) + "\n";
    case TranscriptFormat::text:
      break;
  }
  std::string out;
  for (const TranscriptSegment& segment : transcript.segments) {
    out += segment_line(segment, times) + "\n";
  }
  return out;
}

double compression_ratio(std::string_view text) {
  if (text.empty()) return 0;
  uLongf size = compressBound(static_cast<uLong>(text.size()));
  std::vector<Bytef> deflated(size);
  const int problem = compress(deflated.data(), &size, reinterpret_cast<const Bytef*>(text.data()),
                               static_cast<uLong>(text.size()));
  if (problem != Z_OK || size == 0) return 0;  // memory only; then nothing is held against a text
  return static_cast<double>(text.size()) / static_cast<double>(size);
}

}  // namespace apr

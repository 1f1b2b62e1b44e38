#include "orchestrator/stages/transcript_format.h"

#include <catch2/catch.hpp>
#include <string>

using namespace apr;

namespace {

TranscriptSegment segment(double start, double end, std::string text) {
  TranscriptSegment result;
  result.start = start;
  result.end = end;
  result.text = std::move(text);
  result.tokens = {1, 2};
  return result;
}

std::string file(const Transcript& transcript, TranscriptFormat format, bool times = false) {
  return transcript_file(transcript, format, times, 4000, SpeechTask::transcribe);
}

}  // namespace

TEST_CASE("Times are written as each format wants them") {
  Transcript transcript;
  transcript.segments = {segment(0, 1.5, " One"), segment(59.9996, 61.25, " two."),
                         segment(3725.0625, 3726, " three")};
  CHECK(file(transcript, TranscriptFormat::srt) ==
        "1\n00:00:00,000 --> 00:00:01,500\nOne\n\n"
        "2\n00:01:00,000 --> 00:01:01,250\ntwo.\n\n"
        "3\n01:02:05,063 --> 01:02:06,000\nthree\n\n");
  CHECK(file(transcript, TranscriptFormat::vtt) ==
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nOne\n\n"
        "00:01:00.000 --> 00:01:01.250\ntwo.\n\n"
        "01:02:05.063 --> 01:02:06.000\nthree\n\n");
  CHECK(file(transcript, TranscriptFormat::text) == "One\ntwo.\nthree\n");
  CHECK(file(transcript, TranscriptFormat::text, true) ==
        "[00:00.000 --> 00:01.500]  One\n[01:00.000 --> 01:01.250]  two.\n"
        "[01:02:05.063 --> 01:02:06.000]  three\n");
  CHECK(transcript.text() == " One two. three");
}

TEST_CASE("What is said cannot break a subtitle") {
  Transcript transcript;
  transcript.segments = {segment(0, 1, " a\n\n2\n00:00:01,000 --> 00:00:02,000\r\n<b>x & y</b> ")};
  CHECK(file(transcript, TranscriptFormat::srt) ==
        "1\n00:00:00,000 --> 00:00:01,000\n"
        "a  2 00:00:01,000 --\u203a 00:00:02,000  <b>x & y</b>\n\n");
  const std::string vtt = file(transcript, TranscriptFormat::vtt);
  CHECK(vtt.find("a  2 00:00:01,000 --&gt; 00:00:02,000  &lt;b&gt;x &amp; y&lt;/b&gt;\n\n") !=
        std::string::npos);
}

TEST_CASE("JSON holds what there is to know") {
  Transcript transcript;
  transcript.language = SpokenLanguage{"de", 7};
  transcript.language_probability = 0.5;
  transcript.segments = {segment(0.1 + 0.2, 1, " a")};
  const Json json = transcript_json(transcript, 3.00001, SpeechTask::translate);
  CHECK(json["text"].as_string() == " a");
  CHECK(json["task"].as_string() == "translate");
  CHECK(json["language"].as_string() == "de");
  CHECK(json["duration"].as_number() == 3.0);
  const Json& first = json["segments"].as_array()[0];
  CHECK(first["start"].as_number() == 0.3);
  CHECK(first["tokens"].size() == 2);
  CHECK(parse_json(file(transcript, TranscriptFormat::json)).ok());

  const Json nothing = transcript_json({}, 1, SpeechTask::transcribe);
  CHECK_FALSE(nothing.contains("language"));
  CHECK(nothing["segments"].size() == 0);
  CHECK(file({}, TranscriptFormat::srt).empty());
}

TEST_CASE("Compression ratios are those of Python's zlib") {
  CHECK(compression_ratio("") == 0);
  CHECK(compression_ratio("a") == Approx(1.0 / 9));
  CHECK(compression_ratio(" fall beep fly wind ring low") == Approx(28.0 / 36));
  std::string repeated;
  for (int i = 0; i < 300; ++i) repeated += " b";
  CHECK(compression_ratio(repeated) > 30);
}

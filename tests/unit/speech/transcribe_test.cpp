#include <catch2/catch.hpp>
#include <set>

#include "core/base/cat.h"
#include "fake_speech.h"

using namespace apr;
using namespace apr::test;

namespace {

using Tokens = std::vector<TokenId>;

/// Text tokens 0-9 are " a" to " j"; 9 is a space.
const Tokenizer& letters() {
  static const Result<Tokenizer> tokenizer = [] {
    Json vocabulary = Json::object();
    for (int i = 0; i < 10; ++i) {
      vocabulary.set(i == 9 ? "\u0120" : cat("\u0120", static_cast<char>('a' + i)), i);
    }
    vocabulary.set("<|endoftext|>", 10);
    Json added = Json::array();
    added.push_back(Json::object({{"id", 10},
                                  {"content", "<|endoftext|>"},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", false},
                                  {"normalized", false},
                                  {"special", true}}));
    const Json file = Json::object(
        {{"version", "1.0"},
         {"added_tokens", added},
         {"pre_tokenizer", Json::object({{"type", "ByteLevel"},
                                         {"add_prefix_space", false},
                                         {"trim_offsets", true},
                                         {"use_regex", true}})},
         {"decoder", Json::object({{"type", "ByteLevel"}})},
         {"model",
          Json::object({{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}})}});
    return Tokenizer::from_tokenizer_json(file.dump(), "letters");
  }();
  if (!tokenizer.ok()) FAIL(tokenizer.error().to_string());
  return *tokenizer;
}

/// A recording whose frame i has the one feature i; a chunk has 20 frames, a state 2, a frame 0.1
/// s.
SpeechFeatures recording(std::uint64_t frames) {
  SpeechFeatures features;
  features.features = 1;
  features.frames = frames;
  features.chunk = 20;
  features.seconds_per_frame = 0.1;
  features.frames_per_state = 2;
  for (std::uint64_t i = 0; i < std::max<std::uint64_t>(frames, 1) + 20; ++i) {
    features.values.push_back(static_cast<float>(i));
  }
  return features;
}

TranscribeOptions greedy(TimestampUse timestamps = TimestampUse::when_cutting) {
  TranscribeOptions options;
  options.temperatures = {0};
  options.timestamps = timestamps;
  return options;
}

Result<Transcript> transcript_of(FakeSpeech& model, const SpeechFeatures& features,
                                 const TranscribeOptions& options,
                                 const SpeechTokens& tokens = small_tokens()) {
  auto transcript = transcribe(model, letters(), tokens, features, options);
  CHECK(model.mistakes == 0);
  return transcript;
}

TokenId at(int states) {
  return kTime + states;
}

}  // namespace

TEST_CASE("A short recording is one segment, in the language that was heard") {
  FakeSpeech model(scripted({{0.0F, {1, 2, 3}}}));
  const auto transcript = transcript_of(model, recording(7), greedy());
  REQUIRE(transcript.ok());
  CHECK(transcript->text() == " b c d");
  REQUIRE(transcript->segments.size() == 1);
  CHECK(transcript->segments[0].start == 0);
  CHECK(transcript->segments[0].end == Approx(0.7));
  CHECK(transcript->segments[0].tokens == Tokens{1, 2, 3});
  CHECK_FALSE(transcript->timestamps);
  REQUIRE(transcript->language);
  CHECK(transcript->language->code == "en");
  CHECK(*transcript->language_probability > 0.99);
  CHECK(model.prompts ==
        std::vector<Tokens>{{kStart}, {kStart, kEnglish, kTranscribe, kNoTimestamps}});
}

TEST_CASE("A language that is given is not detected") {
  FakeSpeech model(scripted({{0.0F, {1}}}));
  TranscribeOptions options = greedy();
  options.language = kGerman;
  const auto transcript = transcript_of(model, recording(7), options);
  REQUIRE(transcript.ok());
  CHECK(transcript->language->code == "de");
  CHECK_FALSE(transcript->language_probability);
  CHECK(model.prompts.size() == 1);
}

TEST_CASE("A long recording is read chunk after chunk") {
  // The model's timestamps end before a chunk does: it cannot tell where to cut.
  SpeechTokens tokens = small_tokens();
  tokens.timestamps = 10;
  FakeSpeech model(scripted({{0.0F, {1, 2}}, {20.0F, {3}}, {40.0F, {4, 5}}}));
  std::vector<std::uint64_t> progress;
  std::vector<std::string> told;
  TranscribeOptions options = greedy();
  options.on_progress = [&](std::uint64_t done, std::uint64_t total) {
    CHECK(total == 45);
    progress.push_back(done);
  };
  options.on_segment = [&](const TranscriptSegment& segment) { told.push_back(segment.text); };
  const auto transcript = transcript_of(model, recording(45), options, tokens);
  REQUIRE(transcript.ok());
  CHECK(transcript->text() == " b c d e f");
  CHECK(told == std::vector<std::string>{" b c", " d", " e f"});
  CHECK(progress == std::vector<std::uint64_t>{20, 40, 45});
  REQUIRE(transcript->segments.size() == 3);
  CHECK(transcript->segments[2].start == Approx(4.0));
  CHECK(transcript->segments[2].end == Approx(4.5));
  CHECK(model.heard == std::vector<float>{0, 20, 40});
  // The language is looked for once.
  CHECK(model.prompts.size() == 4);
}

TEST_CASE("Timestamps cut segments, and what is incomplete is heard again") {
  // 0.0 b 0.8 | 0.8 c 1.4 | 1.4 d (cut off): the next chunk begins at 1.4 s.
  FakeSpeech model(scripted({{0.0F, {at(0), 1, at(4), at(4), 2, at(7), at(7), 3}},
                             {14.0F, {at(0), 3, 4, at(5)}},
                             {34.0F, {at(0), 5, at(3)}}}));
  const auto transcript = transcript_of(model, recording(40), greedy(TimestampUse::always));
  REQUIRE(transcript.ok());
  CHECK(model.heard == std::vector<float>{0, 14, 34});
  CHECK(transcript->text() == " b c d e f");
  REQUIRE(transcript->segments.size() == 4);
  const auto times = [&](std::size_t i) {
    return std::pair(transcript->segments[i].start, transcript->segments[i].end);
  };
  CHECK(times(0).second == Approx(0.8));
  CHECK(times(1).first == Approx(0.8));
  CHECK(times(1).second == Approx(1.4));
  CHECK(times(2).first == Approx(1.4));
  CHECK(times(2).second == Approx(2.4));
  CHECK(times(3).first == Approx(3.4));
  CHECK(times(3).second == Approx(4.0));
  CHECK(transcript->segments[2].chunk_start == Approx(1.4));
  CHECK(transcript->timestamps);
}

TEST_CASE("An answer that ends with a single timestamp is complete") {
  FakeSpeech model(
      scripted({{0.0F, {at(1), 1, at(4), at(5), 2, at(7)}}, {20.0F, {at(0), 3, at(2)}}}));
  const auto transcript = transcript_of(model, recording(24), greedy(TimestampUse::always));
  REQUIRE(transcript.ok());
  CHECK(model.heard == std::vector<float>{0, 20});
  REQUIRE(transcript->segments.size() == 3);
  CHECK(transcript->segments[0].start == Approx(0.2));
  CHECK(transcript->segments[1].start == Approx(1.0));
  CHECK(transcript->segments[1].end == Approx(1.4));
  CHECK(transcript->segments[2].start == Approx(2.0));
}

TEST_CASE("Timestamps are asked for where they are needed and can be had") {
  const auto prompt_of = [](std::uint64_t frames, TimestampUse use, std::uint32_t timestamps) {
    SpeechTokens tokens = small_tokens();
    tokens.timestamps = timestamps;
    FakeSpeech model(scripted({{0.0F, {at(0), 1, at(3)}}, {20.0F, {at(0), 2, at(3)}}}));
    const auto transcript = transcript_of(model, recording(frames), greedy(use), tokens);
    REQUIRE(transcript.ok());
    return model.prompts.back().back() != kNoTimestamps;
  };
  CHECK(prompt_of(30, TimestampUse::when_cutting, 11));
  CHECK_FALSE(prompt_of(30, TimestampUse::when_cutting, 10));  // do not reach the end of a chunk
  CHECK_FALSE(prompt_of(20, TimestampUse::when_cutting, 11));  // nothing to cut
  CHECK_FALSE(prompt_of(30, TimestampUse::never, 11));
  CHECK(prompt_of(20, TimestampUse::always, 10));
}

TEST_CASE("Silence is left out") {
  // Where the script has no answer, nobody speaks and every token is a guess.
  FakeSpeech model(scripted({{0.0F, {1}}, {40.0F, {2}}}));
  const auto transcript = transcript_of(model, recording(45), greedy(TimestampUse::never));
  REQUIRE(transcript.ok());
  CHECK(model.heard == std::vector<float>{0, 20, 40});
  REQUIRE(transcript->segments.size() == 2);
  CHECK(transcript->segments[1].start == Approx(4.0));
  CHECK(transcript->text() == " b c");

  // Without the threshold it is written down, whatever it is.
  FakeSpeech other(scripted({{0.0F, {1}}, {40.0F, {2}}}));
  TranscribeOptions options = greedy(TimestampUse::never);
  options.no_speech_threshold.reset();
  CHECK(transcript_of(other, recording(45), options)->segments.size() == 3);
}

TEST_CASE("What repeats itself is drawn again") {
  FakeSpeech model([](std::span<const TokenId> tokens, float) {
    // The likeliest answer is " b" for ever; others are possible.
    if (tokens.back() == kStart) return certain(kEnglish);
    std::vector<float> row(kVocabulary, 0.0F);
    row[1] = 3;
    row[kEnd] = 2;
    return row;
  });
  TranscribeOptions options = greedy();
  options.log_probability_threshold.reset();
  options.temperatures = {0, 0.2, 0.4, 0.6, 0.8, 1.0};
  std::vector<std::string> looked_at;
  options.compression_ratio = [&](std::string_view text) {
    looked_at.emplace_back(text);
    return looked_at.size() < 4 ? 9.0 : 2.0;
  };
  const auto transcript = transcript_of(model, recording(5), options);
  REQUIRE(transcript.ok());
  CHECK(looked_at.size() == 4);
  REQUIRE(transcript->segments.size() == 1);
  CHECK(transcript->segments[0].temperature == 0.6);
  CHECK(transcript->segments[0].compression_ratio == 2.0);
  std::string endless;
  for (int i = 0; i < 20; ++i) endless += " b";
  CHECK(looked_at[0] == endless);
  CHECK(std::set<std::string>(looked_at.begin(), looked_at.end()).size() > 2);

  // The last temperature is taken as it is.
  looked_at.clear();
  options.compression_ratio = [](std::string_view) { return 9.0; };
  const auto last = transcript_of(model, recording(5), options);
  REQUIRE(last.ok());
  REQUIRE(last->segments.size() == 1);
  CHECK(last->segments[0].temperature == 1.0);
  CHECK(last->segments[0].compression_ratio == 9.0);
  // And without a threshold the first is.
  options.compression_ratio_threshold.reset();
  CHECK(transcript_of(model, recording(5), options)->segments[0].temperature == 0);
}

TEST_CASE("A guess is drawn again, unless nobody speaks") {
  const auto guessing = [](float no_speech) {
    return [no_speech](std::span<const TokenId> tokens, float) {
      std::vector<float> row(kVocabulary, 0.0F);
      if (tokens.back() == kStart) row[kNoSpeech] = no_speech;
      return row;
    };
  };
  TranscribeOptions options = greedy();
  options.temperatures = {0, 1.0};
  {
    FakeSpeech model(guessing(0));
    const auto transcript = transcript_of(model, recording(5), options);
    REQUIRE(transcript.ok());
    CHECK(model.prompts.size() == 3);  // language, greedy, drawn
  }
  {
    FakeSpeech model(guessing(10));
    const auto transcript = transcript_of(model, recording(5), options);
    REQUIRE(transcript.ok());
    CHECK(transcript->segments.empty());
    CHECK(model.prompts.size() == 2);
  }
}

TEST_CASE("The text before can be given to each chunk") {
  const auto script = scripted({{0.0F, {1, 2}}, {20.0F, {3}}, {40.0F, {4}}});
  FakeSpeech model(script);
  TranscribeOptions options = greedy(TimestampUse::never);
  options.condition_on_previous = true;
  REQUIRE(transcript_of(model, recording(60), options).ok());
  REQUIRE(model.prompts.size() == 4);
  CHECK(model.prompts[1].front() == kStart);
  CHECK(model.prompts[2] == Tokens{kPrevious, 1, 2, kStart, kEnglish, kTranscribe, kNoTimestamps});
  CHECK(model.prompts[3] ==
        Tokens{kPrevious, 1, 2, 3, kStart, kEnglish, kTranscribe, kNoTimestamps});
  // What was drawn freely is not continued from.
  FakeSpeech other(script);
  options.temperatures = {1.0};
  REQUIRE(transcript_of(other, recording(60), options).ok());
  CHECK(other.prompts[3].front() == kStart);
}

TEST_CASE("Blank segments are dropped, and an answer that takes no time moves on") {
  FakeSpeech model(scripted({{0.0F, {at(0), 9, at(4), at(4), 1, at(6), at(6)}}, {12.0F, {2}}}));
  const auto transcript = transcript_of(model, recording(30), greedy(TimestampUse::always));
  REQUIRE(transcript.ok());
  REQUIRE(!transcript->segments.empty());
  CHECK(transcript->segments[0].text == " b");
  CHECK(transcript->segments[0].start == Approx(0.8));
  CHECK(model.heard.size() >= 2);
  CHECK(model.heard[1] == 12);
}

TEST_CASE("Nothing to hear, too little silence behind, no temperature, Ctrl-C") {
  FakeSpeech model(scripted({{0.0F, {1}}}));
  const auto nothing = transcript_of(model, recording(0), greedy());
  REQUIRE(nothing.ok());
  CHECK(nothing->segments.empty());
  CHECK(nothing->text().empty());
  SpeechFeatures cut = recording(30);
  cut.values.resize(49);
  CHECK_FALSE(transcript_of(model, cut, greedy()).ok());
  TranscribeOptions options = greedy();
  options.temperatures.clear();
  CHECK_FALSE(transcript_of(model, recording(5), options).ok());
  options = greedy();
  options.interrupted = [] { return true; };
  const auto stopped = transcript_of(model, recording(5), options);
  REQUIRE_FALSE(stopped.ok());
  CHECK(stopped.error().code == ErrorCode::interrupted);
}

TEST_CASE("Features of a recording are followed by the silence that windows need") {
  const auto log_mel = LogMel::create({});
  REQUIRE(log_mel.ok());
  const auto rows = [&](std::size_t samples) {
    const auto features = speech_features(*log_mel, std::vector<float>(samples, 0.25F), 2);
    REQUIRE(features.ok());
    CHECK(features->frames == (samples + 159) / 160);
    CHECK(features->chunk == 3000);
    return features->values.size() / 80;
  };
  CHECK(rows(1) == 3000);
  CHECK(rows(480000) == 3000);
  CHECK(rows(480001) == 3001 + 3000);
}

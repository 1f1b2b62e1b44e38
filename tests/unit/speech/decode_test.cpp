#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "core/speech/logit_rules.h"
#include "fake_speech.h"

using namespace apr;
using namespace apr::test;

namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();
using Tokens = std::vector<TokenId>;

/// The ids that may follow an answer.
Tokens allowed_after(const Tokens& answer, bool timestamps, std::vector<float> logits = {}) {
  const SpeechTokens tokens = small_tokens();
  if (logits.empty()) {
    // Text is likely enough that no timestamp is due.
    logits.assign(kVocabulary, 0.0F);
    std::fill(logits.begin(), logits.begin() + kEnd + 1, 5.0F);
  }
  const LogitRules rules(tokens, timestamps);
  REQUIRE(rules.apply(logits, answer).ok());
  Tokens ids;
  for (TokenId id = 0; id < static_cast<TokenId>(kVocabulary); ++id) {
    if (logits[static_cast<std::size_t>(id)] != kImpossible) ids.push_back(id);
  }
  return ids;
}

Tokens range(TokenId begin, TokenId end) {
  Tokens ids;
  for (TokenId id = begin; id < end; ++id) ids.push_back(id);
  return ids;
}

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

DecodeOptions english() {
  DecodeOptions options;
  options.language = kEnglish;
  return options;
}

/// Pseudo-random logits that depend on all tokens so far: a model without any structure.
std::vector<float> noise(std::span<const TokenId> tokens, float) {
  std::uint64_t state = 88172645463325252ULL;
  for (const TokenId token : tokens) {
    state = (state ^ static_cast<std::uint64_t>(token + 1)) * 6364136223846793005ULL + 1;
    state ^= state >> 29;
  }
  std::vector<float> row(kVocabulary);
  for (float& logit : row) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    logit = static_cast<float>(static_cast<double>(state >> 33) * 0x1p-29 - 2.0);
  }
  return row;
}

struct Answer {
  Tokens tokens;
  double log_probability = -1e9;
};

double log_softmax(const std::vector<float>& logits, TokenId id) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  return static_cast<double>(logits[static_cast<std::size_t>(id)]) - std::log(sum);
}

/// The best answer of at most `length` tokens by log-probability / length: all of them tried.
void search_all(const Tokens& prompt, const Tokens& answer, double sum, std::size_t length,
                Answer& best, double& best_score) {
  const SpeechTokens tokens = small_tokens();
  const auto consider = [&](double total) {
    const double score = total / static_cast<double>(std::max<std::size_t>(answer.size(), 1));
    if (score <= best_score) return;
    best_score = score;
    best = {answer, total};
  };
  if (answer.size() == length) return consider(sum);
  std::vector<float> logits = noise(joined(prompt, answer), 0);
  REQUIRE(LogitRules(tokens, false).apply(logits, answer).ok());
  for (TokenId id = 0; id < static_cast<TokenId>(kVocabulary); ++id) {
    if (logits[static_cast<std::size_t>(id)] == kImpossible) continue;
    const double total = sum + log_softmax(logits, id);
    if (id == kEnd) {
      consider(total);
    } else {
      search_all(prompt, joined(answer, {id}), total, length, best, best_score);
    }
  }
}

}  // namespace

TEST_CASE("The prompt says language, task and whether times are wanted") {
  const SpeechTokens tokens = small_tokens();
  DecodeOptions options = english();
  CHECK(speech_prompt(tokens, options, 40)->tokens ==
        Tokens{kStart, kEnglish, kTranscribe, kNoTimestamps});
  options.timestamps = true;
  options.task = SpeechTask::translate;
  options.language = kGerman;
  CHECK(speech_prompt(tokens, options, 40)->tokens == Tokens{kStart, kGerman, kTranslate});
  options.previous = {1, 2, 3};
  const auto prompt = speech_prompt(tokens, options, 40);
  CHECK(prompt->tokens == Tokens{kPrevious, 1, 2, 3, kStart, kGerman, kTranslate});
  CHECK(prompt->start == 4);
  // Half of the context, less the token before it, is the most that is kept.
  options.previous = range(0, 10);
  CHECK(speech_prompt(tokens, options, 10)->tokens ==
        Tokens{kPrevious, 6, 7, 8, 9, kStart, kGerman, kTranslate});

  SpeechTokens one_language = tokens;
  one_language.languages.clear();
  CHECK(speech_prompt(one_language, DecodeOptions{}, 40)->tokens == Tokens{kStart, kNoTimestamps});
}

TEST_CASE("Prompts that a model cannot be given") {
  SpeechTokens tokens = small_tokens();
  CHECK_FALSE(speech_prompt(tokens, DecodeOptions{}, 40).ok());  // no language
  CHECK_FALSE(speech_prompt(tokens, english(), 4).ok());         // no room
  DecodeOptions options = english();
  tokens.timestamps = 0;
  options.timestamps = true;
  CHECK_FALSE(speech_prompt(tokens, options, 40).ok());
  options = english();
  options.previous = {1};
  tokens.previous.reset();
  CHECK_FALSE(speech_prompt(tokens, options, 40).ok());
  options = english();
  options.task = SpeechTask::translate;
  tokens.translate.reset();
  CHECK_FALSE(speech_prompt(tokens, options, 40).ok());
  tokens.languages.clear();
  const auto refused = speech_prompt(tokens, options, 40);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().message.find("translate") != std::string::npos);
}

TEST_CASE("Suppressed tokens never come, some of them not first") {
  const Tokens others = joined(range(1, 10), {kEnglish, kGerman, kNoTimestamps});
  CHECK(allowed_after({}, false) == joined(others, range(kTime, kTime + 11)));
  CHECK(allowed_after({1}, false) ==
        joined(joined(range(0, 11), {kEnglish, kGerman, kNoTimestamps}), range(kTime, kTime + 11)));
  // Ids behind the last timestamp are padding.
  SpeechTokens tokens = small_tokens();
  tokens.timestamps = 9;
  std::vector<float> logits(kVocabulary, 0.0F);
  REQUIRE(LogitRules(tokens, false).apply(logits, Tokens{1}).ok());
  CHECK(logits[kTime + 8] == 0);
  CHECK(logits[kTime + 9] == kImpossible);
  CHECK(logits[kTime + 10] == kImpossible);
}

TEST_CASE("Timestamps come first, in pairs and in order") {
  const Tokens text = range(0, 10);
  const Tokens languages{kEnglish, kGerman};
  // First, and not later than the limit.
  CHECK(allowed_after({}, true) == range(kTime, kTime + 6));
  // A segment has begun: text or its end, no time.
  CHECK(allowed_after({kTime + 2}, true) == joined(joined(text, {kEnd}), languages));
  // Within a segment: all but times up to its begin.
  CHECK(allowed_after({kTime + 2, 4}, true) ==
        joined(joined(joined(text, {kEnd}), languages), range(kTime + 3, kTime + 11)));
  // A segment has ended: the end, or the next begin, which may be the same time.
  CHECK(allowed_after({kTime + 2, 4, kTime + 5}, true) ==
        joined(joined({kEnd}, languages), range(kTime + 5, kTime + 11)));
  // The next has begun.
  CHECK(allowed_after({kTime + 2, 4, kTime + 5, kTime + 5}, true) ==
        joined(joined(text, {kEnd}), languages));
  CHECK(allowed_after({kTime + 2, 4, kTime + 5, kTime + 5, 1}, true) ==
        joined(joined(joined(text, {kEnd}), languages), range(kTime + 6, kTime + 11)));
}

TEST_CASE("A time is due where all times together are likelier than any word") {
  std::vector<float> logits(kVocabulary, kImpossible);
  logits[3] = 1.0F;
  // Times after kTime + 1: nine of them, of exp(0) each: log 9 = 2.2 > 1.
  std::fill(logits.begin() + kTime, logits.end(), 0.0F);
  CHECK(allowed_after({kTime + 1, 4}, true, logits) == range(kTime + 2, kTime + 11));
  logits[3] = 2.25F;
  CHECK(allowed_after({kTime + 1, 4}, true, logits) == joined({3}, range(kTime + 2, kTime + 11)));
  // Without timestamps the rule is off.
  logits[3] = 1.0F;
  CHECK(allowed_after({1, 4}, false, logits).front() == 3);
}

TEST_CASE("Logits that are no numbers, and rules that leave nothing") {
  const SpeechTokens tokens = small_tokens();
  const LogitRules rules(tokens, false);
  std::vector<float> logits(kVocabulary, 0.0F);
  logits[7] = NAN;
  auto failed = rules.apply(logits, Tokens{});
  REQUIRE_FALSE(failed.ok());
  CHECK(failed.error().message == "the logit of token 7 is not a number");
  logits.assign(kVocabulary, kImpossible);
  logits[kStart] = 1;
  CHECK_FALSE(rules.apply(logits, Tokens{}).ok());
  std::vector<float> few(kVocabulary - 1, 0.0F);
  CHECK_FALSE(rules.apply(few, Tokens{}).ok());
}

TEST_CASE("Greedy takes the likeliest allowed token and adds up what it was worth") {
  FakeSpeech model(noise);
  const SpeechTokens tokens = small_tokens();
  const auto chunk = decode_chunk(model, tokens, english());
  REQUIRE(chunk.ok());
  const Tokens prompt{kStart, kEnglish, kTranscribe, kNoTimestamps};
  Tokens answer;
  double sum = 0;
  bool complete = false;
  while (!complete && answer.size() < 20) {
    std::vector<float> logits = noise(joined(prompt, answer), 0);
    REQUIRE(LogitRules(tokens, false).apply(logits, answer).ok());
    const auto best =
        static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    sum += log_softmax(logits, best);
    complete = best == kEnd;
    if (!complete) answer.push_back(best);
  }
  CHECK(chunk->tokens == answer);
  CHECK(chunk->complete == complete);
  CHECK(chunk->average_log_probability ==
        Approx(sum / static_cast<double>(answer.size() + 1)).epsilon(1e-9));
  CHECK(chunk->no_speech_probability ==
        Approx(std::exp(log_softmax(noise(Tokens{kStart}, 0), kNoSpeech))).epsilon(1e-9));
  CHECK(model.mistakes == 0);
  CHECK(model.steps + (complete ? 0 : 1) == answer.size());
}

TEST_CASE("Answers end at their limit and at the end of the context") {
  const auto endless = [](std::span<const TokenId>, float) { return certain(3); };
  const SpeechTokens tokens = small_tokens();
  for (const std::uint32_t beams : {1U, 3U}) {
    DecodeOptions options = english();
    options.beams = beams;
    FakeSpeech model(endless);
    const auto chunk = decode_chunk(model, tokens, options);
    REQUIRE(chunk.ok());
    CHECK(chunk->tokens.size() == 20);
    CHECK_FALSE(chunk->complete);
    options.max_tokens = 7;
    CHECK(decode_chunk(model, tokens, options)->tokens.size() == 7);
    options.max_tokens = 1000;
    CHECK(decode_chunk(model, tokens, options)->tokens.size() == 36);
    CHECK(model.mistakes == 0);
  }
}

TEST_CASE("Drawing follows the temperature, and the seed fixes it") {
  // Two tokens with logits 0 and log 3, then the end.
  const auto next = [](std::span<const TokenId> tokens, float) {
    std::vector<float> row(kVocabulary, kImpossible);
    row[kNoSpeech] = 0;
    if (answer_of(tokens).empty()) {
      row[1] = 0;
      row[2] = std::log(3.0F);
    } else {
      row[kEnd] = 0;
    }
    return row;
  };
  const SpeechTokens tokens = small_tokens();
  for (const double temperature : {0.5, 1.0}) {
    const double odds = std::pow(3.0, 1 / temperature);
    int second = 0;
    constexpr int kDraws = 4000;
    for (int seed = 0; seed < kDraws; ++seed) {
      FakeSpeech model(next);
      DecodeOptions options = english();
      options.temperature = temperature;
      options.seed = static_cast<std::uint64_t>(seed);
      const auto chunk = decode_chunk(model, tokens, options);
      REQUIRE(chunk.ok());
      REQUIRE(chunk->tokens.size() == 1);
      if (chunk->tokens[0] == 2) ++second;
      // Probabilities are told without the temperature; two tokens, the end token counted.
      const double p = chunk->tokens[0] == 2 ? 0.75 : 0.25;
      REQUIRE(chunk->average_log_probability == Approx(std::log(p) / 2));
    }
    const double p = odds / (1 + odds);
    CHECK(std::abs(second - kDraws * p) < 4 * std::sqrt(kDraws * p * (1 - p)));
  }
  DecodeOptions options = english();
  options.temperature = 1;
  options.best_of = 3;
  FakeSpeech a(noise), b(noise);
  CHECK(decode_chunk(a, tokens, options)->tokens == decode_chunk(b, tokens, options)->tokens);
  CHECK(a.mistakes == 0);
}

TEST_CASE("The best of several draws is the one with the highest average") {
  const SpeechTokens tokens = small_tokens();
  DecodeOptions options = english();
  options.temperature = 1;
  double average = 0;
  double best_of_five = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    options.seed = seed;
    FakeSpeech model(noise);
    options.best_of = 1;
    average += decode_chunk(model, tokens, options)->average_log_probability;
    options.best_of = 5;
    best_of_five += decode_chunk(model, tokens, options)->average_log_probability;
    CHECK(model.mistakes == 0);
  }
  CHECK(best_of_five > average);
}

TEST_CASE("A beam as wide as all answers finds the best one there is") {
  const SpeechTokens tokens = small_tokens();
  for (const TokenId language : {kEnglish, kGerman}) {
    const Tokens prompt{kStart, language, kTranscribe, kNoTimestamps};
    Answer best;
    double best_score = -1e9;
    search_all(prompt, {}, 0, 2, best, best_score);
    DecodeOptions options;
    options.language = language;
    options.max_tokens = 2;
    options.beams = 700;
    FakeSpeech model(noise, 700);
    const auto chunk = decode_chunk(model, tokens, options);
    REQUIRE(chunk.ok());
    CHECK(chunk->tokens == best.tokens);
    CHECK(chunk->average_log_probability ==
          Approx(best.log_probability / static_cast<double>(best.tokens.size() + 1)));
    CHECK(model.mistakes == 0);
  }
}

TEST_CASE("A beam finds what greed misses") {
  // 1 is likelier than 2 at first, but what follows 2 is certain and what follows 1 is not.
  const auto next = [](std::span<const TokenId> tokens, float) {
    const auto answer = answer_of(tokens);
    std::vector<float> row(kVocabulary, kImpossible);
    row[kNoSpeech] = 0;
    if (answer.empty()) {
      row[1] = 0.4F;
      row[2] = 0;
    } else if (answer.size() == 1) {
      for (TokenId id = 3; id < (answer[0] == 1 ? 9 : 4); ++id) {
        row[static_cast<std::size_t>(id)] = 0;
      }
    } else {
      row[kEnd] = 0;
    }
    return row;
  };
  const SpeechTokens tokens = small_tokens();
  FakeSpeech model(next);
  DecodeOptions options = english();
  CHECK(decode_chunk(model, tokens, options)->tokens == Tokens{1, 3});
  options.beams = 2;
  CHECK(decode_chunk(model, tokens, options)->tokens == Tokens{2, 3});
  CHECK(model.mistakes == 0);
}

TEST_CASE("Beams keep the text of their own sequences") {
  // Any mixing up of sequences changes the probabilities, which are then not those of the tokens.
  const SpeechTokens tokens = small_tokens();
  for (const std::uint32_t beams : {2U, 5U, 8U}) {
    DecodeOptions options = english();
    options.beams = beams;
    FakeSpeech model(noise);
    const auto chunk = decode_chunk(model, tokens, options);
    REQUIRE(chunk.ok());
    const Tokens prompt{kStart, kEnglish, kTranscribe, kNoTimestamps};
    double sum = 0;
    for (std::size_t i = 0; i <= chunk->tokens.size(); ++i) {
      const Tokens before(chunk->tokens.begin(),
                          chunk->tokens.begin() + static_cast<std::ptrdiff_t>(i));
      if (i == chunk->tokens.size() && !chunk->complete) break;
      std::vector<float> logits = noise(joined(prompt, before), 0);
      REQUIRE(LogitRules(tokens, false).apply(logits, before).ok());
      sum += log_softmax(logits, i == chunk->tokens.size() ? kEnd : chunk->tokens[i]);
    }
    CHECK(chunk->average_log_probability ==
          Approx(sum / static_cast<double>(chunk->tokens.size() + 1)).epsilon(1e-9));
    CHECK(model.mistakes == 0);
  }
}

TEST_CASE("The length penalty decides between a short and a long answer") {
  // "1" with p = 0.4, "2 3 4 5" with p = 0.3 in all; the rest leads nowhere likely.
  const auto next = [](std::span<const TokenId> tokens, float) {
    const auto answer = answer_of(tokens);
    std::vector<float> row(kVocabulary, kImpossible);
    row[kNoSpeech] = 0;
    if (answer.empty()) {
      row[1] = std::log(0.4F);
      row[2] = std::log(0.3F);
      row[6] = std::log(0.3F);
    } else if (answer[0] == 1 || answer.size() == 4) {
      row[kEnd] = 0;
    } else if (answer[0] == 6) {
      for (std::size_t id = 0; id < 10; ++id) row[id] = 0;
    } else {
      row[answer.size() + 2] = 0;
    }
    return row;
  };
  const SpeechTokens tokens = small_tokens();
  FakeSpeech model(next);
  DecodeOptions options = english();
  options.beams = 3;
  CHECK(decode_chunk(model, tokens, options)->tokens == Tokens{2, 3, 4, 5});
  options.length_penalty = 0.0;  // plain log-probability
  CHECK(decode_chunk(model, tokens, options)->tokens == Tokens{1});
}

TEST_CASE("Options out of range, and Ctrl-C") {
  const SpeechTokens tokens = small_tokens();
  FakeSpeech model(noise, 3);
  DecodeOptions options = english();
  options.beams = 4;
  CHECK_FALSE(decode_chunk(model, tokens, options).ok());
  options.beams = 0;
  CHECK_FALSE(decode_chunk(model, tokens, options).ok());
  options = english();
  options.temperature = -1;
  CHECK_FALSE(decode_chunk(model, tokens, options).ok());
  for (const std::uint32_t beams : {1U, 2U}) {
    options = english();
    options.beams = beams;
    options.interrupted = [&] { return model.steps > 3; };
    model.steps = 0;
    const auto stopped = decode_chunk(model, tokens, options);
    REQUIRE_FALSE(stopped.ok());
    CHECK(stopped.error().code == ErrorCode::interrupted);
  }
}

TEST_CASE("The language is the likeliest after the start token") {
  const SpeechTokens tokens = small_tokens();
  FakeSpeech model([](std::span<const TokenId> held, float) {
    std::vector<float> row(kVocabulary, 0.0F);
    row[5] = 50;  // not a language
    if (held.size() == 1 && held[0] == kStart) {
      row[kEnglish] = 1;
      row[kGerman] = 1 + std::log(3.0F);
    }
    return row;
  });
  const auto guess = detect_language(model, tokens);
  REQUIRE(guess.ok());
  CHECK(guess->language.code == "de");
  CHECK(guess->probability == Approx(0.75));
  SpeechTokens one_language = tokens;
  one_language.languages.clear();
  CHECK_FALSE(detect_language(model, one_language).ok());
}

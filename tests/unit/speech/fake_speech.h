// A speech model made of a function, for tests of what happens around a model.
#pragma once

#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "core/speech/transcribe.h"

namespace apr::test {

// A small vocabulary: 0-9 are text, then as in a multilingual Whisper.
inline constexpr TokenId kEnd = 10;
inline constexpr TokenId kStart = 11;
inline constexpr TokenId kEnglish = 12;
inline constexpr TokenId kGerman = 13;
inline constexpr TokenId kTranslate = 14;
inline constexpr TokenId kTranscribe = 15;
inline constexpr TokenId kPrevious = 16;
inline constexpr TokenId kNoSpeech = 17;
inline constexpr TokenId kNoTimestamps = 18;
inline constexpr TokenId kTime = 19;  ///< 0.00
inline constexpr std::uint32_t kTimes = 11;
inline constexpr std::uint32_t kVocabulary = 30;

inline SpeechTokens small_tokens() {
  SpeechTokens tokens;
  tokens.end = kEnd;
  tokens.start = kStart;
  tokens.previous = kPrevious;
  tokens.no_speech = kNoSpeech;
  tokens.no_timestamps = kNoTimestamps;
  tokens.transcribe = kTranscribe;
  tokens.translate = kTranslate;
  tokens.languages = {{"en", kEnglish}, {"de", kGerman}};
  tokens.first_timestamp = kTime;
  tokens.timestamps = kTimes;
  tokens.max_initial_timestamp = 5;
  tokens.suppressed = {kStart, kTranslate, kTranscribe, kPrevious, kNoSpeech};
  tokens.suppressed_at_begin = {0, kEnd};
  return tokens;
}

/// Logits after the tokens of a sequence, of what was heard in a chunk (its first feature).
using NextToken = std::function<std::vector<float>(std::span<const TokenId> tokens, float heard)>;

class FakeSpeech final : public SpeechModel {
 public:
  explicit FakeSpeech(NextToken next, std::uint32_t sequences = 8, std::uint32_t context = 40)
      : next_(std::move(next)), context_(context), held_(sequences) {}

  std::uint32_t vocab_size() const noexcept override { return kVocabulary; }
  std::uint32_t context() const noexcept override { return context_; }
  std::uint32_t max_sequences() const noexcept override {
    return static_cast<std::uint32_t>(held_.size());
  }
  Status hear(std::span<const float> frames) noexcept override {
    heard.push_back(frames.front());
    return {};
  }
  Result<std::span<const float>> begin(std::span<const TokenId> tokens,
                                       std::span<const std::uint32_t> rows) noexcept override {
    for (auto& sequence : held_) sequence.clear();
    prompts.emplace_back(tokens.begin(), tokens.end());
    held_[0] = prompts.back();
    logits_.clear();
    for (const std::uint32_t row : rows) append(tokens.first(row + 1));
    return std::span<const float>(logits_);
  }
  Status copy(SequenceId from, SequenceId to) noexcept override {
    held_[to] = held_[from];
    return {};
  }
  Result<std::span<const float>> step(std::span<const SequenceId> sequences,
                                      std::span<const TokenId> tokens) noexcept override {
    logits_.clear();
    ++steps;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      if (i > 0 && sequences[i] <= sequences[i - 1]) ++mistakes;
      held_[sequences[i]].push_back(tokens[i]);
      if (held_[sequences[i]].size() > context_) ++mistakes;
      append(held_[sequences[i]]);
    }
    return std::span<const float>(logits_);
  }

  std::vector<float> heard;                   ///< first features, chunk by chunk
  std::vector<std::vector<TokenId>> prompts;  ///< of every begin()
  std::size_t steps = 0;
  std::size_t mistakes = 0;

 private:
  void append(std::span<const TokenId> tokens) {
    const std::vector<float> row = next_(tokens, heard.empty() ? 0.0F : heard.back());
    if (row.size() != kVocabulary) ++mistakes;
    logits_.insert(logits_.end(), row.begin(), row.end());
  }
  NextToken next_;
  std::uint32_t context_;
  std::vector<std::vector<TokenId>> held_;
  std::vector<float> logits_;
};

/// Tokens after the prompt.
inline std::span<const TokenId> answer_of(std::span<const TokenId> tokens) {
  std::size_t begin = 0;
  while (begin < tokens.size() && tokens[begin] != kStart) ++begin;
  while (begin < tokens.size() && tokens[begin] > kEnd && tokens[begin] < kTime) ++begin;
  return tokens.subspan(begin);
}

/// Logits that make one token nearly certain.
inline std::vector<float> certain(TokenId token, float logit = 12) {
  std::vector<float> row(kVocabulary, 0.0F);
  row[static_cast<std::size_t>(token)] = logit;
  return row;
}

/// A model that answers what it hears with a fixed text; it speaks English, and where it knows no
/// answer it hears nobody.
inline NextToken scripted(std::map<float, std::vector<TokenId>> answers) {
  return [answers = std::move(answers)](std::span<const TokenId> tokens, float heard) {
    const auto found = answers.find(heard);
    if (tokens.back() == kStart) {
      std::vector<float> row = certain(found == answers.end() ? kNoSpeech : kEnglish);
      row[kEnglish] = std::max(row[kEnglish], 1.0F);
      return row;
    }
    if (found == answers.end()) return std::vector<float>(kVocabulary, 0.0F);
    const std::size_t at = answer_of(tokens).size();
    return certain(at < found->second.size() ? found->second[at] : kEnd);
  };
}

}  // namespace apr::test

// Multiple-choice tasks, scored as lm-evaluation-harness scores them: a choice is worth the log
// probability of its text after the question; nothing is generated.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/runtime/model.h"

namespace apr {

struct ChoiceItem {
  std::string question;
  std::vector<std::string> choices;
  std::size_t gold = 0;
};

/// One JSON object per line. Names of the fields are those that published tasks use: the question
/// is `query`, `question`, `question_stem`, `ctx`, `context`, `goal`, `input` or `sentence`; the
/// choices are `choices` (a list, or an object with `text` and `label`), `endings`, `options`, or
/// `sol1` and `sol2`; the answer is `gold`, `label`, `answer` or `answerKey`, as an index, a label,
/// the choice itself or a letter. Errors name the line and the field.
Result<std::vector<ChoiceItem>> read_choices(std::string_view jsonl, const std::string& file);

struct ChoiceScore {
  std::vector<double> log_likelihoods;
  std::size_t best = 0;             ///< of the log likelihoods
  std::size_t best_normalized = 0;  ///< of the log likelihoods per character
};

struct ChoiceResult {
  std::vector<ChoiceScore> items;
  double accuracy = 0;
  double accuracy_normalized = 0;
  double error = 0;  ///< standard error of the accuracy
  double error_normalized = 0;
  std::uint64_t cut =
      0;  ///< items whose question lost its beginning, for the context was too short
};

/// Question and choice are joined by `delimiter`. The model was compiled for steps of at most
/// `step` tokens with all their logits.
Result<ChoiceResult> score_choices(
    const Model& model, std::span<const ChoiceItem> items, std::string_view delimiter,
    std::uint32_t step,
    const std::function<Status(std::uint64_t done, std::uint64_t total)>& on_item);

}  // namespace apr

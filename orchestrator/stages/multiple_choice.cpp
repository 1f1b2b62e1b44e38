#include "orchestrator/stages/multiple_choice.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "core/base/cat.h"
#include "core/base/json.h"
#include "core/runtime/sampler.h"
#include "orchestrator/cli/terminal.h"
#include "orchestrator/stages/json_lines.h"

namespace apr {

namespace {

constexpr std::size_t kMaxChoices = 1000;

/// The first of the fields that is there; null if none is.
const Json& first_of(const Json& json, std::initializer_list<std::string_view> fields) {
  for (const std::string_view field : fields) {
    if (json.contains(field)) return json[field];
  }
  return json["\x01"];  // a field that is never there reads as null
}

class LineReader {
 public:
  LineReader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  Result<ChoiceItem> item() const {
    ChoiceItem item;
    const Json& question = first_of(json_, {"query", "question", "question_stem", "ctx", "context",
                                            "goal", "input", "sentence"});
    if (!question.is_string()) {
      return wrong(
          "the question (query, question, question_stem, ctx, context, goal, input or sentence)",
          "is missing");
    }
    item.question = question.as_string();
    const Json& choices = first_of(json_, {"choices", "endings", "options"});
    const Json pair = solutions();
    const Json& texts = choices.is_object() ? choices["text"] : choices.is_null() ? pair : choices;
    if (!texts.is_array() || texts.size() < 2 || texts.size() > kMaxChoices) {
      return wrong("choices (or endings, options)",
                   cat("is no list of 2 ... ", kMaxChoices, " texts"));
    }
    for (const Json& text : texts.as_array()) {
      if (!text.is_string() || text.as_string().empty()) {
        return wrong("choices", cat("holds ", text.dump(), ", which is no text"));
      }
      item.choices.push_back(text.as_string());
    }
    const Json& answer = first_of(json_, {"gold", "label", "answer", "answerKey"});
    APR_ASSIGN(const auto gold, index_of(answer, choices["label"].as_array(), item.choices));
    if (!gold || *gold >= item.choices.size()) {
      return wrong("the answer (gold, label, answer or answerKey)",
                   answer.is_null() ? std::string("is missing")
                                    : cat("is ", answer.dump(), ", which is none of the ",
                                          item.choices.size(), " choices"));
    }
    item.gold = *gold;
    return item;
  }

 private:
  Error wrong(std::string_view field, std::string problem) const {
    return make_error(ErrorCode::format, cat("field ", field, " ", problem), where_);
  }

  /// The two choices of a question that has a field for each.
  Json solutions() const {
    if (!json_["sol1"].is_string() || !json_["sol2"].is_string()) return {};
    Json pair = Json::array();
    pair.push_back(json_["sol1"]);
    pair.push_back(json_["sol2"]);
    return pair;
  }

  /// 2, one of the labels, the choice itself, "2" or "C". A text that is one choice and names
  /// another is refused: a wrong guess would only show as a low score.
  Result<std::optional<std::size_t>> index_of(const Json& answer, const JsonArray& labels,
                                              const std::vector<std::string>& choices) const {
    if (answer.is_integer() && answer.as_integer() >= 0) {
      return std::optional(static_cast<std::size_t>(answer.as_integer()));
    }
    if (!answer.is_string()) return std::optional<std::size_t>();
    const std::string& text = answer.as_string();
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (labels[i].as_string() == text) return std::optional(i);
    }
    std::optional<std::size_t> named;
    if (text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z') {
      named = static_cast<std::size_t>(text[0] - 'A');
    } else if (!text.empty() && text.size() < 4 &&
               std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) {
      named = static_cast<std::size_t>(std::stoi(text));
    }
    const auto same = std::ranges::find(choices, text);
    if (same == choices.end()) return named;
    const auto place = static_cast<std::size_t>(same - choices.begin());
    if (named && *named < choices.size() && *named != place) {
      return wrong("the answer (gold, label, answer or answerKey)",
                   cat("is ", answer.dump(), ", which is choice ", place, " and also names choice ",
                       *named, "; give the index as a number"));
    }
    return std::optional(place);
  }

  const Json& json_;
  std::string where_;
};

/// The positions that the longest question with its choice takes.
Result<std::uint32_t> longest_of(const Tokenizer& tokenizer, std::span<const ChoiceItem> items,
                                 std::string_view delimiter) {
  constexpr std::size_t kFewBytes = 2048;  // no text has more tokens than bytes, but for marks
  constexpr std::size_t kMarks = 8;
  std::size_t longest = 2;
  for (const ChoiceItem& item : items) {
    for (const std::string& choice : item.choices) {
      const std::size_t bytes = item.question.size() + delimiter.size() + choice.size() + kMarks;
      if (bytes <= std::max(longest, kFewBytes)) {
        longest = std::max(longest, bytes);
        continue;
      }
      APR_ASSIGN(const auto ids,
                 tokenizer.encode(cat(item.question, delimiter, choice), {false, false}));
      longest = std::max(longest, ids.size() + kMarks);
    }
  }
  return static_cast<std::uint32_t>(std::min<std::size_t>(longest, UINT32_MAX));
}

/// Where a choice's tokens are scored: those from `begin` on.
struct Request {
  std::vector<TokenId> tokens;
  std::size_t begin = 0;
};

class Scorer {
 public:
  Scorer(const Model& model, const Tokenizer& tokenizer, Session session, std::uint32_t step)
      : vocabulary_(model.facts().vocab_size),
        tokenizer_(tokenizer),
        session_(std::move(session)),
        step_(step) {}

  Result<ChoiceScore> item(const ChoiceItem& item, std::string_view delimiter, bool& cut) {
    ChoiceScore score;
    double best = -HUGE_VAL;
    double best_normalized = -HUGE_VAL;
    for (std::size_t i = 0; i < item.choices.size(); ++i) {
      APR_ASSIGN(const Request request,
                 request_for(item.question, item.choices[i], delimiter, cut));
      APR_ASSIGN(const double value, log_likelihood(request));
      const double normalized =
          value / static_cast<double>(std::max<std::size_t>(display_width(item.choices[i]), 1));
      score.log_likelihoods.push_back(value);
      if (value > best) score.best = i;
      if (normalized > best_normalized) score.best_normalized = i;
      best = std::max(best, value);
      best_normalized = std::max(best_normalized, normalized);
    }
    return score;
  }

 private:
  /// Blanks at the end of the question belong to the choice: that is where tokenizers put them.
  Result<Request> request_for(std::string_view question, std::string_view choice,
                              std::string_view delimiter, bool& cut) const {
    const std::size_t end = question.find_last_not_of(" \t\n\r");
    const std::string_view kept = question.substr(0, end == std::string_view::npos ? 0 : end + 1);
    const std::string whole = cat(question, delimiter, choice);
    Request request;
    APR_ASSIGN(request.tokens, tokenizer_.encode(whole, {false, false}));
    APR_ASSIGN(const std::vector<TokenId> before, tokenizer_.encode(kept, {false, false}));
    request.begin = before.size();
    if (request.begin == 0) {  // something must stand before what is predicted
      const auto first = tokenizer_.bos() ? tokenizer_.bos() : tokenizer_.eos();
      if (!first) {
        return make_error(ErrorCode::validation,
                          "the question has no tokens, and the tokenizer none to begin a text");
      }
      request.tokens.insert(request.tokens.begin(), *first);
      request.begin = 1;
    }
    if (request.begin >= request.tokens.size()) {
      return make_error(ErrorCode::validation, "the choice adds no token to the question");
    }
    // The last token is only predicted: it takes no place in the context.
    if (const std::size_t room = session_.context() + std::size_t{1};
        request.tokens.size() > room) {
      const std::size_t surplus = request.tokens.size() - room;
      if (surplus >= request.begin) {
        return make_error(ErrorCode::validation,
                          cat("a choice has ", request.tokens.size() - request.begin,
                              " tokens, and the context holds ", session_.context()));
      }
      request.tokens.erase(request.tokens.begin(),
                           request.tokens.begin() + static_cast<std::ptrdiff_t>(surplus));
      request.begin -= surplus;
      cut = true;
    }
    return request;
  }

  Result<double> log_likelihood(const Request& request) {
    const std::size_t from = request.begin - 1;  // its logits predict the first scored token
    std::size_t common = 0;
    while (common < std::min(held_.size(), from) && held_[common] == request.tokens[common]) {
      ++common;
    }
    if (!session_.truncate(0, static_cast<std::uint32_t>(common))) {
      session_.release(0);
      common = 0;
    }
    held_.clear();
    const std::span<const TokenId> tokens = request.tokens;
    if (from > common) APR_TRY(session_.append(0, tokens.subspan(common, from - common)));
    double sum = 0;
    for (std::size_t at = from; at + 1 < tokens.size(); at += step_) {
      const std::size_t count = std::min<std::size_t>(step_, tokens.size() - 1 - at);
      APR_ASSIGN(const auto logits, session_.append_all_logits(0, tokens.subspan(at, count)));
      for (std::size_t i = 0; i < count; ++i) {
        sum += log_probability(logits.subspan(i * vocabulary_, vocabulary_), tokens[at + i + 1]);
      }
    }
    held_.assign(tokens.begin(), tokens.end() - 1);
    if (!std::isfinite(sum)) {
      return make_error(ErrorCode::inference, "a prediction is not a number");
    }
    return sum;
  }

  std::size_t vocabulary_;
  const Tokenizer& tokenizer_;
  Session session_;
  std::uint32_t step_;
  std::vector<TokenId> held_;
};

}  // namespace

Result<std::vector<ChoiceItem>> read_choices(std::string_view jsonl, const std::string& file) {
  std::vector<ChoiceItem> items;
  APR_TRY(
      for_each_json_line(jsonl, file, [&](const Json& json, const std::string& where) -> Status {
        APR_ASSIGN(ChoiceItem item, LineReader(json, where).item());
        items.push_back(std::move(item));
        return {};
      }));
  if (items.empty()) return make_error(ErrorCode::validation, "there are no questions", file);
  return items;
}

Result<ChoiceResult> score_choices(
    const Model& model, std::span<const ChoiceItem> items, std::string_view delimiter,
    std::uint32_t step,
    const std::function<Status(std::uint64_t done, std::uint64_t total)>& on_item) {
  APR_ASSIGN(const Tokenizer* tokenizer, model.tokenizer());
  const std::uint32_t made_for = model.facts().max_position_embeddings;
  APR_ASSIGN(const std::uint32_t longest, longest_of(*tokenizer, items, delimiter));
  APR_ASSIGN(Session session, model.start(made_for > 0 ? std::min(made_for, longest) : longest));
  Scorer scorer(model, *tokenizer, std::move(session), step);
  ChoiceResult result;
  for (std::size_t i = 0; i < items.size(); ++i) {
    APR_TRY(on_item(i, items.size()));
    bool cut = false;
    auto score = scorer.item(items[i], delimiter, cut);
    if (!score) return std::move(score).error().within(cat("question ", i + 1));
    if (cut) ++result.cut;
    if (score->best == items[i].gold) result.accuracy += 1;
    if (score->best_normalized == items[i].gold) result.accuracy_normalized += 1;
    result.items.push_back(*std::move(score));
  }
  const auto count = static_cast<double>(items.size());
  const auto error = [&](double share) {
    return items.size() < 2 ? 0.0 : std::sqrt(share * (1 - share) / (count - 1));
  };
  result.accuracy /= count;
  result.accuracy_normalized /= count;
  result.error = error(result.accuracy);
  result.error_normalized = error(result.accuracy_normalized);
  return result;
}

}  // namespace apr

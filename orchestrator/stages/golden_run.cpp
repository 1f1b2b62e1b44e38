// Running the prompts of a golden trace and collecting what they are compared with.
#include <algorithm>
#include <set>
#include <utility>

#include "core/base/cat.h"
#include "core/base/hash.h"
#include "orchestrator/stages/golden_check.h"
#include "orchestrator/stages/heard_frames.h"
#include "orchestrator/stages/step_tokens.h"

namespace apr {

namespace {

constexpr SequenceId kAudio = 0;

std::string shown_id(std::span<const TokenId> ids, std::size_t at) {
  return at < ids.size() ? cat("id ", ids[at]) : std::string("the end");
}

/// Why the tokenizer's ids are not the sequence's; empty: they are.
Result<std::string> ids_problem(const Tokenizer& tokenizer, const GoldenSequence& sequence,
                                const Tokenizer::EncodeOptions& options) {
  std::optional<std::string_view> second;
  if (sequence.texts.size() > 1) second = sequence.texts[1];
  APR_ASSIGN(const Encoding found, tokenizer.encode_pair(sequence.texts.front(), second, options));
  if (found.ids != sequence.ids) {
    const auto at = static_cast<std::size_t>(std::ranges::mismatch(found.ids, sequence.ids).in1 -
                                             found.ids.begin());
    return cat("token ", at, " is ", shown_id(found.ids, at), ", the reference has ",
               shown_id(sequence.ids, at));
  }
  if (!sequence.types.empty() && found.types != sequence.types) {
    const auto at = std::ranges::mismatch(found.types, sequence.types).in1 - found.types.begin();
    return cat("the type of token ", at, " is ", found.types[static_cast<std::size_t>(at)]);
  }
  return std::string();
}

void check_ids(const Model& model, const GoldenPrompt& prompt, PromptCheck& check) {
  const auto wrong = [&](std::string problem) {
    check.ids = false;
    check.ids_problem = std::move(problem);
  };
  const auto tokenizer = model.tokenizer();
  if (!tokenizer) return wrong(tokenizer.error().message);
  // A model that hears is prompted with all its special tokens, not with those of a default task.
  const Tokenizer::EncodeOptions options{model.facts().max_frames == 0, prompt.parse_special};
  for (const GoldenSequence& sequence : prompt.sequences) {
    if (sequence.texts.empty()) continue;
    auto problem = ids_problem(**tokenizer, sequence, options);
    if (!problem) return wrong(problem.error().message);
    if (!problem->empty()) return wrong(*std::move(problem));
    check.ids = true;
  }
}

/// The values that one layer hands to the next, from the embedding to the output.
bool is_stream(std::string_view value) {
  for (const std::string_view stack : {"enc.", "dec."}) {
    if (value.starts_with(stack)) value.remove_prefix(stack.size());
  }
  return value == "embed" || value == "final_norm" || value == "last_hidden_state" ||
         value == kLogits ||
         (value.starts_with("layer") && value.ends_with(".out") &&
          std::ranges::count(value, '.') == 1);
}

/// What one step computed, as the stored values are named.
class Computed {
 public:
  Computed(const Model& model, const GoldenPrompt* prompt, const TapCollector& taps,
           const TapCollector* encoder, std::span<const float> output, EncoderRows encoder_rows)
      : graph_(model.graph()),
        prompt_(prompt),
        taps_(taps),
        encoder_(encoder),
        output_(output),
        encoder_rows_(encoder_rows) {}

  Pairing pair(const GoldenValue& reference, const GoldenPart& part) const {
    if (part.value == kSentenceEmbedding && prompt_ != nullptr) {
      std::vector<std::size_t> lengths;
      for (const GoldenSequence& sequence : prompt_->sequences) {
        lengths.push_back(sequence.ids.size());
      }
      return pair_whole(reference,
                        sentence_embeddings(output_, output_.size() / prompt_->tokens(), lengths));
    }
    const auto id = graph_.find_value(part.value);
    if (!id) return pair_whole(reference, {});
    const ValueType& type = graph_.value(*id).type;
    return pair_up(reference, part, rows_of_value(type, prompt_, encoder_rows_),
                   numbers(part.value));
  }

  /// Values are compared in the order in which they are computed.
  std::size_t order(std::string_view name) const {
    const auto id = graph_.find_value(part_of(name).value);
    return id ? std::size_t{*id} : static_cast<std::size_t>(-1);
  }

 private:
  std::span<const float> numbers(std::string_view value) const {
    if (value == kLogits) return output_;
    const auto own = taps_.numbers(graph_, value);
    return own.empty() && encoder_ != nullptr ? encoder_->numbers(graph_, value) : own;
  }

  const Graph& graph_;
  const GoldenPrompt* prompt_;
  const TapCollector& taps_;
  const TapCollector* encoder_;
  std::span<const float> output_;
  EncoderRows encoder_rows_;
};

/// Compares values in order, watching how the noise of quantized weights grows.
class Comparing {
 public:
  Comparing(const Graph& graph, const GoldenTolerance& tolerance, std::optional<double> noise)
      : graph_(graph), tolerance_(tolerance), noise_(noise) {}

  NodeCheck compare(const std::string& name, const GoldenValue& reference,
                    const Computed& computed) {
    const GoldenPart part = part_of(name);
    GoldenTolerance tolerance = tolerance_;
    const bool stream = is_stream(part.value);
    // Quantization noise grows little from layer to layer; a layer that makes far more of it than
    // it was given is wrong, even where the limit of the type would still hold.
    if (tolerance.type_aware && noise_ && stream) {
      tolerance.relative_rms =
          std::min(tolerance.relative_rms, std::max(tolerance.relative_rms / 2, 3 * *noise_));
    }
    NodeCheck node = check_node(name, reference, computed.pair(reference, part), tolerance,
                                class_of(graph_, part.value));
    if (stream) noise_ = node.relative_rms;
    node.order = computed.order(name);
    return node;
  }

  /// A negative control passes when the model differs from it.
  NodeCheck compare_control(const std::string& name, const GoldenValue& reference,
                            const Computed& computed) const {
    const GoldenPart part = part_of(std::string_view(name).substr(name.find('.') + 1));
    const Pairing pairing = computed.pair(reference, part);
    NodeCheck control =
        check_node(name, reference, pairing, tolerance_, class_of(graph_, part.value));
    if (!pairing.problem.empty()) return control;
    control.remark = control.passed ? "the model agrees with a known mistake" : "";
    control.passed = !control.passed;
    return control;
  }

  std::optional<double> noise() const { return noise_; }

 private:
  const Graph& graph_;
  const GoldenTolerance& tolerance_;
  std::optional<double> noise_;  ///< relative RMS of the last value that a layer handed on
};

std::vector<std::string> in_order(std::vector<std::string> names, const Computed& computed) {
  std::ranges::sort(names, [&](const std::string& a, const std::string& b) {
    return std::pair(computed.order(a), std::string_view(a)) <
           std::pair(computed.order(b), std::string_view(b));
  });
  return names;
}

void compare_top(const GoldenPrompt& prompt, const GoldenTolerance& tolerance,
                 std::span<const float> last, PromptCheck& check) {
  if (prompt.top_ids.empty()) return;
  check.top_reference = prompt.top_ids;
  check.top_found = largest_ids(last, prompt.top_ids.size());
  const std::set<TokenId> found(check.top_found.begin(), check.top_found.end());
  for (const TokenId id : prompt.top_ids) check.top_common += found.count(id);
  check.top_passed = tolerance.type_aware ? check.top_common >= std::min(tolerance.top_overlap,
                                                                         prompt.top_ids.size())
                                          : check.top_found == prompt.top_ids;
}

Status compare_greedy(const GoldenPrompt& prompt, const GoldenTolerance& tolerance,
                      Session& session, SequenceId sequence, std::vector<float> last,
                      PromptCheck& check) {
  const std::size_t count = prompt.greedy_stop ? *prompt.greedy_stop + 1 : prompt.greedy_ids.size();
  std::size_t equal_ids = 0;
  for (; equal_ids < count; ++equal_ids) {
    const TokenId wanted = prompt.greedy_ids[equal_ids];
    if (largest_ids(last, 1).front() != wanted) break;
    if (equal_ids + 1 == count) continue;
    APR_ASSIGN(const auto logits, session.append(sequence, {&wanted, 1}));
    last.assign(logits.begin(), logits.end());
  }
  check.greedy_compared = count;
  check.greedy_equal = equal_ids;
  if (count > 0 && !tolerance.type_aware) check.greedy_passed = equal_ids == count;
  return {};
}

}  // namespace

Result<GoldenRun> GoldenRun::start(const Model& model, const GoldenTrace& trace,
                                   const GoldenCheckOptions& options) {
  const bool hears = model.facts().max_frames > 0;
  if (hears && !trace.audio()) {
    return make_error(ErrorCode::validation,
                      cat("the trace names no audio and no input_features, and ",
                          model.package().path(), " hears before it speaks"),
                      trace.path(), "the trace belongs to another model");
  }
  if (!hears && trace.audio()) {
    return make_error(ErrorCode::validation,
                      cat("the trace has audio, which ", model.package().path(), " cannot hear"),
                      trace.path(), "the trace belongs to another model");
  }
  for (const GoldenPrompt& prompt : trace.prompts()) {
    if (!model.facts().causal && !(prompt.top_ids.empty() && prompt.greedy_ids.empty())) {
      return make_error(ErrorCode::validation,
                        cat("prompt '", prompt.name, "' has next tokens, which ",
                            model.package().path(), " does not predict"),
                        trace.path(), "the trace belongs to another model");
    }
    for (const GoldenSequence& sequence : prompt.sequences) {
      const auto unknown = std::ranges::find_if(sequence.ids, [&](TokenId id) {
        return static_cast<std::uint32_t>(id) >= model.facts().vocab_size;
      });
      if (unknown != sequence.ids.end()) {
        return make_error(ErrorCode::validation,
                          cat("prompt '", prompt.name, "' has the id ", *unknown, ", and ",
                              model.package().path(), " has ", model.facts().vocab_size, " ids"),
                          trace.path(), "the trace belongs to another model");
      }
      if (takes_token_types(model.graph()) ||
          std::ranges::all_of(sequence.types, [](std::int32_t type) { return type == 0; })) {
        continue;
      }
      return make_error(ErrorCode::validation,
                        cat("prompt '", prompt.name, "' has token types, which ",
                            model.package().path(), " does not know"),
                        trace.path(), "the trace belongs to another model");
    }
  }
  const std::size_t sequences = trace.most_sequences() + (hears ? 1 : 0);
  APR_ASSIGN(Session session, model.start(static_cast<std::uint32_t>(trace.longest_sequence()),
                                          static_cast<std::uint32_t>(sequences)));
  return GoldenRun(model, trace, options, std::move(session));
}

Result<std::vector<float>> GoldenRun::hear(RunContext& context, PromptCheck& check) const {
  const GoldenAudio& audio = trace_.audio();
  const bool has_filters =
      std::ranges::find(trace_.shared_values(), kMelFilters) != trace_.shared_values().end();
  const bool records = !audio.file.empty() && options_.check_features;
  // The front end computes the same whatever the weights' types.
  GoldenTolerance plain = options_.tolerance;
  plain.type_aware = false;
  std::optional<LogMel> front_end;
  if (records || has_filters) {
    APR_ASSIGN(front_end, front_end_of(model_.package(), model_.graph()));
  }
  if (has_filters) {
    const std::vector<double> filters = mel_filters(front_end->options());
    const GoldenValue& reference = trace_.shared_value(kMelFilters);
    check.nodes.push_back(check_node(std::string(kMelFilters), reference,
                                     pair_whole(reference, {filters.begin(), filters.end()}), plain,
                                     ValueClass::mel_filters));
  }
  if (!records) {
    if (audio.frames > 0) return transposed(audio.numbers, audio.features);
    return make_error(ErrorCode::usage, "the trace holds no features, only a recording",
                      trace_.path(), "leave out --features-from-trace");
  }
  if (!audio.sha256.empty()) {
    APR_ASSIGN(const auto file, FileMapping::open(audio.file));
    if (sha256(file->bytes()).hex() != audio.sha256) {
      return make_error(ErrorCode::format,
                        cat("its SHA-256 is not the one that ", base_name(trace_.path()), " says"),
                        audio.file, "the two files do not belong together, or one was changed");
    }
  }
  APR_ASSIGN(std::vector<float> frames, frames_of_recording(context, *front_end, audio.file));
  if (audio.frames > 0) {
    const GoldenValue reference{Shape{audio.features, audio.frames}, audio.numbers, {}};
    const std::size_t rows = frames.size() / front_end->options().feature_size;
    check.nodes.push_back(check_node(std::string(kInputFeatures), reference,
                                     pair_whole(reference, transposed(frames, rows)), plain,
                                     ValueClass::input_features));
    check.nodes.back().order = 0;
  }
  return frames;
}

Result<std::optional<PromptCheck>> GoldenRun::check_audio(RunContext& context) {
  if (model_.facts().max_frames == 0) return std::optional<PromptCheck>();
  PromptCheck check;
  check.prompt = "audio";
  check.is_audio = true;
  APR_ASSIGN(const std::vector<float> frames, hear(context, check));
  APR_TRY(session_.encode(kAudio, frames, {&encoder_, nullptr}));
  for (const ValueId id : model_.graph().inputs()) {
    const ValueType& type = model_.graph().value(id).type;
    if (type.rows == Rows::frames) encoder_rows_.frames = frames.size() / type.features;
  }
  encoder_rows_.states = session_.states(kAudio);
  const Computed computed(model_, nullptr, encoder_, nullptr, {}, encoder_rows_);
  Comparing comparing(model_.graph(), options_.tolerance, {});
  for (const std::string& name : in_order(trace_.shared_values(), computed)) {
    const GoldenPart part = part_of(name);
    if (part.value == kInputFeatures || part.value == kMelFilters) continue;
    check.nodes.push_back(comparing.compare(name, trace_.shared_value(name), computed));
  }
  encoder_noise_ = comparing.noise();
  return std::optional(std::move(check));
}

Result<PromptCheck> GoldenRun::check(const GoldenPrompt& prompt) {
  PromptCheck check;
  check.prompt = prompt.name;
  if (options_.check_tokenizer) check_ids(model_, prompt, check);
  const bool hears = model_.facts().max_frames > 0;
  const SequenceId first = hears ? kAudio + 1 : 0;
  StepTokens step;
  for (std::size_t i = 0; i < prompt.sequences.size(); ++i) {
    const auto sequence = static_cast<SequenceId>(first + i);
    session_.release(sequence);
    if (hears) APR_TRY(session_.copy(kAudio, sequence));
    step.add(sequence, 0, prompt.sequences[i].ids, prompt.sequences[i].types);
  }
  TapCollector taps;
  APR_ASSIGN(const auto returned, step.run(session_, {&taps, nullptr}));
  const std::vector<float> output(returned.begin(), returned.end());
  const Computed computed(model_, &prompt, taps, &encoder_, output, encoder_rows_);
  Comparing comparing(model_.graph(), options_.tolerance, encoder_noise_);
  for (const std::string& name : in_order(prompt.values, computed)) {
    check.nodes.push_back(comparing.compare(name, trace_.value(prompt, name), computed));
  }
  if (!options_.tolerance.type_aware) {
    for (const std::string& name : prompt.controls) {
      check.controls.push_back(
          comparing.compare_control(name, trace_.value(prompt, name), computed));
    }
  }
  if (!model_.facts().causal) return check;
  const std::size_t vocabulary = model_.facts().vocab_size;
  const std::vector<float> last(output.end() - static_cast<std::ptrdiff_t>(vocabulary),
                                output.end());
  compare_top(prompt, options_.tolerance, last, check);
  APR_TRY(compare_greedy(prompt, options_.tolerance, session_, first, last, check));
  return check;
}

}  // namespace apr

#include "core/runtime/generator.h"

#include <algorithm>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/runtime/stop_scanner.h"
#include "core/text/utf8.h"

namespace apr {

namespace {

double seconds_since(std::uint64_t begin) {
  return static_cast<double>(monotonic_ns() - begin) * 1e-9;
}

Status check_request(const Session& session, SequenceId sequence, std::span<const TokenId> prompt,
                     const GenerateOptions& options) {
  if (prompt.empty()) {
    return make_error(ErrorCode::usage, "the prompt is empty: there is nothing to continue");
  }
  const std::uint64_t held = session.length(sequence);
  if (held + prompt.size() > session.context()) {
    return make_error(ErrorCode::usage,
                      cat("the prompt has ", held + prompt.size(),
                          " tokens, but the context holds ", session.context()),
                      {}, "shorten the prompt or use a larger --context");
  }
  for (const std::string& stop : options.stop_strings) {
    if (stop.empty()) return make_error(ErrorCode::usage, "a stop string is empty");
  }
  return {};
}

}  // namespace

std::string_view name_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop_id:
      return "stop_id";
    case FinishReason::stop_string:
      return "stop_string";
    case FinishReason::max_tokens:
      return "max_tokens";
    case FinishReason::context_full:
      return "context_full";
    case FinishReason::interrupted:
      return "interrupted";
  }
  return "unknown";
}

Result<GenerateOutcome> generate(Session& session, SequenceId sequence, const Tokenizer& tokenizer,
                                 std::span<const TokenId> prompt, const GenerateOptions& options,
                                 const std::function<bool(const GeneratedToken&)>& on_token) {
  APR_TRY(check_request(session, sequence, prompt, options));
  APR_ASSIGN(Sampler sampler, Sampler::create(options.sampler));
  const auto interrupted = [&] { return options.interrupted && options.interrupted(); };

  GenerateOutcome outcome;
  outcome.prompt_tokens = static_cast<std::uint32_t>(prompt.size());
  std::vector<TokenId> history = options.history;
  history.insert(history.end(), prompt.begin(), prompt.end());

  const std::uint64_t begin = monotonic_ns();
  const std::uint32_t held = session.length(sequence);
  std::span<const float> logits;
  const std::size_t step = std::max<std::size_t>(1, session.executable().options().max_tokens);
  for (std::size_t done = 0; done < prompt.size(); done += step) {
    if (interrupted()) {
      outcome.finish = FinishReason::interrupted;
      outcome.prefill_seconds = seconds_since(begin);
      return outcome;
    }
    const std::size_t count = std::min(step, prompt.size() - done);
    auto read = session.append(sequence, prompt.subspan(done, count), options.sinks);
    if (!read) {
      (void)session.truncate(sequence, held);  // as if nothing had been asked
      return std::move(read).error();
    }
    logits = *read;
  }
  outcome.prefill_seconds = seconds_since(begin);

  const std::uint64_t decode_begin = monotonic_ns();
  Utf8Joiner characters;
  StopScanner stops(options.stop_strings);
  outcome.finish = FinishReason::max_tokens;
  while (outcome.ids.size() < options.max_tokens) {
    if (interrupted()) {
      outcome.finish = FinishReason::interrupted;
      break;
    }
    APR_ASSIGN(const TokenId id, sampler.sample(logits, history));
    if (std::find(options.stop_ids.begin(), options.stop_ids.end(), id) != options.stop_ids.end()) {
      outcome.finish = FinishReason::stop_id;
      break;
    }
    outcome.ids.push_back(id);
    history.push_back(id);
    const std::string text =
        stops.push(characters.push(tokenizer.piece(id, !options.keep_special)));
    outcome.text += text;
    if (on_token && !on_token({id, text, logits})) {
      outcome.finish = FinishReason::interrupted;
      break;
    }
    if (stops.found()) {
      outcome.finish = FinishReason::stop_string;
      break;
    }
    if (outcome.ids.size() == options.max_tokens) break;
    if (session.length(sequence) >= session.context()) {
      outcome.finish = FinishReason::context_full;
      break;
    }
    APR_ASSIGN(logits, session.append(sequence, {&id, 1}, options.sinks));
  }
  if (!stops.found()) {
    outcome.text += stops.push(characters.finish());
    outcome.text += stops.finish();
  }
  // A character that the last token left incomplete will not be completed any more.
  if (const std::size_t cut = incomplete_utf8_suffix(outcome.text); cut > 0) {
    outcome.text.resize(outcome.text.size() - cut);
    append_utf8(outcome.text, 0xFFFD);
  }
  outcome.decode_seconds = seconds_since(decode_begin);
  return outcome;
}

}  // namespace apr

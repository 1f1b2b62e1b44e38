#include "orchestrator/stages/conversation.h"

#include <algorithm>

#include "core/base/cat.h"
#include "orchestrator/stages/generation.h"

namespace apr {

namespace {

constexpr SequenceId kSequence = 0;

}  // namespace

Result<Conversation> Conversation::create(const Values& params, const Model& model) {
  APR_ASSIGN(const Tokenizer* tokenizer, model.tokenizer());
  APR_ASSIGN(const ChatTemplate* chat_template, model.chat_template());
  APR_ASSIGN(const std::uint32_t context, context_size(params, model));
  APR_ASSIGN(GenerateOptions options, generate_options(params, model, context));
  APR_ASSIGN(ChatTemplate::Variables variables, template_variables(params, model));
  APR_ASSIGN(Session session, model.start(context));
  Conversation conversation(model, std::move(session));
  conversation.tokenizer_ = tokenizer;
  conversation.template_ = chat_template;
  conversation.variables_ = std::move(variables);
  conversation.options_ = std::move(options);
  if (params.has("system")) conversation.system_ = params.text("system");
  return conversation;
}

void Conversation::clear() {
  messages_.clear();
}

void Conversation::set_system(std::optional<std::string> text) {
  system_ = std::move(text);
  messages_.clear();
}

void Conversation::restore(std::optional<std::string> system, std::vector<ChatMessage> messages) {
  system_ = std::move(system);
  messages_ = std::move(messages);
}

Status Conversation::set_options(const Values& params) {
  APR_ASSIGN(GenerateOptions options, generate_options(params, *model_, context()));
  options.sinks = options_.sinks;
  options_ = std::move(options);
  return {};
}

void Conversation::record_attention(AttentionRecord* record) {
  record_ = record;
  options_.sinks.taps = record;
}

Status Conversation::read_again() {
  if (held_.empty()) return {};
  session_.release(kSequence);
  if (record_ != nullptr) record_->truncate(0);
  auto read = session_.append(kSequence, held_, options_.sinks);
  if (read) return {};
  session_.release(kSequence);
  held_.clear();
  return std::move(read).error();
}

Result<std::vector<TokenId>> Conversation::tokens_of(
    const std::vector<ChatMessage>& messages) const {
  std::vector<ChatMessage> all;
  if (system_) all.push_back({"system", *system_});
  all.insert(all.end(), messages.begin(), messages.end());
  APR_ASSIGN(const MarkedText text, template_->render(all, variables_, {}));
  return tokenizer_->encode(text, false);
}

std::size_t Conversation::keep_common(const std::vector<TokenId>& prompt) {
  // One token at least is read anew: its logits begin the answer.
  const std::size_t most = std::min(held_.size(), prompt.size() - 1);
  std::size_t common = 0;
  while (common < most && held_[common] == prompt[common]) ++common;
  if (record_ != nullptr && !record_->full()) common = std::min(common, record_->rows());
  if (!session_.truncate(kSequence, static_cast<std::uint32_t>(common))) {
    session_.release(kSequence);  // a window has moved on: read everything again
    common = 0;
  }
  held_.resize(common);
  if (record_ != nullptr) record_->truncate(common);
  return common;
}

Result<Conversation::Turn> Conversation::say(
    std::string message, const std::function<bool()>& interrupted,
    const std::function<bool(const GeneratedToken&)>& on_token) {
  std::vector<ChatMessage> messages = messages_;
  messages.push_back({"user", std::move(message)});
  return answer(std::move(messages), interrupted, on_token);
}

Result<Conversation::Turn> Conversation::retry(
    const std::function<bool()>& interrupted,
    const std::function<bool(const GeneratedToken&)>& on_token) {
  std::vector<ChatMessage> messages = messages_;
  if (!messages.empty() && messages.back().role == "assistant") messages.pop_back();
  if (messages.empty() || messages.back().role != "user") {
    return make_error(ErrorCode::usage, "there is no answer yet that could be tried again");
  }
  return answer(std::move(messages), interrupted, on_token);
}

Result<Conversation::Turn> Conversation::answer(
    std::vector<ChatMessage> messages, const std::function<bool()>& interrupted,
    const std::function<bool(const GeneratedToken&)>& on_token) {
  Turn turn;
  APR_ASSIGN(turn.prompt, tokens_of(messages));
  if (turn.prompt.empty()) {
    return make_error(ErrorCode::load, "the chat template makes an empty prompt",
                      model_->package().path());
  }
  if (turn.prompt.size() > context()) {
    return make_error(ErrorCode::usage,
                      cat("the conversation has ", turn.prompt.size(),
                          " tokens, but the context holds ", context()),
                      {}, "say less, use a larger --context, or begin anew (/clear in a chat)");
  }
  turn.reused = keep_common(turn.prompt);
  options_.history.assign(turn.prompt.begin(),
                          turn.prompt.begin() + static_cast<std::ptrdiff_t>(turn.reused));
  options_.interrupted = interrupted;
  auto outcome = generate(session_, kSequence, *tokenizer_,
                          std::span(turn.prompt).subspan(turn.reused), options_, on_token);
  if (!outcome) {
    session_.release(kSequence);
    held_.clear();
    return std::move(outcome).error();
  }
  turn.outcome = *std::move(outcome);
  held_ = turn.prompt;
  held_.insert(held_.end(), turn.outcome.ids.begin(), turn.outcome.ids.end());
  held_.resize(session_.length(kSequence));
  messages_ = std::move(messages);
  messages_.push_back({"assistant", turn.outcome.text});
  return turn;
}

}  // namespace apr

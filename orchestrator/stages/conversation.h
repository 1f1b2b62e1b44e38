// A conversation with a model: messages, and what of them the session has read already.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/runtime/generator.h"
#include "core/runtime/model.h"
#include "orchestrator/stages/attention_record.h"
#include "orchestrator/stages/verb.h"

namespace apr {

/// Every turn renders and tokenizes the whole conversation anew and keeps of the session what the
/// new prompt has in common with the last one: templates may rewrite earlier messages, so nothing
/// is assumed.
class Conversation {
 public:
  /// With the verb's parameters (see add_generation_params). `model` must outlive it.
  static Result<Conversation> create(const Values& params, const Model& model);

  struct Turn {
    GenerateOutcome outcome;
    std::vector<TokenId> prompt;  ///< the whole of it
    std::size_t reused = 0;       ///< tokens of it that the session held already
  };
  /// Adds the user's message and the model's answer. After an error the conversation is as before.
  Result<Turn> say(std::string message, const std::function<bool()>& interrupted,
                   const std::function<bool(const GeneratedToken&)>& on_token);

  /// Answers the last message again, in place of the last answer. An error if there is none.
  Result<Turn> retry(const std::function<bool()>& interrupted,
                     const std::function<bool(const GeneratedToken&)>& on_token);

  void clear();  ///< keeps the system message
  void set_system(std::optional<std::string> text);
  const std::optional<std::string>& system() const { return system_; }
  const std::vector<ChatMessage>& messages() const { return messages_; }
  /// Goes on with another conversation.
  void restore(std::optional<std::string> system, std::vector<ChatMessage> messages);
  /// Sampling and limits, as the verb's parameters; an error changes nothing.
  Status set_options(const Values& params);
  const GenerateOptions& options() const { return options_; }

  /// Records attention from now on. `record` must outlive the conversation.
  void record_attention(AttentionRecord* record);
  /// Reads what the session holds once more: the same bits, for a record of another layer.
  Status read_again();
  /// What the session has read.
  const std::vector<TokenId>& held() const { return held_; }
  std::uint32_t context() const { return session_.context(); }
  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  Conversation(const Model& model, Session session)
      : model_(&model), session_(std::move(session)) {}
  Result<std::vector<TokenId>> tokens_of(const std::vector<ChatMessage>& messages) const;
  Result<Turn> answer(std::vector<ChatMessage> messages, const std::function<bool()>& interrupted,
                      const std::function<bool(const GeneratedToken&)>& on_token);
  std::size_t keep_common(const std::vector<TokenId>& prompt);

  const Model* model_;
  Session session_;
  const Tokenizer* tokenizer_ = nullptr;
  const ChatTemplate* template_ = nullptr;
  ChatTemplate::Variables variables_;
  GenerateOptions options_;
  std::optional<std::string> system_;
  std::vector<ChatMessage> messages_;
  std::vector<TokenId> held_;
  AttentionRecord* record_ = nullptr;
};

}  // namespace apr

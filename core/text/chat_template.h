// ChatTemplate: messages -> prompt, by a model's own Jinja template.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/text/marked_text.h"

namespace apr {

struct ChatMessage {
  std::string role;
  std::string content;
};

/// A parsed template. Templates come from strangers: rendering is bounded in steps, depth and
/// output, reaches nothing but its inputs, and reports errors with the template's line and column.
/// Strings carry where they came from through every operation: literals of the template are
/// trusted, messages are not.
class APR_API ChatTemplate {
 public:
  static Result<ChatTemplate> parse(std::string_view source, std::string_view file);

  struct Limits {
    std::uint64_t max_steps = 2'000'000;
    std::uint64_t max_output_bytes = 64u << 20;
  };
  struct Variables {
    std::string bos_token;  ///< trusted
    std::string eos_token;  ///< trusted
    /// The model's other special tokens by name (pad_token, additional_special_tokens, …): trusted.
    Json special_tokens = Json::object();
    bool add_generation_prompt = true;
    Json tools;                   ///< null when there are none; untrusted
    Json extra = Json::object();  ///< further variables by name; untrusted
  };
  Result<MarkedText> render(const std::vector<ChatMessage>& messages, const Variables& variables,
                            const Limits& limits) const;
  /// `messages` as JSON, for tool calls and structured content.
  Result<MarkedText> render(const Json& messages, const Variables& variables,
                            const Limits& limits) const;

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

 private:
  ChatTemplate();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace apr

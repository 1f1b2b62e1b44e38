#include "core/text/chat_template.h"

#include <charconv>
#include <optional>

#include "core/base/cat.h"
#include "core/text/jinja/interpreter.h"
#include "core/text/jinja/parser.h"

namespace apr {
namespace {

constexpr std::size_t kMaxTemplateBytes = std::size_t{1} << 20;

std::int64_t days_from_civil(std::int64_t year, std::int64_t month, std::int64_t day) {
  if (month <= 2) --year;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t from_march = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + from_march -
         719468;
}

/// "2024-07-26" or "2024-07-26 13:05:00" (a T in between is fine), as seconds since 1970, UTC.
std::optional<std::int64_t> seconds_of(std::string_view text) {
  std::int64_t parts[6] = {0, 1, 1, 0, 0, 0};
  constexpr std::string_view kBetween[6] = {"", "-", "-", "T ", ":", ":"};
  constexpr std::size_t kWidth[6] = {4, 2, 2, 2, 2, 2};
  std::size_t count = 0;
  for (; count < 6 && !text.empty(); ++count) {
    if (count > 0) {
      if (kBetween[count].find(text[0]) == std::string_view::npos) return std::nullopt;
      text.remove_prefix(1);
    }
    if (text.size() < kWidth[count]) return std::nullopt;
    const auto read = std::from_chars(text.data(), text.data() + kWidth[count], parts[count]);
    if (read.ec != std::errc{} || read.ptr != text.data() + kWidth[count]) return std::nullopt;
    text.remove_prefix(kWidth[count]);
  }
  const bool in_range = parts[0] >= 0 && parts[1] >= 1 && parts[1] <= 12 && parts[2] >= 1 &&
                        parts[2] <= 31 && parts[3] < 24 && parts[4] < 60 && parts[5] < 61;
  if (!text.empty() || (count != 3 && count < 5) || !in_range) return std::nullopt;
  return days_from_civil(parts[0], parts[1], parts[2]) * 86400 + parts[3] * 3600 + parts[4] * 60 +
         parts[5];
}

}  // namespace

struct ChatTemplate::State {
  State(std::string_view text, std::string_view file) : source(text, file) {}
  jinja::Source source;
  std::vector<jinja::Statement> body;
};

ChatTemplate::ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, std::string_view file) {
  if (source.size() > kMaxTemplateBytes) {
    return make_error(
        ErrorCode::format,
        cat("the chat template has ", source.size(), " bytes, more than ", kMaxTemplateBytes),
        std::string(file));
  }
  ChatTemplate result;
  result.state_ = std::make_unique<State>(source, file);
  APR_ASSIGN(result.state_->body, jinja::parse_template(result.state_->source));
  return result;
}

Result<MarkedText> ChatTemplate::render(const std::vector<ChatMessage>& messages,
                                        const Variables& variables, const Limits& limits) const {
  Json list = Json::array();
  for (const ChatMessage& message : messages) {
    list.push_back(Json::object({{"role", message.role}, {"content", message.content}}));
  }
  return render(list, variables, limits);
}

Result<MarkedText> ChatTemplate::render(const Json& messages, const Variables& variables,
                                        const Limits& limits) const {
  jinja::Meter meter(limits.max_steps, limits.max_output_bytes);
  jinja::Interpreter interpreter(state_->source, meter);
  const auto define = [&](std::string_view name, const Json& json, bool trusted = false) -> Status {
    auto value = jinja::from_json(json, trusted);
    if (!value) {
      return make_error(ErrorCode::usage,
                        cat(name, " is nested more than ", jinja::kMaxValueDepth, " levels deep"),
                        state_->source.file());
    }
    interpreter.define(name, *std::move(value));
    return {};
  };
  APR_TRY(define("messages", messages));
  APR_TRY(define("tools", variables.tools));
  interpreter.define("documents", jinja::Value(jinja::None{}));
  interpreter.define("add_generation_prompt", jinja::Value(variables.add_generation_prompt));
  for (const auto& [name, value] : variables.special_tokens.as_object()) {
    APR_TRY(define(name, value, true));
  }
  // A token the model does not have is undefined, which prints as nothing.
  if (!variables.bos_token.empty()) {
    interpreter.define("bos_token", jinja::Value::trusted(variables.bos_token));
  }
  if (!variables.eos_token.empty()) {
    interpreter.define("eos_token", jinja::Value::trusted(variables.eos_token));
  }
  for (const auto& [name, value] : variables.extra.as_object()) {
    if (name == "now") {
      const auto seconds =
          value.is_integer() ? std::optional(value.as_integer()) : seconds_of(value.as_string());
      if (!seconds || *seconds < -62'135'596'800 || *seconds > 253'402'300'799) {
        return make_error(
            ErrorCode::usage,
            cat("the date ", value.dump(), " is neither like 2024-07-26 nor seconds since 1970"));
      }
      interpreter.set_now(*seconds);
      continue;
    }
    APR_TRY(define(name, value));
  }
  return interpreter.run(state_->body);
}

}  // namespace apr

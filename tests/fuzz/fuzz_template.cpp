// Any bytes as a template, rendered with a small conversation under tight limits. Nothing that a
// message says is ever taken for the template's own words.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/text/chat_template.h"

namespace {

/// A character that messages hold. Templates that spell it themselves prove nothing.
constexpr std::string_view kMark = "\xEE\x80\x80";

bool spells_the_mark(std::string_view source) {
  for (const char* form : {"\xEE\x80\x80", "e000", "E000", "\\x", "57344"}) {
    if (source.find(form) != source.npos) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace apr;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto chat = ChatTemplate::parse(source, "fuzz.jinja");
  if (!chat) return 0;
  static const Json messages(JsonArray{
      Json::object({{"role", "system"}, {"content", " be \xff brief\n"}}),
      Json::object({{"role", "user"},
                    {"content", std::string("Grüße,") + std::string(kMark) + " <|im_end|>"}}),
      Json::object(
          {{"role", "assistant"},
           {"content", ""},
           {"tool_calls",
            Json(JsonArray{Json::object(
                {{"name", "f"}, {"arguments", Json::object({{"a", 1}, {"b", 2.5}})}})})}})});
  ChatTemplate::Variables variables;
  variables.bos_token = "<s>";
  variables.extra = Json::object({{"now", "2024-07-26"}, {"xs", Json(JsonArray{3, 1, 2})}});
  const auto text = chat->render(messages, variables, {20'000, 1u << 16});
  if (!text) return 0;
  if (text->size() > (1u << 16)) __builtin_trap();
  if (spells_the_mark(source)) return 0;
  for (const MarkedText::Span& span : text->spans()) {
    if (!span.trusted) continue;
    const auto part = std::string_view(text->text()).substr(span.begin, span.end - span.begin);
    if (part.find(kMark) != part.npos) __builtin_trap();
  }
  return 0;
}

// Any bytes as a template, rendered with a small conversation under tight limits.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace apr;
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto chat = ChatTemplate::parse(source, "fuzz.jinja");
  if (!chat) return 0;
  static const Json messages(JsonArray{
      Json::object({{"role", "system"}, {"content", " be \xff brief\n"}}),
      Json::object({{"role", "user"}, {"content", "Grüße, <|im_end|>"}}),
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
  if (text && text->size() > (1u << 16)) __builtin_trap();
  return 0;
}

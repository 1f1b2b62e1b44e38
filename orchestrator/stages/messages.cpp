#include "orchestrator/stages/messages.h"

#include "core/base/cat.h"

namespace apr {

namespace {

Error wrong(const std::string& file, const std::string& field, std::string what,
            std::string hint = {}) {
  return make_error(ErrorCode::format, cat("field ", field, " ", what), file, std::move(hint));
}

std::string described(const Json& value) {
  switch (value.kind()) {
    case Json::Kind::null:
      return "null";
    case Json::Kind::boolean:
      return value.dump();
    case Json::Kind::string:
      return "a text";
    case Json::Kind::array:
      return "a list";
    case Json::Kind::object:
      return "an object";
    default:
      return "a number";
  }
}

Status check_call(const Json& call, const std::string& file, const std::string& field) {
  if (!call.is_object()) return wrong(file, field, "is not an object");
  const bool nested = call.contains("function");
  const Json& function = nested ? call["function"] : call;
  const std::string where = nested ? field + ".function" : field;
  if (!function.is_object()) return wrong(file, where, "is not an object");
  if (!function["name"].is_string()) {
    return wrong(file, where + ".name", function.contains("name") ? "is not a text" : "is missing");
  }
  return {};
}

Status check_message(const Json& message, const std::string& file, const std::string& field) {
  if (!message.is_object()) {
    return wrong(file, field, cat("is ", described(message), ", not an object"),
                 "a message is like {\"role\": \"user\", \"content\": \"Hello\"}");
  }
  if (!message.contains("role")) return wrong(file, field + ".role", "is missing");
  if (!message["role"].is_string()) {
    return wrong(file, field + ".role", cat("is ", described(message["role"]), ", not a text"));
  }
  if (const Json* content = message.find("content")) {
    if (content->is_boolean() || content->is_number()) {
      return wrong(file, field + ".content",
                   cat("is ", described(*content), ", not a text or a list of parts"));
    }
    for (std::size_t i = 0; i < content->as_array().size(); ++i) {
      const Json& part = content->as_array()[i];
      if (part.is_object() && message["role"].as_string() != "tool" && part.contains("type") &&
          !part["type"].is_string()) {
        return wrong(file, cat(field, ".content[", i, "].type"), "is not a text");
      }
    }
  }
  const Json& calls = message["tool_calls"];
  if (!calls.is_null() && !calls.is_array()) {
    return wrong(file, field + ".tool_calls", cat("is ", described(calls), ", not a list"));
  }
  for (std::size_t i = 0; i < calls.as_array().size(); ++i) {
    APR_TRY(check_call(calls.as_array()[i], file, cat(field, ".tool_calls[", i, "]")));
  }
  return {};
}

Status check_tools(const Json& tools, const std::string& file, const std::string& field) {
  if (!tools.is_array()) {
    return wrong(file, field, cat("is ", described(tools), ", not a list of tools"));
  }
  for (std::size_t i = 0; i < tools.as_array().size(); ++i) {
    if (!tools.as_array()[i].is_object()) {
      return wrong(file, cat(field, "[", i, "]"), "is not an object");
    }
  }
  return {};
}

}  // namespace

Result<MessagesFile> read_messages(std::string_view text, const std::string& file) {
  APR_ASSIGN(Json json, parse_json(text, file));
  MessagesFile result;
  if (json.is_object()) {
    for (const auto& [name, value] : json.as_object()) {
      if (name == "messages" || name == "tools") continue;
      return wrong(file, name, "means nothing here",
                   "there may be messages and tools; --set gives a template other variables");
    }
    if (!json.contains("messages")) return wrong(file, "messages", "is missing");
    if (!json["tools"].is_null()) {
      APR_TRY(check_tools(json["tools"], file, "tools"));
      result.tools = json["tools"];
    }
    result.messages = json["messages"];
  } else {
    result.messages = std::move(json);
  }
  if (!result.messages.is_array()) {
    return wrong(file, "messages", cat("is ", described(result.messages), ", not a list"));
  }
  for (std::size_t i = 0; i < result.messages.as_array().size(); ++i) {
    APR_TRY(check_message(result.messages.as_array()[i], file, cat("messages[", i, "]")));
  }
  return result;
}

Result<Json> read_tools(std::string_view text, const std::string& file) {
  APR_ASSIGN(Json json, parse_json(text, file));
  Json tools = json.is_object() ? json["tools"] : std::move(json);
  APR_TRY(check_tools(tools, file, "tools"));
  return tools;
}

}  // namespace apr

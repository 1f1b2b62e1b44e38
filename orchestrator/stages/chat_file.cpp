#include "orchestrator/stages/chat_file.h"

#include <utility>

#include "core/base/cat.h"
#include "core/base/json.h"
#include "core/platform/file.h"
#include "orchestrator/stages/messages.h"

namespace apr {

Status save_chat(const std::string& path, const SavedChat& chat, bool overwrite) {
  Json messages = Json::array();
  const auto add = [&](std::string_view role, std::string_view content) {
    messages.push_back(
        Json::object({{"role", std::string(role)}, {"content", std::string(content)}}));
  };
  if (chat.system) add("system", *chat.system);
  for (const ChatMessage& message : chat.messages) add(message.role, message.content);
  const Json file = Json::object({{"messages", std::move(messages)}});
  APR_ASSIGN(AtomicFile out, AtomicFile::create(path, overwrite));
  APR_TRY(out.write(file.dump() + "\n"));
  return out.commit();
}

Result<SavedChat> load_chat(const std::string& path) {
  APR_ASSIGN(const std::string text, read_file(path, kMaxMessageBytes));
  APR_ASSIGN(const MessagesFile file, read_messages(text, path));
  SavedChat chat;
  for (std::size_t i = 0; i < file.messages.size(); ++i) {
    const Json& entry = file.messages.as_array()[i];
    const std::string& role = entry["role"].as_string();
    const auto wrong = [&](std::string_view field, std::string problem) {
      return make_error(ErrorCode::format,
                        cat("field messages[", i, "].", field, " ", std::move(problem)), path,
                        "a chat holds texts of user and assistant, and of system at its beginning");
    };
    if (!entry["content"].is_string()) return wrong("content", "is no text");
    if (role == "system" && i == 0) {
      chat.system = entry["content"].as_string();
    } else if (role == "user" || role == "assistant") {
      chat.messages.push_back({role, entry["content"].as_string()});
    } else {
      return wrong("role", cat("is ", entry["role"].dump()));
    }
  }
  return chat;
}

}  // namespace apr

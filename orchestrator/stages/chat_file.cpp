#include "orchestrator/stages/chat_file.h"

#include <utility>

#include "core/base/cat.h"
#include "core/base/json.h"
#include "core/platform/file.h"

namespace apr {

namespace {

constexpr std::uint64_t kMaxBytes = 64u << 20;
constexpr std::string_view kFormat = "apr-chat-1";

}  // namespace

Status save_chat(const std::string& path, const SavedChat& chat, bool overwrite) {
  Json messages = Json::array();
  const auto add = [&](std::string_view role, std::string_view content) {
    messages.push_back(
        Json::object({{"role", std::string(role)}, {"content", std::string(content)}}));
  };
  if (chat.system) add("system", *chat.system);
  for (const ChatMessage& message : chat.messages) add(message.role, message.content);
  const Json file =
      Json::object({{"format", std::string(kFormat)}, {"messages", std::move(messages)}});
  APR_ASSIGN(AtomicFile out, AtomicFile::create(path, overwrite));
  APR_TRY(out.write(file.dump() + "\n"));
  return out.commit();
}

Result<SavedChat> load_chat(const std::string& path) {
  APR_ASSIGN(const std::string text, read_file(path, kMaxBytes));
  APR_ASSIGN(const Json file, parse_json(text, path));
  const auto malformed = [&](std::string what) {
    return make_error(ErrorCode::format, std::move(what), path,
                      "a saved chat is {\"messages\": [{\"role\": …, \"content\": …}, …]}");
  };
  const Json& list = file.is_array() ? file : file["messages"];
  if (!list.is_array()) return malformed("field messages is not a list");
  if (!file.is_array() && file.contains("format") && file["format"].as_string() != kFormat) {
    return malformed(cat("field format is ", file["format"].dump(), ", not ", kFormat));
  }
  SavedChat chat;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Json& entry = list.as_array()[i];
    const std::string field = cat("messages[", i, "]");
    const std::string& role = entry["role"].as_string();
    if (!entry["content"].is_string())
      return malformed(cat("field ", field, ".content is no text"));
    if (role == "system" && i == 0) {
      chat.system = entry["content"].as_string();
    } else if (role == "user" || role == "assistant") {
      chat.messages.push_back({role, entry["content"].as_string()});
    } else {
      return malformed(cat("field ", field, ".role is ", entry["role"].dump(),
                           "; user and assistant are known, and system for the first"));
    }
  }
  return chat;
}

}  // namespace apr

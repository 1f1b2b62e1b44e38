// A saved conversation: what /save writes and /load reads.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/text/chat_template.h"

namespace apr {

struct SavedChat {
  std::optional<std::string> system;
  std::vector<ChatMessage> messages;
};

/// {"messages": [{"role": …, "content": …}, …]}, as `apr template --messages` reads it; the system
/// message is the first. An existing file is refused unless `overwrite`.
Status save_chat(const std::string& path, const SavedChat& chat, bool overwrite);
/// That, or a bare list of messages. Errors name the field.
Result<SavedChat> load_chat(const std::string& path);

}  // namespace apr

// Conversations from files: read under limits, checked field by field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/json.h"

namespace apr {

inline constexpr std::uint64_t kMaxMessageBytes = std::uint64_t{64} << 20;

struct MessagesFile {
  Json messages;
  Json tools;  ///< null: the file has none
};

/// A list of messages, or an object with `messages` and perhaps `tools`. Errors name the file and
/// the field: "messages[2].role is missing".
Result<MessagesFile> read_messages(std::string_view text, const std::string& file);
/// A list of tools, or an object with one in `tools`.
Result<Json> read_tools(std::string_view text, const std::string& file);

}  // namespace apr

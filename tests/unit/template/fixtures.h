// Conversations and templates that the tests share.
#pragma once

#include <string>

#include "core/base/json.h"
#include "core/text/chat_template.h"

namespace apr::test {

/// A file of this folder's oracle/, as JSON.
Json oracle_json(const std::string& name);
std::string oracle_text(const std::string& name);
/// The file's content; empty if it is not there.
std::string file_text(const std::string& path);

/// Renders a conversation of dialogs.json.
Result<MarkedText> render_dialog(const ChatTemplate& chat, const Json& dialog);
/// Renders a template with variables from JSON; untrusted all of them.
Result<MarkedText> render(const std::string& source, const Json& variables = Json::object(),
                          const ChatTemplate::Limits& limits = {});
std::string rendered(const std::string& source, const Json& variables = Json::object());

/// The bytes that lie in trusted spans, spans separated by a zero byte.
std::string trusted_part(const MarkedText& text);

}  // namespace apr::test

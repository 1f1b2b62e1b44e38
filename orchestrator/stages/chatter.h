// One chat from its first line to its last: commands, turns, what --inspect shows.
#pragma once

#include <string_view>

#include "orchestrator/stages/conversation.h"
#include "orchestrator/stages/verb.h"

namespace apr {

/// The commands, a line each.
inline constexpr std::string_view kChatHelp =
    "/help              this page\n"
    "/clear             forget the conversation\n"
    "/system TEXT       set the system message and forget the conversation\n"
    "/save FILE         keep the conversation (-f FILE replaces a file)\n"
    "/load FILE         go on with a kept conversation\n"
    "/set [NAME VALUE]  change a setting, such as max-tokens 500; alone: list them\n"
    "/retry             answer the last message again, with the next seed\n"
    "/attn LAYER HEAD   draw what each token paid attention to (with --inspect)\n"
    "/quit              end the chat (or Ctrl-D)\n"
    "//text             a message that begins with a slash\n"
    "Ctrl-C             stop the answer\n"
    "A backslash at a line's end goes on with the next; a paste is one message.";

/// Talks until the input ends. `info`: the verb's, whose parameters /set changes.
Result<Outcome> run_chat(RunContext& context, const VerbInfo& info, const Model& model,
                         Conversation conversation);

}  // namespace apr

// The table of temporary files and folders that exist right now, readable from a signal handler.
#pragma once

#include <string_view>

namespace apr::platform {

enum class TemporaryKind { file, folder };

/// Enters a path; the slot's number, or -1 if the table is full or the path too long (then a signal
/// leaves the file behind; nothing else changes).
int enter_temporary(std::string_view path, TemporaryKind kind) noexcept;
/// Frees a slot; -1 is fine.
void leave_temporary(int slot) noexcept;
/// Frees the slots of all files and folders inside a folder.
void leave_temporaries_in(std::string_view folder) noexcept;

}  // namespace apr::platform

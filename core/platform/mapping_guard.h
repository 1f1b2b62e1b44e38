// The table of live mappings that the SIGBUS handler of guard_mappings() looks into.
#pragma once

#include <cstddef>
#include <span>

namespace apr::platform {

/// A mapping beyond the table's size is merely not guarded.
void enter_mapping(std::span<const std::byte> bytes) noexcept;
void leave_mapping(std::span<const std::byte> bytes) noexcept;

}  // namespace apr::platform

#include "core/platform/temporary.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>

#include "core/platform/file.h"

namespace apr {

namespace {

enum SlotState : int { kFree, kFilling, kFile, kFolder };

struct Slot {
  std::atomic<int> state{kFree};
  std::array<char, 4096> path{};
};

// Fixed storage: a signal handler can neither lock nor allocate.
constinit std::array<Slot, 128> g_slots{};

std::string_view path_of(const Slot& slot) {
  return {slot.path.data(), std::strlen(slot.path.data())};
}

}  // namespace

namespace platform {

int enter_temporary(std::string_view path, TemporaryKind kind) noexcept {
  for (std::size_t i = 0; i < g_slots.size(); ++i) {
    Slot& slot = g_slots[i];
    if (path.size() >= slot.path.size()) return -1;
    int expected = kFree;
    if (!slot.state.compare_exchange_strong(expected, kFilling)) continue;
    std::memcpy(slot.path.data(), path.data(), path.size());
    slot.path[path.size()] = '\0';
    slot.state.store(kind == TemporaryKind::file ? kFile : kFolder);
    return static_cast<int>(i);
  }
  return -1;
}

void leave_temporary(int slot) noexcept {
  if (slot >= 0) g_slots[static_cast<std::size_t>(slot)].state.store(kFree);
}

void leave_temporaries_in(std::string_view folder) noexcept {
  for (Slot& slot : g_slots) {
    if (const int state = slot.state.load(); state != kFile && state != kFolder) continue;
    const std::string_view path = path_of(slot);
    if (path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/') {
      slot.state.store(kFree);
    }
  }
}

}  // namespace platform

void remove_temporary_files() noexcept {
  for (const Slot& slot : g_slots) {
    if (slot.state.load() == kFile) ::unlink(slot.path.data());
  }
  for (int depth = 0; depth < 2; ++depth) {  // a folder goes once those in it are gone
    for (const Slot& slot : g_slots) {
      if (slot.state.load() == kFolder) ::rmdir(slot.path.data());
    }
  }
}

}  // namespace apr

// A page of a mapping whose file has been cut short raises SIGBUS. The handler puts a page of zeros
// in its place and returns, so that the read goes on; whoever commits a result asks
// check_unchanged() first.
#include "core/platform/mapping_guard.h"

#include "core/platform/file.h"

#if defined(__wasm__)

namespace apr {
void platform::enter_mapping(std::span<const std::byte>) noexcept {}
void platform::leave_mapping(std::span<const std::byte>) noexcept {}
void guard_mappings() noexcept {}
}  // namespace apr

#else

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>

namespace apr {

namespace {

struct Slot {
  std::atomic<std::uintptr_t> begin{0};  ///< 0: free
  std::atomic<std::uintptr_t> end{0};
};

constinit std::array<Slot, 512> g_mappings{};
struct sigaction g_previous{};
std::uintptr_t g_page = 4096;

bool replace_page(std::uintptr_t address) {
  for (const Slot& slot : g_mappings) {
    const std::uintptr_t begin = slot.begin.load();
    if (begin == 0 || address < begin || address >= slot.end.load()) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the address comes from the kernel as a number
    void* page = reinterpret_cast<void*>(address & ~(g_page - 1));
    return ::mmap(page, g_page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page;
  }
  return false;
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const bool by_kernel = info->si_code > 0;  // kill() and raise() carry no address
  const bool mended = by_kernel && replace_page(reinterpret_cast<std::uintptr_t>(info->si_addr));
  errno = error;
  if (mended) return;
  if ((g_previous.sa_flags & SA_SIGINFO) != 0)
    return g_previous.sa_sigaction(signal, info, context);
  if (g_previous.sa_handler != SIG_DFL && g_previous.sa_handler != SIG_IGN) {
    return g_previous.sa_handler(signal);
  }
  ::signal(signal, SIG_DFL);  // the instruction runs again, and the process ends as it would have
}

}  // namespace

void platform::enter_mapping(std::span<const std::byte> bytes) noexcept {
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  for (Slot& slot : g_mappings) {
    std::uintptr_t free = 0;
    if (!slot.begin.compare_exchange_strong(free, begin)) continue;
    slot.end.store(begin + bytes.size());
    return;
  }
}

void platform::leave_mapping(std::span<const std::byte> bytes) noexcept {
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  for (Slot& slot : g_mappings) {
    if (slot.begin.load() != begin) continue;
    slot.end.store(0);
    slot.begin.store(0);
    return;
  }
}

void guard_mappings() noexcept {
  g_page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action{};
  action.sa_sigaction = &on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &g_previous);
}

}  // namespace apr

#endif

#include "core/platform/clock.h"

#include <charconv>
#include <ctime>
#include <string_view>

#include "core/platform/file.h"

namespace apr {

namespace {

std::uint64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

#if defined(__linux__)
/// "VmHWM:     1234 kB" in /proc/self/status.
std::uint64_t status_field(std::string_view status, std::string_view name) {
  const auto line = status.find(name);
  if (line == std::string_view::npos) return 0;
  status.remove_prefix(line + name.size());
  const auto digit = status.find_first_of("0123456789");
  if (digit == std::string_view::npos) return 0;
  std::uint64_t kib = 0;
  std::from_chars(status.data() + digit, status.data() + status.size(), kib);
  return kib * 1024;
}
#endif

}  // namespace

std::uint64_t monotonic_ns() {
  return clock_ns(CLOCK_MONOTONIC);
}

std::int64_t unix_seconds() {
  return static_cast<std::int64_t>(clock_ns(CLOCK_REALTIME) / 1'000'000'000);
}

MemoryUse memory_use() {
  MemoryUse use;
#if defined(__linux__)
  constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 10;
  if (const auto status = read_file("/proc/self/status", kMostBytes)) {
    use.peak_resident_bytes = status_field(*status, "\nVmHWM:");
    use.anonymous_bytes = status_field(*status, "\nRssAnon:");
  }
#endif
  return use;
}

}  // namespace apr

#include "core/platform/clock.h"

#include <algorithm>
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

#if defined(__linux__)
/// The number a small file of the system holds; 0 for "max" and for no file.
std::uint64_t number_in(const char* path) {
  const auto text = read_file(path, 64);
  std::uint64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
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
    use.resident_bytes = status_field(*status, "\nVmRSS:");
    use.anonymous_bytes = status_field(*status, "\nRssAnon:");
  }
#endif
  return use;
}

std::uint64_t available_memory_bytes() {
  std::uint64_t available = 0;
#if defined(__linux__)
  constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 10;
  if (const auto info = read_file("/proc/meminfo", kMostBytes)) {
    available = status_field(*info, "\nMemAvailable:");
  }
  const std::uint64_t limit = number_in("/sys/fs/cgroup/memory.max");
  const std::uint64_t used = number_in("/sys/fs/cgroup/memory.current");
  if (limit > used && used > 0) available = std::min(available, limit - used);
#endif
  return available;
}

}  // namespace apr

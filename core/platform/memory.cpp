#include "core/platform/memory.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/platform/file.h"

#if defined(__linux__)
#include <sys/resource.h>
#endif

namespace apr {

namespace {

#if defined(__linux__)
constexpr const char* kLimitFile = "/sys/fs/cgroup/memory.max";
constexpr const char* kUsedFile = "/sys/fs/cgroup/memory.current";
#endif

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

#if defined(__linux__)
/// What a limit of this process (ulimit -v, ulimit -d) leaves of `available`.
std::uint64_t within_limit(std::uint64_t available, bool data, std::uint64_t used) {
  rlimit limit{};
  if (::getrlimit(data ? RLIMIT_DATA : RLIMIT_AS, &limit) != 0) return available;
  if (limit.rlim_cur == RLIM_INFINITY) return available;
  return std::min<std::uint64_t>(available, limit.rlim_cur > used ? limit.rlim_cur - used : 1);
}
#endif

}  // namespace

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
    available = status_field(*info, "MemAvailable:");
  }
  const std::uint64_t limit = number_in(kLimitFile);
  const std::uint64_t used = number_in(kUsedFile);
  if (limit > used && used > 0) available = std::min(available, limit - used);
  if (const auto status = read_file("/proc/self/status", kMostBytes)) {
    available = within_limit(available, false, status_field(*status, "\nVmSize:"));
    available = within_limit(available, true, status_field(*status, "\nVmData:"));
  }
#endif
  return available;
}

std::uint64_t total_memory_bytes() {
  std::uint64_t total = 0;
#if defined(__linux__)
  constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 10;
  if (const auto info = read_file("/proc/meminfo", kMostBytes)) {
    total = status_field(*info, "MemTotal:");
  }
  const std::uint64_t limit = number_in(kLimitFile);
  if (limit > 0) total = total > 0 ? std::min(total, limit) : limit;
#endif
  return total;
}

}  // namespace apr

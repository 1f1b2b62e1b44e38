#include "core/platform/clock.h"

#include <ctime>

namespace apr {

namespace {

std::uint64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

std::uint64_t monotonic_ns() {
  return clock_ns(CLOCK_MONOTONIC);
}

std::int64_t unix_seconds() {
  return static_cast<std::int64_t>(clock_ns(CLOCK_REALTIME) / 1'000'000'000);
}

}  // namespace apr

// Independent pieces of work on oneTBB, for the verbs.
#pragma once

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <optional>

#include "core/base/result.h"

namespace apr {

/// For ThreadSanitizer, which cannot look into oneTBB: what was written before `hand_over(at)` is
/// seen after `take_over(at)`. Nothing in other builds.
void hand_over(void* at) noexcept;
void take_over(void* at) noexcept;

/// What oneTBB copies from task to task: one pointer, read unwatched.
template <typename Body>
struct WatchedBody {
  struct Shared {
    const Body& body;
    char started = 0;
    char done = 0;
  };
  Shared* shared;
  __attribute__((no_sanitize("thread"))) void operator()(
      const tbb::blocked_range<std::size_t>& range) const {
    take_over(&shared->started);
    shared->body(range.begin(), range.end());
    hand_over(&shared->done);
  }
};

/// Calls work(i) for every i in [0, count) on up to `threads` threads (0: all). Returns the error
/// of the lowest i that failed: the same one for any number of threads.
template <typename Work>
Status parallel_pieces(unsigned threads, std::size_t count, const Work& work) {
  std::mutex mutex;
  std::size_t failed_at = count;
  std::optional<Error> error;
  const auto body = [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      {
        const std::lock_guard<std::mutex> lock(mutex);
        if (failed_at < i) return;
      }
      if (Status status = work(i); !status) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (i < failed_at) {
          failed_at = i;
          error = std::move(status).error();
        }
        return;
      }
    }
  };
  using Watched = WatchedBody<decltype(body)>;
  typename Watched::Shared shared{body};
  // Asked for more workers than its limit, the library would print a warning of its own.
  const std::size_t limit =
      tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism);
  const std::size_t width = threads == 0 ? limit : std::min<std::size_t>(threads, limit);
  tbb::task_arena arena(static_cast<int>(std::max<std::size_t>(width, 1)));
  hand_over(&shared.started);
  arena.execute(
      [&] { tbb::parallel_for(tbb::blocked_range<std::size_t>(0, count, 1), Watched{&shared}); });
  take_over(&shared.done);
  if (error) return *std::move(error);
  return {};
}

}  // namespace apr

// How a phase runs.
//
// One 64-bit word, `claim`, holds the phase's number (upper half) and how many of its chunks nobody
// has taken yet (lower half). A thread takes a chunk by decrementing the word with a
// compare-exchange. What to run (work, context, chunks) lies beside it in atomics that are written
// before the word is published.
//
// A thread may be stopped by the operating system at any instruction, so it can wake up holding a
// word of a phase that ended long ago. That is harmless: before a phase ends its lower half has
// become 0, and the next one has another number, so the compare-exchange fails and whatever the
// thread has read of `work` is thrown away. When it succeeds the phase was still open, so what it
// has read belongs to that phase. Counting down instead of up is what makes an ended phase
// recognisable without knowing its length.
//
// `pending` counts chunks that are not finished. The caller takes chunks like everybody else and
// then waits for pending to become 0; it never waits for a thread that has taken nothing. Hence a
// busy core costs its share of the work and no more, where a barrier of all threads would stand
// still for whole time slices.
#include "core/platform/team.h"

#include <algorithm>
#include <atomic>

#include "core/platform/cpu.h"

#if !defined(__wasi__)
#include <pthread.h>
#include <sched.h>

#include <condition_variable>
#include <mutex>
#include <vector>
#endif

namespace apr {

#if defined(__wasi__)

struct Team::Workers {};

Team::Team(unsigned) {}
Team::~Team() = default;

void Team::run(std::uint32_t chunks, Work work, void* context) noexcept {
  for (std::uint32_t chunk = 0; chunk < chunks; ++chunk) work(context, chunk, 0);
}

#else

namespace {

constexpr unsigned kMaxThreads = 256;
constexpr unsigned kSpins =
    4000;  ///< some tens of microseconds: longer than the gap between two phases
constexpr unsigned kYields = 64;

void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

/// Spins, then yields, until ready() or until it is time to sleep.
template <typename Ready>
bool wait_briefly(Ready ready) {
  for (unsigned i = 0; i < kSpins; ++i) {
    if (ready()) return true;
    pause_cpu();
  }
  for (unsigned i = 0; i < kYields; ++i) {
    if (ready()) return true;
    sched_yield();
  }
  return ready();
}

}  // namespace

struct Team::Workers {
  alignas(64) std::atomic<std::uint64_t> claim{0};
  std::atomic<Work> work{nullptr};
  std::atomic<void*> context{nullptr};
  std::atomic<std::uint32_t> chunks{0};
  alignas(64) std::atomic<std::uint32_t> pending{0};
  alignas(64) std::atomic<std::uint32_t> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable work_ready;
  std::condition_variable phase_done;

  struct Start {
    Workers* workers;
    unsigned thread;
    pthread_t handle;
  };
  std::vector<Start> starts;

  bool idle() const { return static_cast<std::uint32_t>(claim.load()) == 0 && !stop.load(); }

  void take_chunks(unsigned thread) noexcept {
    std::uint64_t word = claim.load(std::memory_order_acquire);
    while (const auto left = static_cast<std::uint32_t>(word)) {
      const Work run_chunk = work.load(std::memory_order_relaxed);
      void* const argument = context.load(std::memory_order_relaxed);
      const std::uint32_t total = chunks.load(std::memory_order_relaxed);
      if (!claim.compare_exchange_weak(word, word - 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
        continue;
      }
      run_chunk(argument, total - left, thread);
      // Sequentially consistent, as is caller_sleeps: either the caller sees 0 or we see it
      // sleeping.
      if (pending.fetch_sub(1) == 1 && thread != 0 && caller_sleeps.load()) {
        const std::lock_guard lock(mutex);
        phase_done.notify_one();
      }
      word = claim.load(std::memory_order_acquire);
    }
  }

  void serve(unsigned thread) noexcept {
    while (!stop.load(std::memory_order_acquire)) {
      take_chunks(thread);
      if (wait_briefly([this] { return !idle(); })) continue;
      std::unique_lock lock(mutex);
      sleepers.fetch_add(1);
      work_ready.wait(lock, [this] { return !idle(); });
      sleepers.fetch_sub(1);
    }
  }
};

Team::Team(unsigned threads) {
  const unsigned wanted =
      std::clamp(threads == 0 ? available_processors() : threads, 1u, kMaxThreads);
  if (wanted == 1) return;
  workers_ = std::make_unique<Workers>();
  workers_->starts.resize(wanted - 1);
  for (unsigned i = 0; i + 1 < wanted; ++i) {
    auto& start = workers_->starts[i];
    start.workers = workers_.get();
    start.thread = i + 1;
    const auto entry = [](void* argument) -> void* {
      const auto* begin = static_cast<Workers::Start*>(argument);
      begin->workers->serve(begin->thread);
      return nullptr;
    };
    if (pthread_create(&start.handle, nullptr, entry, &start) != 0) break;  // fewer will do
    ++threads_;
  }
}

Team::~Team() {
  if (!workers_) return;
  {
    const std::lock_guard lock(workers_->mutex);
    workers_->stop.store(true);
  }
  workers_->work_ready.notify_all();
  for (unsigned i = 0; i + 1 < threads_; ++i) pthread_join(workers_->starts[i].handle, nullptr);
}

void Team::run(std::uint32_t chunks, Work work, void* context) noexcept {
  if (threads_ == 1 || chunks <= 1) {
    for (std::uint32_t chunk = 0; chunk < chunks; ++chunk) work(context, chunk, 0);
    return;
  }
  Workers& team = *workers_;
  team.work.store(work, std::memory_order_relaxed);
  team.context.store(context, std::memory_order_relaxed);
  team.chunks.store(chunks, std::memory_order_relaxed);
  team.pending.store(chunks, std::memory_order_relaxed);
  const std::uint64_t number = (team.claim.load(std::memory_order_relaxed) >> 32) + 1;
  team.claim.store(number << 32 | chunks);
  if (team.sleepers.load() != 0) {
    const std::lock_guard lock(team.mutex);
    team.work_ready.notify_all();
  }
  team.take_chunks(0);
  const auto finished = [&team] { return team.pending.load() == 0; };
  if (wait_briefly(finished)) return;
  std::unique_lock lock(team.mutex);
  team.caller_sleeps.store(true);
  team.phase_done.wait(lock, finished);
  team.caller_sleeps.store(false);
}

#endif

}  // namespace apr

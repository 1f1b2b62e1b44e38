// Team: the one scheduler for kernels, in every build.
//
// A phase is cut into chunks that do not depend on the number of threads; threads claim chunks from
// an atomic counter; a phase ends when its chunks are done, not when all threads have arrived. The
// caller works too, so a phase makes progress with one thread and on a machine whose other cores
// are busy. Waiting spins briefly, then yields, then sleeps. Under WASI, and with one thread, run()
// is a loop.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "core/base/export.h"

namespace apr {

class APR_API Team {
 public:
  /// `threads` includes the caller of run(); 0 means one per available processor.
  explicit Team(unsigned threads = 0);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  unsigned threads() const { return threads_; }

  /// Calls work(context, chunk, thread) once for each chunk in [0, chunks), and returns when all
  /// are done. thread < threads() names the scratch memory the call may use. Not reentrant; one
  /// caller at a time. Writes of all chunks are visible to the caller afterwards.
  using Work = void (*)(void* context, std::uint32_t chunk, unsigned thread) noexcept;
  void run(std::uint32_t chunks, Work work, void* context) noexcept;

  /// The same for a callable f(chunk, thread).
  template <typename Function>
  void for_each(std::uint32_t chunks, Function&& function) noexcept {
    run(
        chunks,
        [](void* context, std::uint32_t chunk, unsigned thread) noexcept {
          (*static_cast<std::remove_reference_t<Function>*>(context))(chunk, thread);
        },
        const_cast<void*>(static_cast<const void*>(&function)));
  }

 private:
  struct Workers;
  unsigned threads_ = 1;
  std::unique_ptr<Workers> workers_;
};

}  // namespace apr

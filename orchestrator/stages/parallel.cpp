// oneTBB is a library that was not compiled with ThreadSanitizer: how it gives a task to another
// thread is not seen, and its headers, compiled here, look as if they raced.
#include "orchestrator/stages/parallel.h"

#if defined(__SANITIZE_THREAD__)
#define APR_WATCHES_THREADS
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define APR_WATCHES_THREADS
#endif
#endif

#if defined(APR_WATCHES_THREADS)
#include <sanitizer/tsan_interface.h>

extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  // That code itself; what it calls is watched.
  return "race_top:tbb::detail::\n"
         "race:tbb::detail::d1::task::task\n"
         "race:tbb::detail::d1::node::node\n"
         "race:tbb::detail::d1::tree_node::\n"
         "race:tbb::detail::d1::fold_tree\n";
}
#endif

namespace apr {

#if defined(APR_WATCHES_THREADS)
void hand_over(void* at) noexcept {
  __tsan_release(at);
}
void take_over(void* at) noexcept {
  __tsan_acquire(at);
}
#else
void hand_over(void*) noexcept {}
void take_over(void*) noexcept {}
#endif

}  // namespace apr

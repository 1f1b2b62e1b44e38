// Mutual exclusion where there are threads; nothing where there are none (WASI).
#pragma once

#if !defined(__wasm__)
#include <mutex>
#endif

namespace apr {

#if defined(__wasm__)
class RecursiveLock {
 public:
  void lock() {}
  void unlock() {}
};
#else
/// May be taken again by the thread that holds it.
class RecursiveLock {
 public:
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  std::recursive_mutex mutex_;
};
#endif

/// Holds a lock for a scope.
template <typename Lock>
class Locked {
 public:
  explicit Locked(Lock& lock) : lock_(lock) { lock_.lock(); }
  ~Locked() { lock_.unlock(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;

 private:
  Lock& lock_;
};

}  // namespace apr

// Debian's compiler runtime for wasm32 is built with stack protection, wasi-libc has no part in it:
// these are the two symbols it misses.
#include <cstdint>

extern "C" {
std::uintptr_t __stack_chk_guard = 0x5bd1e995u;
[[noreturn]] void __stack_chk_fail() {
  __builtin_trap();
}
}

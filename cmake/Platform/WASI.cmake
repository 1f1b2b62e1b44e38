# WebAssembly with the WASI system interface, as CMake does not know it yet: one static module, no shared
# libraries. Linking happens without optimization flags on purpose: with -O at link time clang would run
# whatever wasm-opt it finds in PATH, and old ones miscompile.
set(CMAKE_EXECUTABLE_SUFFIX .wasm)
set(CMAKE_STATIC_LIBRARY_PREFIX lib)
set(CMAKE_STATIC_LIBRARY_SUFFIX .a)
set(CMAKE_CXX_LINK_EXECUTABLE
    "<CMAKE_CXX_COMPILER> <CMAKE_CXX_LINK_FLAGS> <LINK_FLAGS> <OBJECTS> -o <TARGET> <LINK_LIBRARIES>")

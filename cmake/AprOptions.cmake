# Build options and the flags every target of the project shares.
option(APR_BUILD_TESTS "Build the tests" ON)
option(APR_BUILD_BENCH "Build the benchmarks" OFF)
option(APR_BUILD_FUZZERS "Build the libFuzzer targets (clang only)" OFF)
option(APR_WARNINGS_AS_ERRORS "Treat warnings as errors" ON)
option(APR_COVERAGE "Instrument for coverage" OFF)
option(APR_RUNTIME_ONLY "Build only the runtime closure and its program (static or WASI)" OFF)
set(APR_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
if(NOT CMAKE_SYSTEM_NAME STREQUAL "WASI")
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
endif()
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

set(Boost_NO_WARN_NEW_VERSIONS ON)  # FindBoost of Debian 12 predates the Boost it ships

find_program(APR_CCACHE ccache)
if(APR_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${APR_CCACHE})
endif()

# Everything that all our code is compiled with. Fused multiply-add happens only where a kernel says so.
add_library(apr_flags INTERFACE)
target_compile_options(apr_flags INTERFACE -ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                                           -Wno-sign-conversion -Wnon-virtual-dtor -Woverloaded-virtual)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms of GCC 12: on std::string (bug 105651) and on std::variant. clang and the sanitizers watch both.
  target_compile_options(apr_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()
if(CMAKE_SYSTEM_NAME STREQUAL "WASI")
  # Sizes are 64 bits wide in all code; where memory has 32, what is allocated or indexed was compared with
  # bytes that are there.
  target_compile_options(apr_flags INTERFACE -Wno-shorten-64-to-32)
endif()
if(APR_WARNINGS_AS_ERRORS)
  target_compile_options(apr_flags INTERFACE -Werror)
endif()
target_include_directories(apr_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(apr_flags INTERFACE APR_VERSION="${PROJECT_VERSION}")
if(APR_SANITIZE)
  target_compile_options(apr_flags INTERFACE -fsanitize=${APR_SANITIZE} -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer)
  target_link_options(apr_flags INTERFACE -fsanitize=${APR_SANITIZE})
endif()
if(APR_COVERAGE)
  target_compile_options(apr_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(apr_flags INTERFACE --coverage)
endif()

# The runtime closure compiles without exceptions, natively too.
add_library(apr_closure_flags INTERFACE)
target_link_libraries(apr_closure_flags INTERFACE apr_flags)
target_compile_options(apr_closure_flags INTERFACE -fno-exceptions)

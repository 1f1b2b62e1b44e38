// The compression function of SHA-256, in the ways this build has; sha256.cpp chooses one at run
// time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/export.h"

namespace apr::sha256_detail {

/// Folds `count` blocks of 64 bytes into the state.
using Compress = void (*)(std::uint32_t* state, const std::byte* blocks, std::size_t count);

APR_API void compress_generic(std::uint32_t* state, const std::byte* blocks, std::size_t count);
/// The version that uses the CPU's SHA instructions, or nullptr where there are none.
APR_API Compress compress_with_instructions();

}  // namespace apr::sha256_detail

// Block encoders, as GGML's reference quantizers define them, bit for bit. Input is finite.
#pragma once

#include <span>

#include "core/tensor/blocks.h"

namespace apr {

/// d = max|x| / 127; q = x / d rounded half away from zero.
BlockQ8_0 encode_q8_0(std::span<const float, kBlock> x);
/// d = (the x of largest magnitude) / -8; q = x / d + 8.5 cut to an integer, at most 15.
BlockQ4_0 encode_q4_0(std::span<const float, kBlock> x);

}  // namespace apr

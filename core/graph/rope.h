// The angles of rotary position embedding, shared by every backend so that all of them turn by the
// same bits.
#pragma once

#include <cstdint>
#include <span>

#include "core/base/export.h"

namespace apr {

/// cos and sin, times `attention_factor`, of position · inverse_frequencies[i] for every pair i. As
/// in the code the models were trained with, the frequency and the product are float32: at long
/// positions the angle's rounding is part of what the model learnt, and more precise angles agree
/// with it less. cos and sin themselves are exact to the last bit or so.
APR_API void rope_turns(std::int32_t position, std::span<const double> inverse_frequencies,
                        double attention_factor, std::span<float> cosines, std::span<float> sines);

}  // namespace apr

// What the outer structure of an audio file says about its length.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace apr {

/// How much less the file holds than its own structure says (WAV, AIFF, Ogg); nothing if all is
/// there, or if the format does not say.
std::optional<std::string> missing_audio_bytes(std::span<const std::byte> bytes);

}  // namespace apr

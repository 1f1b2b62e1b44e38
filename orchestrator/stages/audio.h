// Audio files of any kind as the samples that a speech model hears.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/plugin/interfaces.h"

namespace apr {

struct AudioLimits {
  double max_seconds = 6.0 * 3600;                         ///< of sound
  std::uint64_t max_input_bytes = std::uint64_t{2} << 30;  ///< from a pipe
};

struct Audio {
  std::vector<float> samples;  ///< one channel, in [-1, 1] for all but float files
  std::uint32_t rate = 0;      ///< samples per second
  // What the file held:
  std::string format;  ///< "FLAC (Free Lossless Audio Codec), Signed 16 bit PCM"
  std::uint32_t source_rate = 0;
  std::uint32_t source_channels = 0;
  double seconds() const {
    return rate == 0 ? 0.0 : static_cast<double>(samples.size()) / static_cast<double>(rate);
  }
};

/// Reads WAV, FLAC, Ogg, MP3 and what else libsndfile knows; channels are averaged, other rates
/// converted. `path` may be - for standard input. Errors name the file: no audio, no sound in it,
/// cut off, longer than the limits, a channel or rate that nothing can have.
Result<Audio> read_audio(const std::string& path, std::uint32_t rate, const AudioLimits& limits,
                         const ProgressFunction& progress);

}  // namespace apr

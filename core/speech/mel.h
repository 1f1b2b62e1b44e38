// Log-mel spectrogram: what a Whisper encoder hears.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "core/speech/fft.h"

namespace apr {

/// What preprocessor_config.json says.
struct MelOptions {
  std::uint32_t sampling_rate = 16000;  ///< samples per second
  std::uint32_t n_fft = 400;            ///< samples of one frame
  std::uint32_t hop_length = 160;       ///< samples from one frame to the next
  std::uint32_t feature_size = 80;      ///< mel bands
  std::uint32_t chunk_length = 30;      ///< seconds that an encoder hears at once

  std::uint64_t chunk_samples() const { return std::uint64_t{chunk_length} * sampling_rate; }
  std::uint64_t chunk_frames() const { return chunk_samples() / hop_length; }
  double seconds_per_frame() const {
    return static_cast<double>(hop_length) / static_cast<double>(sampling_rate);
  }
};

/// Reads a WhisperFeatureExtractor's preprocessor_config.json. Every field that decides the
/// features is required and checked, also those that repeat what follows from others (n_samples,
/// nb_max_frames, a stored table mel_filters). `file` names it in errors.
APR_API Result<MelOptions> read_mel_options(const Json& config, const std::string& file);

/// Triangular filters on Slaney's mel scale from 0 to 8000 Hz, each of area 1:
/// [feature_size][n_fft / 2 + 1].
APR_API std::vector<double> mel_filters(const MelOptions& options);

class APR_API LogMel {
 public:
  /// Fails, with the name of the field, for options that read_mel_options() would refuse.
  static Result<LogMel> create(const MelOptions& options);

  const MelOptions& options() const { return options_; }

  /// The features of samples in [-1, 1] that zeros follow up to `padded` samples in all: a frame
  /// per hop, padded / hop_length of them, [frames][feature_size]. Values reach from the loudest
  /// down to 8 decades below it, so what is computed together is scaled together.
  Result<std::vector<float>> features(std::span<const float> samples, std::uint64_t padded) const;

 private:
  /// The bins that a filter covers, and its weights there.
  struct Filter {
    std::size_t first = 0;
    std::vector<double> weights;
  };
  LogMel(const MelOptions& options, RealFft fft);
  MelOptions options_;
  RealFft fft_;
  std::vector<double> window_;
  std::vector<Filter> filters_;
};

}  // namespace apr

// The front end of Whisper (Radford et al., "Robust speech recognition via large-scale weak
// supervision", 2022): frames of 25 ms every 10 ms under a periodic Hann window, centred on their
// time (the signal is mirrored at both ends), their power spectrum through triangular mel filters,
// log10, cut at 8 decades below the loudest value, and shifted and scaled to about [-1, 1].
//
// Slaney's mel scale ("Auditory toolbox", 1998) is linear to 1000 Hz (15 mel) and logarithmic
// above, 27 mel for a factor of 6.4. His triangles have area 1 and not height 1.
//
// Where a recording ends the signal is silent up to the chunk's end; frames of nothing but zeros
// have no power, and are written down without a transform.
#include "core/speech/mel.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "core/base/cat.h"
#include "core/base/checked.h"

namespace apr {

namespace {

constexpr double kHighestFrequency = 8000;
constexpr double kBreakFrequency = 1000;
constexpr double kBreakMel = 15;
constexpr double kPowerFloor = 1e-10;
constexpr float kRange = 8;  ///< decades

double mel_step() {
  return std::log(6.4) / 27.0;
}

double mel_of(double frequency) {
  if (frequency < kBreakFrequency) return 3.0 * frequency / 200.0;
  return kBreakMel + std::log(frequency / kBreakFrequency) / mel_step();
}

double frequency_of(double mel) {
  if (mel < kBreakMel) return 200.0 * mel / 3.0;
  return kBreakFrequency * std::exp(mel_step() * (mel - kBreakMel));
}

/// Index into a signal of `length` samples that is mirrored at both ends, without repeating them.
std::uint64_t mirrored(std::int64_t index, std::uint64_t length) {
  const auto last = static_cast<std::int64_t>(length) - 1;
  if (index < 0) index = -index;
  if (index > last) index = 2 * last - index;
  return static_cast<std::uint64_t>(index);
}

}  // namespace

std::vector<double> mel_filters(const MelOptions& options) {
  const std::size_t bins = options.n_fft / 2 + 1;
  const std::size_t bands = options.feature_size;
  // Corners of the triangles, evenly spaced in mel.
  std::vector<double> corners(bands + 2);
  const double highest = mel_of(kHighestFrequency);
  for (std::size_t i = 0; i < corners.size(); ++i) {
    corners[i] = frequency_of(highest * static_cast<double>(i) / static_cast<double>(bands + 1));
  }
  std::vector<double> filters(bands * bins);
  for (std::size_t band = 0; band < bands; ++band) {
    const double low = corners[band];
    const double centre = corners[band + 1];
    const double high = corners[band + 2];
    for (std::size_t bin = 0; bin < bins; ++bin) {
      const double frequency = static_cast<double>(options.sampling_rate) *
                               static_cast<double>(bin) / static_cast<double>(options.n_fft);
      const double rising = (frequency - low) / (centre - low);
      const double falling = (high - frequency) / (high - centre);
      filters[band * bins + bin] = std::max(0.0, std::min(rising, falling)) * 2.0 / (high - low);
    }
  }
  return filters;
}

LogMel::LogMel(const MelOptions& options, RealFft fft) : options_(options), fft_(std::move(fft)) {
  for (std::size_t i = 0; i < options.n_fft; ++i) {
    window_.push_back(0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * static_cast<double>(i) /
                                           static_cast<double>(options.n_fft)));
  }
  const std::vector<double> table = mel_filters(options);
  const std::size_t bins = fft_.bins();
  for (std::size_t band = 0; band < options.feature_size; ++band) {
    const auto begin = table.begin() + static_cast<std::ptrdiff_t>(band * bins);
    const auto end = begin + static_cast<std::ptrdiff_t>(bins);
    const auto positive = [](double weight) { return weight > 0; };
    const auto first = std::find_if(begin, end, positive);
    const auto last =
        std::find_if(std::make_reverse_iterator(end), std::make_reverse_iterator(first), positive)
            .base();
    filters_.push_back({static_cast<std::size_t>(first - begin), {first, last}});
  }
}

Result<LogMel> LogMel::create(const MelOptions& options) {
  // The rules for the numbers are those for the file that they come from.
  const Json config = Json::object({{"feature_extractor_type", "WhisperFeatureExtractor"},
                                    {"sampling_rate", options.sampling_rate},
                                    {"n_fft", options.n_fft},
                                    {"hop_length", options.hop_length},
                                    {"feature_size", options.feature_size},
                                    {"chunk_length", options.chunk_length}});
  APR_TRY(read_mel_options(config, "log-mel options"));
  APR_ASSIGN(RealFft fft, RealFft::create(options.n_fft));
  return LogMel(options, std::move(fft));
}

Result<std::vector<float>> LogMel::features(std::span<const float> samples,
                                            std::uint64_t padded) const {
  const std::size_t width = options_.n_fft;
  if (padded < samples.size() || padded < width) {
    return make_error(ErrorCode::inference, cat("features of ", samples.size(), " samples in ",
                                                padded, ": a frame alone has ", width));
  }
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (!std::isfinite(samples[i])) {
      return make_error(ErrorCode::inference, cat("sample ", i, " is not a finite number"));
    }
  }
  const std::uint64_t frames = padded / options_.hop_length;
  const std::size_t bands = options_.feature_size;
  const auto count = checked_mul(frames, bands);
  std::vector<float> out;
  if (!count || *count > out.max_size()) {
    return make_error(ErrorCode::inference, "the recording is too long");
  }
  out.resize(static_cast<std::size_t>(*count));

  std::vector<double> frame(width);
  std::vector<double> power(fft_.bins());
  RealFft::Scratch scratch = fft_.scratch();
  const auto nothing = static_cast<float>(std::log10(kPowerFloor));
  float loudest = nothing;
  for (std::uint64_t t = 0; t < frames; ++t) {
    const std::span<float> row(out.data() + t * bands, bands);
    const std::int64_t begin =
        static_cast<std::int64_t>(t * options_.hop_length) - static_cast<std::int64_t>(width / 2);
    bool silent = true;
    for (std::size_t i = 0; i < width; ++i) {
      const std::uint64_t at = mirrored(begin + static_cast<std::int64_t>(i), padded);
      const double sample = at < samples.size() ? double{samples[at]} : 0.0;
      silent = silent && sample == 0;
      frame[i] = sample * window_[i];
    }
    if (silent) {
      std::fill(row.begin(), row.end(), nothing);
      continue;
    }
    fft_.power(frame, power, scratch);
    for (std::size_t band = 0; band < bands; ++band) {
      const Filter& filter = filters_[band];
      double sum = 0;
      for (std::size_t i = 0; i < filter.weights.size(); ++i) {
        sum += filter.weights[i] * power[filter.first + i];
      }
      row[band] = static_cast<float>(std::log10(std::max(sum, kPowerFloor)));
      loudest = std::max(loudest, row[band]);
    }
  }
  for (float& value : out) value = (std::max(value, loudest - kRange) + 4.0F) / 4.0F;
  return out;
}

}  // namespace apr

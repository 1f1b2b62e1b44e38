#include <cmath>

#include "core/base/cat.h"
#include "core/graph/blocks.h"
#include "core/speech/mel.h"

namespace apr {

namespace {

// More than any published model has; with them a 30 s chunk stays a matter of megabytes.
constexpr std::uint32_t kMaxRate = 192'000;
constexpr std::uint32_t kMinRate = 16'000;  ///< the filters reach to 8000 Hz
constexpr std::uint32_t kMaxWindow = 8192;
constexpr std::uint32_t kMaxBands = 512;
constexpr std::uint32_t kMaxSeconds = 120;

/// How far a stored table may be from the computed one; the largest weight is about 0.03.
constexpr double kSameFilter = 1e-4;

/// A field that repeats what follows from the others.
void check_derived(ConfigReader& reader, std::string_view field, std::uint64_t wanted) {
  if (!reader.ok() || !reader.has(field)) return;
  const std::uint32_t value = reader.count(field);
  if (!reader.ok() || value == wanted) return;
  reader.reject(field, cat(value, ", but the other fields make it ", wanted), {},
                ErrorCode::format);
}

/// Processing that could be asked for and is not done.
void refuse_extras(ConfigReader& reader) {
  if (reader.flag_or("do_normalize", false)) {
    reader.reject("do_normalize", "normalizing the samples is not supported");
  }
  if (reader.number_or("dither", 0) != 0) {
    reader.reject("dither", "adding noise to the samples is not supported");
  }
  if (reader.number_or("padding_value", 0) != 0) {
    reader.reject("padding_value", "only padding with silence (0.0) is supported");
  }
  if (reader.text_or("padding_side", "right") != "right") {
    reader.reject("padding_side", "only padding on the right is supported");
  }
}

/// Older checkpoints store the filters; they must be the ones that are computed.
void check_stored_filters(ConfigReader& reader, const MelOptions& options) {
  if (!reader.ok() || !reader.has("mel_filters")) return;
  const JsonArray& rows = reader.raw("mel_filters").as_array();
  const std::size_t bins = options.n_fft / 2 + 1;
  const auto misshapen = [&](std::string found) {
    reader.reject("mel_filters",
                  cat(found, " where ", options.feature_size, " x ", bins, " numbers belong"), {},
                  ErrorCode::format);
  };
  if (rows.size() != options.feature_size) return misshapen(cat(rows.size(), " rows"));
  const std::vector<double> computed = mel_filters(options);
  for (std::size_t band = 0; band < rows.size(); ++band) {
    const JsonArray& row = rows[band].as_array();
    if (row.size() != bins) {
      return misshapen(cat("row ", band, " with ", row.size(), " numbers"));
    }
    for (std::size_t bin = 0; bin < bins; ++bin) {
      const double difference = row[bin].as_number(1e9) - computed[band * bins + bin];
      if (!(std::abs(difference) <= kSameFilter)) {
        return reader.reject("mel_filters",
                             cat("row ", band, ", number ", bin, " is ", row[bin].dump(), ", not ",
                                 computed[band * bins + bin]),
                             "only Slaney's filters from 0 to 8000 Hz are supported");
      }
    }
  }
}

/// Every band must cover a frequency that the transform computes.
void check_bands(ConfigReader& reader, const MelOptions& options) {
  if (!reader.ok()) return;
  const std::vector<double> filters = mel_filters(options);
  const std::size_t bins = options.n_fft / 2 + 1;
  for (std::size_t band = 0; band < options.feature_size; ++band) {
    double sum = 0;
    for (std::size_t bin = 0; bin < bins; ++bin) sum += filters[band * bins + bin];
    if (sum > 0) continue;
    return reader.reject("feature_size",
                         cat(options.feature_size, " bands are too many for n_fft ", options.n_fft,
                             ": band ", band, " covers no frequency"),
                         {}, ErrorCode::format);
  }
}

void check_sizes(ConfigReader& reader, const MelOptions& options) {
  if (!reader.ok()) return;
  if (options.sampling_rate < kMinRate) {
    reader.reject("sampling_rate", cat(options.sampling_rate, " is below ", kMinRate,
                                       ", twice the highest frequency of the filters"));
  }
  if (const auto fft = RealFft::create(options.n_fft); !fft) {
    reader.reject("n_fft", fft.error().message);
  }
  if (options.hop_length > options.n_fft) {
    reader.reject("hop_length", cat(options.hop_length, " samples, more than the ", options.n_fft,
                                    " of a frame (n_fft)"));
  }
}

}  // namespace

Result<MelOptions> read_mel_options(const Json& config, const std::string& file) {
  ConfigReader reader(config, file);
  const std::string type = reader.text_or("feature_extractor_type", "");
  if (reader.ok() && type != "WhisperFeatureExtractor") {
    reader.reject("feature_extractor_type",
                  type.empty() ? std::string("is missing")
                               : cat("\"", type, "\" is not WhisperFeatureExtractor"));
  }
  MelOptions options;
  options.sampling_rate = reader.count("sampling_rate", kMaxRate);
  options.n_fft = reader.count("n_fft", kMaxWindow);
  options.hop_length = reader.count("hop_length", kMaxWindow);
  options.feature_size = reader.count("feature_size", kMaxBands);
  options.chunk_length = reader.count("chunk_length", kMaxSeconds);
  check_sizes(reader, options);
  check_bands(reader, options);
  check_derived(reader, "n_samples", options.chunk_samples());
  check_derived(reader, "nb_max_frames", options.chunk_frames());
  refuse_extras(reader);
  check_stored_filters(reader, options);
  APR_TRY(reader.status());
  return options;
}

}  // namespace apr

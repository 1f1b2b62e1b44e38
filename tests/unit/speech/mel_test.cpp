#include "core/speech/mel.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <numbers>
#include <span>

#include "core/base/cat.h"
#include "core/formats/safetensors/safetensors.h"
#include "speech_test_support.h"

using apr::Json;
using apr::MelOptions;

namespace {

Json published() {
  return Json::object({{"chunk_length", 30},
                       {"feature_extractor_type", "WhisperFeatureExtractor"},
                       {"feature_size", 80},
                       {"hop_length", 160},
                       {"n_fft", 400},
                       {"n_samples", 480000},
                       {"nb_max_frames", 3000},
                       {"padding_side", "right"},
                       {"padding_value", 0.0},
                       {"processor_class", "WhisperProcessor"},
                       {"return_attention_mask", false},
                       {"sampling_rate", 16000}});
}

std::vector<float> floats_of(const std::string& file, std::string_view name) {
  const auto bytes = std::as_bytes(std::span(file));
  const auto table = apr::read_safetensors_table(bytes, "golden.safetensors");
  REQUIRE(table.ok());
  for (const auto& tensor : table->tensors) {
    if (tensor.name != name) continue;
    std::vector<float> values(tensor.size / sizeof(float));
    std::memcpy(values.data(), file.data() + tensor.offset, tensor.size);
    return values;
  }
  FAIL("no tensor " << name);
  return {};
}

std::vector<float> tone(double frequency, std::size_t samples) {
  std::vector<float> values;
  for (std::size_t i = 0; i < samples; ++i) {
    values.push_back(static_cast<float>(
        0.5 * std::sin(2 * std::numbers::pi * frequency * static_cast<double>(i) / 16000)));
  }
  return values;
}

std::string problem_of(const Json& config) {
  const auto options = apr::read_mel_options(config, "p.json");
  return options.ok() ? "" : options.error().to_string();
}

std::string problem_with(std::string_view field, Json value) {
  Json config = published();
  config.set(field, std::move(value));
  return problem_of(config);
}

}  // namespace

TEST_CASE("Filters and features are the reference implementation's") {
  const auto folder = apr::test::tiny_whisper();
  if (folder.empty()) {
    WARN("the larger test data is not there; skipped");
    return;
  }
  const auto config = apr::parse_json(apr::test::slurp(folder / "preprocessor_config.json"));
  REQUIRE(config.ok());
  const auto options = apr::read_mel_options(*config, "preprocessor_config.json");
  REQUIRE(options.ok());
  const std::string golden = apr::test::slurp(folder / "golden" / "golden.safetensors");

  const std::vector<float> wanted_filters = floats_of(golden, "mel_filters");
  const std::vector<double> filters = apr::mel_filters(*options);
  REQUIRE(filters.size() == wanted_filters.size());
  for (std::size_t i = 0; i < filters.size(); ++i) {
    REQUIRE(std::abs(filters[i] - double{wanted_filters[i]}) < 1e-8);
  }

  const auto log_mel = apr::LogMel::create(*options);
  REQUIRE(log_mel.ok());
  const std::vector<float> samples = apr::test::plain_wav(folder / "golden" / "chirps.wav");
  REQUIRE(samples.size() == 48000);
  const auto features = log_mel->features(samples, options->chunk_samples());
  REQUIRE(features.ok());
  REQUIRE(features->size() == 3000U * 80U);
  const std::vector<float> wanted = floats_of(golden, "input_features.first320");
  double worst = 0;
  for (std::size_t band = 0; band < 80; ++band) {
    for (std::size_t frame = 0; frame < 320; ++frame) {
      const double found = (*features)[frame * 80 + band];
      worst = std::max(worst, std::abs(found - double{wanted[band * 320 + frame]}));
    }
  }
  CAPTURE(worst);
  CHECK(worst < 1e-6);
  for (std::size_t i = std::size_t{302} * 80; i < features->size(); ++i) {
    REQUIRE(std::abs((*features)[i] - -0.6117630004882812F) < 1e-6F);
  }

  // The check fires: another scale of the samples is seen. (A common factor vanishes in the range,
  // all but what lies at the floor; an offset does not.)
  std::vector<float> wrong = samples;
  for (float& sample : wrong) sample += 0.001F;
  const auto other = log_mel->features(wrong, options->chunk_samples());
  REQUIRE(other.ok());
  double difference = 0;
  for (std::size_t i = 0; i < std::size_t{300} * 80; ++i) {
    difference = std::max(difference, std::abs(double{(*other)[i]} - double{(*features)[i]}));
  }
  CHECK(difference > 1e-3);
}

TEST_CASE("Triangles have area one and cover what lies between 0 and 8000 Hz") {
  for (const std::uint32_t bands : {40U, 80U, 128U}) {
    MelOptions options;
    options.feature_size = bands;
    options.n_fft = 4096;  // fine enough for the sum to be an integral
    const std::vector<double> filters = apr::mel_filters(options);
    const std::size_t bins = options.n_fft / 2 + 1;
    std::size_t previous_peak = 0;
    for (std::size_t band = 0; band < bands; ++band) {
      const std::span<const double> row(filters.data() + band * bins, bins);
      double area = 0;
      for (const double weight : row) area += weight * 16000.0 / 4096.0;
      CHECK(area == Approx(1).epsilon(0.05));
      const auto peak =
          static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
      CHECK(peak > previous_peak);
      previous_peak = peak;
    }
    CHECK(filters[bins - 1] == 0);
  }
}

TEST_CASE("A tone is loudest in the band of its frequency, in its frames") {
  const auto log_mel = apr::LogMel::create({});
  REQUIRE(log_mel.ok());
  const std::vector<double> filters = apr::mel_filters({});
  for (const double frequency : {200.0, 1000.0, 3000.0, 7000.0}) {
    const auto features = log_mel->features(tone(frequency, 16000), 480000);
    REQUIRE(features.ok());
    const float* row = features->data() + std::size_t{50} * 80;
    const auto loudest = static_cast<std::size_t>(std::max_element(row, row + 80) - row);
    const auto bin = static_cast<std::size_t>(frequency / 40);
    CHECK(filters[loudest * 201 + bin] > 0);
    CHECK((*features)[std::size_t{200} * 80 + loudest] < row[loudest] - 1.5F);
  }
}

TEST_CASE("Silence, short and full recordings") {
  const auto log_mel = apr::LogMel::create({});
  REQUIRE(log_mel.ok());
  const auto nothing = log_mel->features({}, 480000);
  REQUIRE(nothing.ok());
  CHECK(std::all_of(nothing->begin(), nothing->end(), [](float v) { return v == -1.5F; }));
  const std::vector<float> zeros(16000, 0.0F);
  CHECK(*log_mel->features(zeros, 480000) == *nothing);

  // Zeros that are given and zeros that are implied are the same silence.
  const std::vector<float> sound = tone(440, 20000);
  std::vector<float> longer = sound;
  longer.resize(480000);
  CHECK(*log_mel->features(sound, 480000) == *log_mel->features(longer, 480000));
  CHECK(log_mel->features(sound, 20000)->size() == 125U * 80U);
  CHECK(log_mel->features(std::vector<float>{0.5F}, 480000).ok());
}

TEST_CASE("Samples that cannot be heard") {
  const auto log_mel = apr::LogMel::create({});
  REQUIRE(log_mel.ok());
  CHECK_FALSE(log_mel->features(std::vector<float>(500), 499).ok());
  CHECK_FALSE(log_mel->features(std::vector<float>(10), 399).ok());
  std::vector<float> samples(1000);
  samples[7] = NAN;
  const auto refused = log_mel->features(samples, 480000);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().message == "sample 7 is not a finite number");
}

TEST_CASE("Options are read from what checkpoints carry") {
  const auto options = apr::read_mel_options(published(), "p.json");
  REQUIRE(options.ok());
  CHECK(options->chunk_frames() == 3000);
  CHECK(options->seconds_per_frame() == 0.01);
  Json large = published();
  large.set("feature_size", 128);
  REQUIRE(apr::read_mel_options(large, "p.json").ok());
  CHECK(apr::read_mel_options(large, "p.json")->feature_size == 128);
}

TEST_CASE("Options that are refused name the field and the file") {
  for (const std::string field : {"sampling_rate", "n_fft", "hop_length", "feature_size",
                                  "chunk_length", "feature_extractor_type"}) {
    Json config = published();
    config.erase(field);
    CHECK(problem_of(config) == apr::cat("p.json: field ", field, ": is missing"));
    for (const Json& value : {Json("x"), Json(Json::object()), Json(-1), Json(1e30)}) {
      const std::string problem = problem_with(field, value);
      INFO(problem);
      CHECK(problem.starts_with(apr::cat("p.json: field ", field, ": ")));
    }
  }
  CHECK(problem_with("n_fft", 401).find("even") != std::string::npos);
  CHECK(problem_with("n_fft", 398).find("prime") != std::string::npos);
  CHECK(problem_with("hop_length", 401).find("n_fft") != std::string::npos);
  CHECK(problem_with("feature_size", 300).find("covers no frequency") != std::string::npos);
  CHECK(problem_with("sampling_rate", 8000).find("16000") != std::string::npos);
  CHECK(problem_with("n_samples", 1).find("480000") != std::string::npos);
  CHECK(problem_with("nb_max_frames", 1500).find("3000") != std::string::npos);
  CHECK(problem_with("do_normalize", true).find("do_normalize") != std::string::npos);
  CHECK(problem_with("dither", 0.1).find("dither") != std::string::npos);
  CHECK(problem_with("padding_value", 1.0).find("padding_value") != std::string::npos);
  CHECK(problem_with("padding_side", "left").find("padding_side") != std::string::npos);
  CHECK(problem_with("do_normalize", false).empty());
  MelOptions wrong;
  wrong.hop_length = 0;
  CHECK_FALSE(apr::LogMel::create(wrong).ok());
}

TEST_CASE("A stored table of filters must be the one that is computed") {
  const std::vector<double> filters = apr::mel_filters({});
  const auto table = [&](std::size_t rows, std::size_t columns) {
    Json stored = Json::array();
    for (std::size_t band = 0; band < rows; ++band) {
      Json row = Json::array();
      for (std::size_t bin = 0; bin < columns; ++bin) row.push_back(filters[band * 201 + bin]);
      stored.push_back(std::move(row));
    }
    return stored;
  };
  CHECK(problem_with("mel_filters", table(80, 201)).empty());
  CHECK(problem_with("mel_filters", table(79, 201)).find("79 rows") != std::string::npos);
  CHECK(problem_with("mel_filters", table(80, 200)).find("200 numbers") != std::string::npos);
  CHECK(problem_with("mel_filters", "none").find("80 x 201") != std::string::npos);
  Json changed = Json::array();
  Json rows = table(80, 201);
  for (std::size_t band = 0; band < 80; ++band) {
    Json row = rows.as_array()[band];
    if (band == 3) {
      Json other = Json::array();
      for (std::size_t bin = 0; bin < 201; ++bin) other.push_back(0.5);
      row = other;
    }
    changed.push_back(row);
  }
  CHECK(problem_with("mel_filters", changed).find("row 3, number 0 is 0.5") != std::string::npos);
}

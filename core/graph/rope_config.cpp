// Inverse frequencies from a Hugging Face config. The frequencies are float32 numbers there and
// scaled as such, so each step below rounds to float32 where the reference does; the results are
// the same bits, or off by the last one where its pow() is.
//
//   default  Su et al. 2021, arXiv:2104.09864: theta^(-2i/d)
//   linear   position interpolation, Chen et al. 2023, arXiv:2306.15595: all divided by `factor`
//   llama3   Llama 3.1: wavelengths above original/low_freq_factor divided by `factor`, below
//            original/high_freq_factor left alone, between them blended
//   yarn     Peng et al. 2023, arXiv:2309.00071: blended by a ramp over the pair's index, and an
//            attention factor on cos and sin
#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/cat.h"
#include "core/graph/blocks.h"

namespace apr {

namespace {

constexpr double kMaxFactor = 1e6;

/// theta^(2i/d) for each pair.
std::vector<float> powers_of(double theta, std::uint32_t dim) {
  std::vector<float> powers(dim / 2);
  for (std::uint32_t i = 0; i < powers.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    powers[i] = static_cast<float>(
        std::pow(static_cast<double>(static_cast<float>(theta)), static_cast<double>(exponent)));
  }
  return powers;
}

std::vector<float> inverses_of(const std::vector<float>& powers) {
  std::vector<float> inverses(powers.size());
  std::transform(powers.begin(), powers.end(), inverses.begin(),
                 [](float power) { return 1.0F / power; });
  return inverses;
}

double positive(ConfigReader& config, const std::string& field, double limit) {
  const double value = config.number(field);
  if (config.ok() && !(value > 0 && value <= limit)) {
    config.reject(field, cat(value, " is not within (0, ", limit, "]"), {}, ErrorCode::format);
    return 1;
  }
  return value;
}

double positive_or(ConfigReader& config, const std::string& field, double fallback, double limit) {
  return config.has(field) ? positive(config, field, limit) : fallback;
}

void scale_llama3(ConfigReader& config, const std::string& section,
                  std::vector<float>& frequencies) {
  const double factor = positive(config, section + ".factor", kMaxFactor);
  const double low = positive(config, section + ".low_freq_factor", kMaxFactor);
  const double high = positive(config, section + ".high_freq_factor", kMaxFactor);
  const double original = config.count(section + ".original_max_position_embeddings");
  if (config.ok() && high <= low) {
    config.reject(section + ".high_freq_factor", cat(high, " is not above low_freq_factor ", low),
                  {}, ErrorCode::format);
  }
  if (!config.ok()) return;
  for (float& frequency : frequencies) {
    const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
    if (wavelength < original / high) continue;
    if (wavelength > original / low) {
      frequency /= static_cast<float>(factor);
      continue;
    }
    const float smooth = (static_cast<float>(original) / wavelength - static_cast<float>(low)) /
                         static_cast<float>(high - low);
    frequency = (1 - smooth) * frequency / static_cast<float>(factor) + smooth * frequency;
  }
}

double yarn_magnitude(double factor, double weight) {
  return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
}

void scale_yarn(ConfigReader& config, const std::string& section, double theta,
                std::uint32_t max_positions, const std::vector<float>& powers, RopeSpec& spec,
                std::vector<float>& frequencies) {
  const double factor = positive(config, section + ".factor", kMaxFactor);
  const double fast = positive_or(config, section + ".beta_fast", 32, kMaxFactor);
  const double slow = positive_or(config, section + ".beta_slow", 1, kMaxFactor);
  const double original =
      config.count_or(section + ".original_max_position_embeddings", max_positions);
  const bool whole = config.flag_or(section + ".truncate", true);
  const double mscale = positive_or(config, section + ".mscale", 0, kMaxFactor);
  const double mscale_all = positive_or(config, section + ".mscale_all_dim", 0, kMaxFactor);
  const double fallback = mscale > 0 && mscale_all > 0
                              ? yarn_magnitude(factor, mscale) / yarn_magnitude(factor, mscale_all)
                              : yarn_magnitude(factor, 1);
  spec.attention_factor = positive_or(config, section + ".attention_factor", fallback, kMaxFactor);
  if (!config.ok()) return;

  const double dim = spec.rotary_dim;
  const auto pair_turning = [&](double rotations) {
    return dim * std::log(original / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  double low = pair_turning(fast);
  double high = pair_turning(slow);
  if (whole) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const auto ramp = static_cast<float>((static_cast<double>(i) - low) / (high - low));
    const float keep = 1 - std::clamp(ramp, 0.0F, 1.0F);
    const float interpolated = 1.0F / (static_cast<float>(factor) * powers[i]);
    frequencies[i] = interpolated * (1 - keep) + frequencies[i] * keep;
  }
}

}  // namespace

RopeSpec rope_from_config(ConfigReader& config, std::uint32_t head_dim,
                          std::uint32_t max_position_embeddings) {
  RopeSpec spec;
  spec.head_dim = head_dim;
  spec.rotary_dim = head_dim;
  // Configs of 2025 and later keep theta and scaling together under rope_parameters.
  const bool together = config.has("rope_parameters");
  const std::string section = together ? "rope_parameters" : "rope_scaling";
  const std::string theta_field = together && config.has("rope_parameters.rope_theta")
                                      ? "rope_parameters.rope_theta"
                                      : "rope_theta";
  if (theta_field != "rope_theta" && config.has("rope_theta") &&
      config.number("rope_theta") != config.number(theta_field)) {
    config.reject("rope_theta", cat("contradicts ", theta_field), "remove the wrong one",
                  ErrorCode::format);
  }
  if (together && config.has("rope_scaling") &&
      config.raw("rope_scaling").dump() != config.raw(section).dump()) {
    config.reject("rope_scaling", "contradicts rope_parameters", "remove the wrong one",
                  ErrorCode::format);
  }
  if (!config.raw(section).is_null() && !config.raw(section).is_object()) {
    config.reject(section, "is not an object", {}, ErrorCode::format);
  }
  if (head_dim % 2 != 0) {
    config.reject("head_dim", cat(head_dim, " is odd, and rotary embedding turns pairs"), {},
                  ErrorCode::format);
  }
  for (const std::string& field :
       {std::string("partial_rotary_factor"), section + ".partial_rotary_factor"}) {
    if (config.number_or(field, 1) != 1) config.reject(field, "only 1 is supported");
  }
  const double theta = positive_or(config, theta_field, 10000, 1e30);
  if (config.ok() && theta <= 1) {
    config.reject(theta_field, cat(theta, " is not above 1"), {}, ErrorCode::format);
  }
  const std::string type_field =
      section + (config.has(section + ".rope_type") ? ".rope_type" : ".type");
  const std::string type = config.text_or(type_field, "default");
  if (!config.ok()) return spec;

  const auto powers = powers_of(theta, head_dim);
  auto frequencies = inverses_of(powers);
  if (type == "linear") {
    const auto factor = static_cast<float>(positive(config, section + ".factor", kMaxFactor));
    for (float& frequency : frequencies) frequency /= factor;
  } else if (type == "llama3") {
    scale_llama3(config, section, frequencies);
  } else if (type == "yarn") {
    scale_yarn(config, section, theta, max_position_embeddings, powers, spec, frequencies);
  } else if (type != "default") {
    config.reject(type_field, cat(Json(type).dump(), " is not supported"),
                  "default, linear, llama3 and yarn are");
  }
  spec.inverse_frequencies.assign(frequencies.begin(), frequencies.end());
  return spec;
}

}  // namespace apr

// The layout of a Hugging Face model folder: which small files belong to a model.
#pragma once

#include <span>
#include <string_view>

#include "core/base/export.h"

namespace apr {

/// Files kept with a model as they are, weights and indexes not among them.
APR_API std::span<const std::string_view> hugging_face_files();

inline constexpr std::string_view kWeightsFile = "model.safetensors";
inline constexpr std::string_view kWeightsIndexFile = "model.safetensors.index.json";

}  // namespace apr

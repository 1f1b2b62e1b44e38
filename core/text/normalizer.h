// What a tokenizer does to a text before it cuts it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/text/tokenizer_settings.h"

namespace apr {

/// Takes the steps one after the other. If `marks` is given it holds one entry per byte and follows
/// the text. An error if a text becomes absurdly longer.
Result<std::string> normalize_text(std::span<const NormalizerStep> steps, std::string_view text,
                                   std::vector<std::uint8_t>* marks);

/// False if the result would have more than `limit` bytes; the text is then as it was.
bool replace_all(std::string& text, std::string_view pattern, std::string_view content,
                 std::vector<std::uint8_t>* marks = nullptr,
                 std::size_t limit = static_cast<std::size_t>(-1));

}  // namespace apr

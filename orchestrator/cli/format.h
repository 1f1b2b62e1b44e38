// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace apr {

std::string with_commas(std::uint64_t value);       ///< "151,936"
std::string human_count(std::uint64_t value);       ///< "3.67M"
std::string human_bytes(std::uint64_t bytes);       ///< "7.35 MB" (decimal units)
std::string fixed(double value, int digits);        ///< "0.041"; never in exponent form
std::string significant(double value, int digits);  ///< "1.2e-05" where that is shorter
std::string human_seconds(double seconds);          ///< "340 ms", "2.1 s", "3 min 12 s"
/// 1 -> "1 tensor", 3 -> "3 tensors".
std::string plural(std::uint64_t count, const std::string& noun);

}  // namespace apr

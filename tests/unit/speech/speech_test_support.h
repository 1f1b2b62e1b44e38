// Files of the shared test data, as the speech tests read them.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/json.h"

namespace apr::test {

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// The folder of the small Whisper checkpoint, or an empty path.
inline std::filesystem::path tiny_whisper() {
  const std::filesystem::path folder =
      std::filesystem::path(APR_SHARED_DATA) / "arch" / "tiny-whisper";
  return std::filesystem::exists(folder / "golden" / "golden.json") ? folder
                                                                    : std::filesystem::path();
}

/// The samples of a 16-bit mono WAV file with the usual header of 44 bytes.
inline std::vector<float> plain_wav(const std::filesystem::path& path) {
  const std::string bytes = slurp(path);
  std::vector<float> samples;
  for (std::size_t i = 44; i + 1 < bytes.size(); i += 2) {
    const int low = static_cast<unsigned char>(bytes[i]);
    const int high = static_cast<signed char>(bytes[i + 1]);
    samples.push_back(static_cast<float>(high * 256 + low) / 32768.0F);
  }
  return samples;
}

}  // namespace apr::test

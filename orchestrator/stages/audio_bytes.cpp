// WAV (RIFF, little-endian; RIFX, big-endian) and AIFF (FORM, big-endian) are lists of chunks: four
// characters, a length of four bytes, the bytes, padded to an even number. Programs that write to a
// pipe leave the length of the sound at 0, 0xFFFFFFFF or close to it. An Ogg stream is a sequence
// of pages; the last page of each logical stream has a flag that says so.
#include "orchestrator/stages/audio_bytes.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string_view>

#include "core/base/cat.h"
#include "orchestrator/cli/format.h"

namespace apr {

namespace {

/// Lengths from here on mean "not known when the header was written".
constexpr std::uint32_t kUnknownLength = 0x7ffff000;

class Bytes {
 public:
  explicit Bytes(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint64_t size() const { return bytes_.size(); }
  bool has(std::uint64_t at, std::uint64_t count) const {
    return at <= size() && count <= size() - at;
  }
  bool is(std::uint64_t at, std::string_view word) const {
    return has(at, word.size()) && std::memcmp(bytes_.data() + at, word.data(), word.size()) == 0;
  }
  std::uint8_t byte(std::uint64_t at) const { return std::to_integer<std::uint8_t>(bytes_[at]); }
  std::uint32_t number(std::uint64_t at, bool big_endian) const {
    std::uint32_t value = 0;
    for (std::uint64_t i = 0; i < 4; ++i) {
      value = value << 8 | byte(at + (big_endian ? i : 3 - i));
    }
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
};

std::optional<std::string> missing_in_chunks(const Bytes& bytes, std::string_view sound,
                                             bool big_endian) {
  for (std::uint64_t at = 12; bytes.has(at, 8);) {
    const std::uint64_t length = bytes.number(at + 4, big_endian);
    const std::uint64_t there = bytes.size() - at - 8;
    if (bytes.is(at, sound)) {
      if (length >= kUnknownLength || length <= there) return std::nullopt;
      return cat(with_commas(there), " of ", with_commas(length), " bytes of sound are there");
    }
    if (length > there) return std::nullopt;  // not a list of chunks after all
    at += 8 + length + length % 2;
  }
  return std::nullopt;
}

/// Walks over the pages; each logical stream that began must have ended.
std::optional<std::string> missing_pages(const Bytes& bytes) {
  constexpr std::uint8_t kLastPage = 4;
  std::map<std::uint32_t, bool> ended;  // by serial number
  std::uint64_t at = 0;
  while (bytes.is(at, "OggS") && bytes.has(at, 27)) {
    const std::uint64_t segments = bytes.byte(at + 26);
    if (!bytes.has(at + 27, segments)) return "its last page is not complete";
    std::uint64_t length = 0;
    for (std::uint64_t i = 0; i < segments; ++i) length += bytes.byte(at + 27 + i);
    if (!bytes.has(at + 27 + segments, length)) return "its last page is not complete";
    ended[bytes.number(at + 14, false)] = (bytes.byte(at + 5) & kLastPage) != 0;
    at += 27 + segments + length;
  }
  const bool whole =
      std::all_of(ended.begin(), ended.end(), [](const auto& s) { return s.second; });
  if (ended.empty() || whole) return std::nullopt;
  return at == bytes.size() ? "its last page is missing" : "what follows is no page of it";
}

}  // namespace

std::optional<std::string> missing_audio_bytes(std::span<const std::byte> data) {
  const Bytes bytes(data);
  if (bytes.is(0, "RIFF") && bytes.is(8, "WAVE")) return missing_in_chunks(bytes, "data", false);
  if (bytes.is(0, "RIFX") && bytes.is(8, "WAVE")) return missing_in_chunks(bytes, "data", true);
  if (bytes.is(0, "FORM") && (bytes.is(8, "AIFF") || bytes.is(8, "AIFC"))) {
    return missing_in_chunks(bytes, "SSND", true);
  }
  if (bytes.is(0, "OggS")) return missing_pages(bytes);
  return std::nullopt;
}

}  // namespace apr

// Little-endian numbers in byte ranges, read with bounds checks and written by appending.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace apr {

static_assert(std::endian::native == std::endian::little, "files are read in place");

/// Takes numbers and ranges from the front; every read says whether there was enough left.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }

  template <std::unsigned_integral Number>
  std::optional<Number> number() {
    if (remaining() < sizeof(Number)) return std::nullopt;
    Number value = 0;
    std::memcpy(&value, bytes_.data() + position_, sizeof(Number));
    position_ += sizeof(Number);
    return value;
  }

  std::optional<std::span<const std::byte>> take(std::uint64_t size) {
    if (size > remaining()) return std::nullopt;
    const auto range = bytes_.subspan(position_, static_cast<std::size_t>(size));
    position_ += static_cast<std::size_t>(size);
    return range;
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
};

/// For offsets already checked.
template <std::unsigned_integral Number>
Number load_number(std::span<const std::byte> bytes, std::size_t offset) {
  Number value = 0;
  std::memcpy(&value, bytes.data() + offset, sizeof(Number));
  return value;
}

inline void append_bytes(std::vector<std::byte>& out, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const std::size_t end = out.size();
  out.resize(end + bytes.size());
  std::memcpy(out.data() + end, bytes.data(), bytes.size());
}

template <std::unsigned_integral Number>
void append_number(std::vector<std::byte>& out, Number value) {
  append_bytes(out, std::as_bytes(std::span(&value, 1)));
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline void append_text(std::vector<std::byte>& out, std::string_view text) {
  append_bytes(out, as_bytes(text));
}

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace apr

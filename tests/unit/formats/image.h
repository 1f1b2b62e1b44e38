// Builds .apr v2 files field by field, right or wrong, without the library's writer.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/hash.h"
#include "core/formats/bytes.h"

namespace test {

template <typename Number>
std::string le(Number value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

inline std::string padded(std::string text) {
  text.resize((text.size() + 63) / 64 * 64);
  return text;
}

struct Entry {
  std::string name;
  std::uint8_t code = 0;
  std::vector<std::uint64_t> dims;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;

  std::string bytes() const {
    std::string out = le(static_cast<std::uint16_t>(name.size())) + name + le(code) +
                      le(static_cast<std::uint8_t>(dims.size()));
    for (const auto dim : dims) out += le(dim);
    return out + le(offset) + le(size);
  }
};

struct Image {
  std::string magic{"APR\0", 4};
  std::uint8_t major = 2;
  std::uint16_t flags = 0x0400;
  std::string metadata = R"({"model_type":"test"})";
  std::vector<Entry> entries = {{"a", 0, {2, 8}, 0, 64}, {"b", 0, {4}, 64, 16}};
  std::string data = std::string(128, 'd').replace(80, 48, std::string(48, '\0'));
  std::string reserved = std::string(20, '\0');
  bool footer = true;
  bool zero_crc = false;

  // Overrides of what would be computed.
  std::int64_t tensor_count = -1;
  std::int64_t metadata_offset = -1;
  std::int64_t metadata_size = -1;
  std::int64_t index_offset = -1;
  std::int64_t data_offset = -1;
  std::string index;  ///< instead of the entries

  std::string bytes() const {
    std::string table = index;
    if (table.empty()) {
      for (const Entry& entry : entries) table += entry.bytes();
    }
    const auto or_else = [](std::int64_t wanted, std::uint64_t computed) {
      return wanted == -1 ? computed : static_cast<std::uint64_t>(wanted);
    };
    const std::uint64_t index_at = 64 + padded(metadata).size();
    std::string head = magic + le(major) + le(std::uint8_t{0}) + le(flags);
    head += le(static_cast<std::uint32_t>(or_else(tensor_count, entries.size())));
    head += le(or_else(metadata_offset, 64));
    head += le(static_cast<std::uint32_t>(or_else(metadata_size, metadata.size())));
    head += le(or_else(index_offset, index_at));
    head += le(or_else(data_offset, index_at + padded(table).size()));
    const std::string covered = head + reserved;
    head += le(zero_crc ? 0 : apr::crc32(apr::as_bytes(covered))) + reserved;
    std::string file = head + padded(metadata) + padded(table) + data;
    if (footer) file += le(apr::crc32(apr::as_bytes(file)));
    return file;
  }
};

}  // namespace test

// Numbers of the `.apr` v2 layout; docs/format.md explains them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace apr::apr_layout {

inline constexpr std::string_view kMagic{"APR\0", 4};
inline constexpr std::string_view kClassicalMagic{"APRN", 4};
inline constexpr std::uint8_t kMajor = 2;

inline constexpr std::size_t kHeaderBytes = 64;
inline constexpr std::uint64_t kAlignment = 64;
inline constexpr std::size_t kFooterBytes = 4;
inline constexpr std::size_t kMinEntryBytes = 20;

// Offsets in the header.
inline constexpr std::size_t kAtMajor = 4;
inline constexpr std::size_t kAtMinor = 5;
inline constexpr std::size_t kAtFlags = 6;
inline constexpr std::size_t kAtTensorCount = 8;
inline constexpr std::size_t kAtMetadataOffset = 12;
inline constexpr std::size_t kAtMetadataSize = 20;
inline constexpr std::size_t kAtIndexOffset = 24;
inline constexpr std::size_t kAtDataOffset = 32;
inline constexpr std::size_t kAtHeaderCrc = 40;
inline constexpr std::size_t kAtExtensionTag = 44;
inline constexpr std::size_t kAtExtensionOffset = 48;
inline constexpr std::size_t kAtExtensionSize = 56;

inline constexpr std::uint16_t kLz4 = 0x0001;
inline constexpr std::uint16_t kZstd = 0x0002;
inline constexpr std::uint16_t kEncrypted = 0x0004;
inline constexpr std::uint16_t kSharded = 0x0010;
inline constexpr std::uint16_t kQuantized = 0x0020;
inline constexpr std::uint16_t kHasVocabulary = 0x0200;
inline constexpr std::uint16_t kRowMajor = 0x0400;
inline constexpr std::uint16_t kColumnMajor = 0x0800;

// Limits on what is read.
inline constexpr std::uint32_t kMaxMetadata = 16u << 20;
inline constexpr std::uint32_t kMaxTensors = 1u << 20;

// The extension: a directory of sections between the last tensor and the footer.
inline constexpr std::uint32_t kExtensionTag = 0x58525041;  ///< "APRX"
inline constexpr std::size_t kSlots = 16;
inline constexpr std::size_t kSlotBytes = 64;
inline constexpr std::size_t kDirectoryBytes = kSlots * kSlotBytes;

}  // namespace apr::apr_layout

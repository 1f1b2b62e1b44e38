// TokenizerTable: a vocabulary with its merges as one block of bytes, usable where it lies.
//
// All numbers are little-endian. Sections start at multiples of 8.
//
//   header   magic "APRTOK01", then u32: tokens, token slots, token seed, token probes,
//            merges, merge slots, merge seed, merge probes; then six sections as u64 offset, u64
//            size:
//   settings JSON text: everything but the vocabulary (see tokenizer_settings.h)
//   offsets  u32 × (tokens + 1): where each id's spelling begins in `text`
//   text     spellings, one after the other
//   flags    u8 × tokens
//   ids      u32 × token slots: open-addressing hash table, id + 1, 0 = free
//   merges   16 bytes × merge slots: u32 left, right, rank, result; left 0xFFFFFFFF = free
//
// A lookup looks at no more than "probes" slots after the hashed one, so that a table made to
// collide costs no more than an honest one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/result.h"

namespace apr {

namespace token_flag {
inline constexpr std::uint8_t kPresent = 1;       ///< the id exists
inline constexpr std::uint8_t kModel = 2;         ///< in the model's own vocabulary
inline constexpr std::uint8_t kAdded = 4;         ///< recognised as a whole before anything else
inline constexpr std::uint8_t kSpecial = 8;       ///< control token: never made from a user's text
inline constexpr std::uint8_t kSingleWord = 16;   ///< added: only between non-word characters
inline constexpr std::uint8_t kLeftStrip = 32;    ///< added: takes the white space before it
inline constexpr std::uint8_t kRightStrip = 64;   ///< added: takes the white space after it
inline constexpr std::uint8_t kNormalized = 128;  ///< added: looked for in the normalized text
}  // namespace token_flag

inline constexpr std::uint32_t kMaxVocabulary = 1u << 22;
inline constexpr std::uint32_t kMaxMerges = 1u << 22;
inline constexpr std::size_t kMaxTokenBytes = 1u << 16;
inline constexpr std::size_t kMaxAddedTokenBytes = 1024;

struct MergeRule {
  std::uint32_t left = 0;
  std::uint32_t right = 0;
  std::uint32_t rank = 0;
  std::uint32_t result = 0;
};

/// What a table is made of; ids are indices.
struct TokenizerParts {
  std::string settings;
  std::vector<std::string> tokens;
  std::vector<std::uint8_t> flags;
  std::vector<MergeRule> merges;  ///< for a pair that occurs twice, the last one counts
};

class APR_API TokenizerTable {
 public:
  static Result<std::vector<std::byte>> build(const TokenizerParts& parts, std::string_view file);
  /// Checks every offset and id; the bytes are borrowed.
  static Result<TokenizerTable> open(std::span<const std::byte> bytes, std::string_view file);

  std::uint32_t tokens() const { return tokens_; }
  std::uint32_t merges() const { return merges_; }
  std::string_view settings() const { return settings_; }
  std::string_view token(std::uint32_t id) const;  ///< id < tokens()
  std::uint8_t flags(std::uint32_t id) const { return static_cast<std::uint8_t>(flags_[id]); }
  /// The id whose spelling this is.
  std::optional<std::uint32_t> find(std::string_view spelling) const;
  /// The rule for a pair of neighbours.
  std::optional<MergeRule> merge(std::uint32_t left, std::uint32_t right) const;
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
  std::string_view settings_;
  std::span<const std::byte> offsets_;
  std::string_view text_;
  std::span<const std::byte> flags_;
  std::span<const std::byte> ids_;
  std::span<const std::byte> rules_;
  std::uint32_t tokens_ = 0;
  std::uint32_t token_mask_ = 0;
  std::uint32_t token_seed_ = 0;
  std::uint32_t token_probes_ = 0;
  std::uint32_t merges_ = 0;
  std::uint32_t merge_mask_ = 0;
  std::uint32_t merge_seed_ = 0;
  std::uint32_t merge_probes_ = 0;
};

}  // namespace apr

// Our extension of `.apr` v2: a directory of typed sections between the last tensor and the footer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/hash.h"
#include "core/base/result.h"

namespace apr {

struct AprHeader;

enum class AprSectionType : std::uint32_t {
  files = 1,
  tokenizer = 2,
  digests = 3,
  lineage = 4,
  attestations = 5,  ///< number reserved
  signatures = 6,    ///< number reserved
  crypt = 7,         ///< number reserved
};

/// "FILES", …; "section 42" for a number without a name.
APR_API std::string name_of_section(std::uint32_t type);

struct AprSection {
  std::uint32_t type = 0;
  std::uint32_t version = 1;
  std::uint64_t offset = 0;  ///< from the start of the file; checked against its length
  std::uint64_t size = 0;
  Digest digest;  ///< SHA-256 of the section's bytes
};

struct AprSections {
  enum class State : std::uint8_t {
    absent,  ///< a file of another writer
    sound,
    lost,  ///< it was there once; another tool has rewritten the file since
  };
  State state = State::absent;
  std::string problem;                ///< why it is lost
  std::vector<AprSection> directory;  ///< in the order of the slots, unknown types too

  /// A section of a type and version this build reads.
  APR_API const AprSection* find(AprSectionType type) const;
};

/// Checks the directory against the file's length and `data_end`. Never fails: what does not fit is
/// `lost`.
APR_API AprSections read_apr_sections(std::span<const std::byte> bytes, const AprHeader& header,
                                      std::uint64_t data_end);

/// The 1024 bytes of a directory; at most 16 sections.
APR_API std::vector<std::byte> encode_apr_directory(std::span<const AprSection> sections);

using AprFiles = std::map<std::string, std::string, std::less<>>;

/// Why a file may not be called so; empty if it may.
APR_API std::string_view file_name_problem(std::string_view name);
/// The same for the FILES section, whose files may lie in a folder: "1_Pooling/config.json".
APR_API std::string_view stored_name_problem(std::string_view name);
APR_API std::vector<std::byte> encode_apr_files(const AprFiles& files);
APR_API Result<AprFiles> decode_apr_files(std::span<const std::byte> bytes);

}  // namespace apr

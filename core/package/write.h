// Writing a package as an `.apr` file, one tensor at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/package/package.h"

namespace apr {

/// What the new file shall hold. Tensors are written in the given order (sorted by name) and asked
/// for one at a time, so that no more than one produced tensor is in memory.
struct PackagePlan {
  struct PlannedTensor {
    std::string name;
    Type type = Type::f32;
    Shape shape;
    std::string alias_of;  ///< non-empty: stores nothing, shares the bytes of that tensor
    /// Hands the tensor's bytes, all of them, to `sink` in order. Not called for aliases.
    std::function<Status(const std::function<Status(std::span<const std::byte>)>& sink)> produce;
  };
  std::vector<PlannedTensor> tensors;
  Json metadata = Json::object();  ///< canonical keys; "tensor_types" is filled in by the writer
  std::map<std::string, std::string, std::less<>> files;
  std::vector<std::byte> tokenizer_table;
  std::vector<LineageRecord> lineage;
};

struct WrittenPackage {
  std::uint64_t bytes = 0;
  Digest content_root;
};

/// Writes atomically. `progress` (may be empty) is told the bytes of tensor data written so far.
APR_API Result<WrittenPackage> write_apr(const std::string& path, const PackagePlan& plan,
                                         bool overwrite,
                                         const std::function<void(std::uint64_t)>& progress = {});

/// A plan that copies `package` unchanged; the caller then edits what it wants to differ.
APR_API PackagePlan plan_copy(const Package& package);

/// Canonical `.apr` metadata (apr-format keys, in order) for a Hugging Face config.
APR_API Json metadata_from_config(const Json& config, std::string_view name,
                                  std::string_view original_format, std::uint64_t param_count);

/// What verify_apr() found. A stale or absent trust section is not corruption.
struct AprVerification {
  bool header_crc_present = true;
  bool footer_present = false;
  bool trust_section = false;
  bool trust_section_stale = false;
  std::uint64_t tensors_checked = 0;
  std::vector<std::string> problems;  ///< one sentence each; empty = sound
};
/// Reads the whole file: footer CRC, zero padding, every digest, the content root.
APR_API Result<AprVerification> verify_apr(const std::string& path,
                                           const std::function<void(std::uint64_t)>& progress = {});

}  // namespace apr

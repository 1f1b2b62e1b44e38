// SHA-256 over everything a model is: a tree per tensor, and one content root over all of it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/export.h"
#include "core/base/hash.h"
#include "core/base/result.h"

namespace apr {

inline constexpr std::size_t kTreeLeafBytes = std::size_t{1} << 20;

/// The tree head of RFC 6962 over leaves of 1 MiB: leaf = H(0x00 | bytes), node = H(0x01 | left |
/// right), a tree of n leaves splits at the largest power of two below n; no bytes at all hash as
/// H().
class APR_API TreeHash {
 public:
  TreeHash();
  void update(std::span<const std::byte> bytes);
  Digest finish();  ///< may be called once

 private:
  void close_leaf();
  Sha256 leaf_;
  std::size_t leaf_size_ = 0;
  std::uint64_t leaves_ = 0;
  std::vector<Digest> pending_;  ///< heads of full subtrees, the largest first
};

APR_API Digest tree_hash(std::span<const std::byte> bytes);

/// The DIGESTS section. A section that is not there counts as empty.
struct AprDigests {
  Digest header;
  Digest metadata;
  Digest index;
  Digest files;
  Digest tokenizer;
  Digest lineage;
  std::vector<Digest> tensors;  ///< tree heads, in the order of the index

  /// SHA-256 over the canonical list of all of the above.
  APR_API Digest content_root() const;
  /// The section's bytes; they end with the content root.
  APR_API std::vector<std::byte> encode() const;
  /// Checks the size, the leaf length and that the stored root is the root of the stored digests.
  APR_API static Result<AprDigests> decode(std::span<const std::byte> bytes,
                                           std::uint64_t tensor_count);
};

}  // namespace apr
